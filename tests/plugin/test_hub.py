"""Sessions whose model and questions are on a Hub: what is asked anew where a branch moved on, what needs no network,
and what is said where something cannot be had."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hub import TINY, TOKEN, Hub
from tests.inner_pytest import run
from tests.plugin.test_mistakes import plain
from tests.tasks.test_hub import gsm8k

RECIPE = """\
[model]
name = "org/model"

[task]
name = "gsm8k"
train_questions = 0
test_questions = 4

[evaluate]
max_new_tokens = 16
"""
PAGE = "suites/recipes/hub.toml"


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub


@pytest.fixture(scope="module")
def asks(shared_project, hub: Hub, tmp_path_factory: pytest.TempPathFactory):
    """A session of its own of a project with one recipe; the client has a cache and a token, as after a login."""
    home = tmp_path_factory.mktemp("home")
    (home / "token").write_text(TOKEN)
    (shared_project.path / "suites/recipes/small.toml").unlink()
    hub.commit("datasets/openai/gsm8k", gsm8k())
    shared_project.write(**{PAGE: RECIPE, "test_it": "def test_it(before):\n    pass\n"})
    online = {"HF_HOME": str(home), "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "NO_PROXY": "*"}

    def asks(*options: str, **environment: str) -> pytest.RunResult:
        return shared_project.pytest(*options, torch=None, **online | environment)

    asks.folder, asks.online = shared_project.path, online
    return asks


def runs(folder: Path) -> dict[str, list[Any]]:
    """By the commit that a run's model is of, that model's fingerprint and how many answers there are."""
    found = {}
    for each in (folder / "rl-runs").glob("hub*"):
        environment, identity = (
            json.loads((each / f"{name}.json").read_text()) for name in ("environment", "identity")
        )
        records = (each / "before/records.jsonl").read_text().splitlines()
        assert re.fullmatch("openai/gsm8k@[0-9a-f]{40}", environment["hub_data"])
        found[environment["hub_model"]] = [identity["generation"]["model"], len(records)]
    return found


def test_a_branch_that_moved_on_is_another_model(asks, hub: Hub) -> None:
    first = hub.commit("models/org/model", TINY, "main", "v1")
    hub.repositories["models/org/model"].token = TOKEN
    said = [asks()]
    assert [*runs(asks.folder)] == [f"org/model@{first}"]
    second = hub.commit("models/org/model", TINY | {"model.safetensors": TINY["model.safetensors"][:-1] + b"\0"})
    said.append(asks())
    assert "Reused" not in said[1].stdout.str()
    found = runs(asks.folder)
    (old, answers), (new, others) = (found[f"org/model@{commit}"] for commit in (first, second))
    assert (answers, others) == (4, 4)
    assert {key for key in old if old[key] != new[key]} == {"weights"}
    said.append(asks(HF_HUB_OFFLINE="1"))
    said.append(asks(HF_ENDPOINT="http://127.0.0.1:9"))
    said.append(asks("--rl-set", f"model.revision={first}", HF_HUB_OFFLINE="1"))
    for each in said:
        each.assert_outcomes(passed=1)
        assert TOKEN not in plain(each)
    for each in said[2:]:
        assert "Reused 4 answers" in each.stdout.str()
    assert runs(asks.folder) == found
    kept = [file for file in asks.folder.rglob("*") if file.is_file()]
    assert not [file for file in kept if TOKEN.encode() in file.read_bytes()]


@pytest.mark.parametrize(
    ("options", "environment", "place", "end"),
    [
        ((), {"HF_TOKEN_PATH": "/nowhere"}, f"{PAGE}:2: [model] name: org/gated: is gated: ", "'hf auth login'"),
        (
            ("--rl-model", "org/none"),
            {},
            "[model] name: org/none: neither a folder here nor a model on the Hub",
            "(under --rl-model org/none)",
        ),
        (
            ("--rl-set", "model.revision=v9"),
            {},
            "[model] revision: org/gated: the Hub has no branch, tag or commit 'v9' of it",
            "(under --rl-set model.revision=v9)",
        ),
        (
            ("--rl-set", "task.name=org/none"),
            {},
            "[task] name: org/none: neither a folder here nor a dataset on the Hub",
            "(under --rl-set task.name=org/none)",
        ),
    ],
)
def test_what_cannot_be_had_is_told_with_the_place_that_asks_for_it(
    options, environment, place, end, asks, hub: Hub
) -> None:
    hub.commit("models/org/gated", TINY)
    hub.repositories["models/org/gated"].token = TOKEN
    (asks.folder / PAGE).write_text(RECIPE.replace("org/model", "org/gated"))
    result = asks(*options, **environment)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    (said,) = (line for line in result.outlines if place in line and not line.startswith("ERROR "))
    assert re.search(f"{re.escape(place)}.*{re.escape(end)}$", said)
    assert TOKEN not in plain(result)
    if options[:1] != ("--rl-set",):
        return
    told = [each.replace("--rl-set", "--set") for each in options]
    result = run(["harness.cli", "run", PAGE, *told], asks.folder, asks.online)
    assert (result.ret, result.outlines) == (2, [])
    assert plain(result).splitlines()[-1] == f"rl-harness: {said.replace('--rl-set', '--set')}"
