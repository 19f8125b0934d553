"""Secrets and escape sequences in everything that comes from outside, in whole sessions: nothing that a person or a
machine reads afterwards holds one."""

from __future__ import annotations

import html
import json
import re
import shutil
from pathlib import Path

import pytest
import tomli_w

import harness.models.tiny
from tests.chat_double import Reply, answer, chat_double
from tests.inner_pytest import PYTEST, REPOSITORY, calm_environment, forked
from tests.secrets_and_escapes import ESCAPES, INVISIBLE, SECRETS, VARIABLES

# One secret and two escape sequences each, and a mark by which it is seen that they came where they should.
UNITS = [
    f"m{number:02} {text} {''.join(ESCAPES[number :: len(SECRETS)])}"
    for number, (text, _) in enumerate(SECRETS.values())
]
MARKS = [f"m{number:02}" for number in range(len(UNITS))]
BINARY = {".safetensors", ".pt", ".pth", ".bin", ".lock"}

OUTSIDE = """
import json, os, pathlib, sys

UNITS = json.loads((pathlib.Path(__file__).parent / "units.json").read_text())
calls = 0

def reward(prompts, completions, trainer_state=None, api_key=None, **columns):
    \"\"\"Raises for every completion, each time with another text; not when it is only tried.\"\"\"
    global calls
    if not any(completion[0]["content"] for completion in completions):
        return [0.0] * len(completions)
    calls += 1
    unit = UNITS[(-calls if trainer_state else calls) % len(UNITS)]
    print(unit)
    raise ValueError(unit)

def crash(prompts, completions, **columns):
    if "harness.training.worker" in sys.orig_argv:
        print(*UNITS, sep="\\n", flush=True)
        os.abort()
    return [0.0] * len(completions)
"""
BROKEN = "from outside import UNITS\nraise ValueError(' '.join(UNITS))\n"
OWN = """
import threading, warnings

import pytest
from outside import UNITS

def test_asks(before):
    print(*UNITS, sep="\\n")
    raise ValueError(" ".join(UNITS))

def test_compares(before):
    assert before.records[0].completion == "".join(UNITS)

def test_skips(before):
    pytest.skip(" ".join(UNITS))

def test_warns(before):
    for unit in UNITS:
        warnings.warn("w" + unit)
    thread = threading.Thread(target=lambda: [][" ".join(UNITS)], name=UNITS[0])
    thread.start()
    thread.join()

@pytest.mark.xfail(reason=" ".join(UNITS))
def test_is_expected_to_fail(before):
    pytest.xfail(" ".join(UNITS))

@pytest.mark.xfail(reason=" ".join(UNITS))
def test_passes_all_the_same(before):
    pass

def test_has_parts(before, subtests):
    for unit in UNITS:
        with subtests.test("s" + unit, key=UNITS[0]):
            print(unit)
            raise ValueError(unit)

def test_has_properties(before, record_property, record_testsuite_property, record_xml_attribute):
    for unit in UNITS:
        record_property("p" + unit, unit)
        record_testsuite_property("p" + unit, unit)
    record_xml_attribute("own", " ".join(UNITS))
"""
TRAINS = """
import pytest

@pytest.mark.rl_recipe("small")
def test_trains(before, after, verdicts):
    verdicts.require("training")

@pytest.mark.rl_recipe("crash")
def test_crashes(trained):
    pass

@pytest.mark.rl_recipe("template")
def test_asks(before):
    pass
"""


def asked(project, module: list[str], *, torch: bool = False, **more: str) -> tuple[int, dict[str, str]]:
    """What a command says, bytes and all, that has the secrets in its environment."""
    environment = calm_environment() | VARIABLES | {"PYTHONPATH": str(REPOSITORY)} | more
    code, out, err = forked(module, project.path, environment, torch)
    return code, {"terminal": out.decode(), "errors": err.decode()}


def session(project, *arguments: str, torch: bool = False) -> dict[str, str]:
    """One inner session, and all texts that are left of it by name."""
    project.write(**{"units.json": json.dumps(UNITS), "outside": OUTSIDE})
    step = project.path / "step.md"
    options = ["-rA", "--junitxml=junit.xml", "--rl-pr-comment=comment.md", *arguments]
    _, texts = asked(project, [*PYTEST, *options], torch=torch, GITHUB_STEP_SUMMARY=str(step))
    left = [project.path / name for name in ("junit.xml", "comment.md", "step.md")]
    left += [path for name in ("rl-runs", "rl-report") for path in project.path.glob(f"{name}/**/*") if path.is_file()]
    for path in left:
        if path.exists():
            texts[str(path.relative_to(project.path))] = path.read_bytes().decode(errors="replace")
    return texts


def expect_nothing(texts: dict[str, str]) -> None:
    for name, text in texts.items():
        read = html.unescape(text) if name.endswith((".html", ".xml", ".md")) else text
        if name.endswith((".json", ".jsonl")):
            read += " ".join(map(str, map(json.loads, text.splitlines() if name.endswith("l") else [text])))
        for kind, (_, part) in SECRETS.items():
            forms = {part, part.replace('"', '\\"')}
            found = [read.find(form) for form in forms if form in read]
            assert not found, f"{kind} in {name}: {read[max(0, found[0] - 200) : found[0] + 80]!r}"
        if Path(name).suffix not in BINARY and "/checkpoint-" not in name and "/final/" not in name:
            seen = INVISIBLE & set(text)
            assert not seen, f"{sorted(map(ascii, seen))} in {name}"


def marks(text: str) -> int:
    return len({mark for mark in MARKS if mark in text})


def toml(text: str) -> str:
    """For a recipe, which refuses NUL characters."""
    text = text.replace("\0", "")
    return tomli_w.dumps({"x": text}).removeprefix("x = ").strip()


def test_a_server_and_a_users_own_tests(project):
    """A server's refusals and answers, a recipe's and the command line's texts, and what a test prints and raises."""
    recipe = project.small.replace('"A recipe of four steps."', toml(" ".join(UNITS[::2])))
    prompt = f"test_questions = 24\nsystem_prompt = {toml(' '.join(UNITS))}"
    project.write(**{"suites/recipes/small.toml": recipe.replace("test_questions = 8", prompt), "test_own": OWN})
    asked = []

    def chat(number, body):
        asked.append(number)
        if len(asked) <= 2:
            return answer(" ".join(UNITS) + r" \boxed{7}")
        return Reply(400, {"error": {"message": UNITS[len(asked) % len(UNITS)]}})

    with chat_double(chat=chat) as double:
        options = ("--rl-endpoint", double.url, "--rl-set", f"description={toml(' '.join(UNITS[1::2]))}")
        alone = ("--rl-set", "engine.concurrency=1")
        texts = session(project, *options, *alone)
    assert len(asked) == 24
    expect_nothing(texts)
    (run,) = {Path(name).parts[1] for name in texts if name.startswith("rl-runs/small")}
    assert marks(texts["terminal"]) == marks(texts["junit.xml"]) == len(MARKS)
    assert "Captured stdout" in texts["terminal"]
    sorts = "ws" if hasattr(pytest, "Subtests") else "w"  # subtests came with pytest 9
    assert [f"{sort}{mark}" for sort in sorts for mark in MARKS if f"{sort}{mark}" not in texts["terminal"]] == []
    assert all(texts["junit.xml"].count(f'name="p{mark}') == 2 for mark in MARKS)
    for name in ("before/records.jsonl", "before/summary.json", "questions.jsonl"):
        assert marks(texts[f"rl-runs/{run}/{name}"]) >= 10, name
    assert marks(texts[f"rl-runs/{run}/recipe.toml"]) == len(MARKS)
    assert any(marks(text) == len(MARKS) for name, text in texts.items() if name.endswith(".html"))
    again = json.loads(texts[f"rl-runs/{run}/before/records.jsonl"].splitlines()[0])
    assert "[redacted]" in again["completion"]
    assert again["extracted"] == "7"


def test_rewards_that_raise_and_a_job_that_dies(project):
    """A reward that raises in every stage, one that ends the training process, and a chat template that refuses."""
    folder = project.path / "refuses"
    shutil.copytree(Path(harness.models.tiny.__file__).parent, folder, ignore=shutil.ignore_patterns("*.py", "__py*"))
    for path in folder.glob("chat_template*"):
        path.unlink()
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    words = " ".join(UNITS).replace("\\", "\\\\").replace("'", "\\'").replace("\x00", "")
    settings["chat_template"] = f"{{{{ raise_exception('{words}') }}}}"
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    key = toml(SECRETS["GitLab"][0])
    recipe = project.small
    rewards = f'[rewards]\nboxed_numeric = 1.0\n"outside:reward" = {{ weight = 0.5, api_key = {key} }}\n'
    project.write(
        **{
            "suites/recipes/small.toml": f"{recipe}\n{rewards}",
            "suites/recipes/crash.toml": f'{recipe}\n[rewards]\n"outside:crash" = 1.0\n[health]\nsignal = false\n',
            "suites/recipes/template.toml": recipe.replace('name = "tiny"', f'name = "{folder}"'),
            "test_trains": TRAINS,
        }
    )
    texts = session(project, torch=True)
    expect_nothing(texts)
    named = {Path(name).name: text for name, text in texts.items() if re.match(r"rl-runs/crash[^/]*/train/", name)}
    small = {name.split("/", 2)[-1]: text for name, text in texts.items() if name.startswith("rl-runs/small")}
    assert marks(named["log.txt"]) == len(MARKS)
    assert min(marks(named["error.txt"]), marks(named["failed.json"])) >= 10
    assert marks("".join(small[f"{stage}/rewards.json"] for stage in ("before", "train", "after"))) >= 15
    assert marks(small["train/log.txt"]) == len(MARKS)
    assert "[redacted]" in small["train/job.json"]
    verdicts = json.loads(small["verdicts.json"])["verdicts"]
    assert marks(next(each["sentence"] for each in verdicts if each["gate"] == "training")) >= 1
    for name in ("terminal", "junit.xml"):
        assert marks(texts[name]) == len(MARKS), name
    page = next(name for name in texts if re.fullmatch(r"rl-report/small\.html", name))
    for name in ("comment.md", "step.md", page):
        assert marks(texts[name]) >= 1, name


def test_a_reward_module_that_cannot_be_imported(project):
    """In a session, and under both commands that would use it."""
    recipe = f'{project.small}\n[rewards]\n"broken:reward" = 1.0\n'
    project.write(**{"suites/recipes/small.toml": recipe, "broken": BROKEN, "test_own": "def test(before): pass\n"})
    texts = session(project)
    expect_nothing(texts)
    assert marks(texts["terminal"]) == marks(texts["junit.xml"]) == len(MARKS)
    for command in ("run", "audit"):
        code, texts = asked(project, ["harness.cli", command, "suites/recipes/small.toml"])
        assert code == 2
        expect_nothing(texts)
        assert marks(texts["errors"]) == len(MARKS)


TALKS = """
import logging, sys, warnings
from outside import UNITS

def reward(prompts, completions, **columns):
    for unit in UNITS:
        print("o" + unit)
        print("e" + unit, file=sys.stderr)
        warnings.warn("w" + unit)
        logging.getLogger("talks").warning("l" + unit)
    return [0.0] * len(completions)
"""


def test_what_a_reward_prints_under_the_command_line(project):
    """Its output, warnings and log of each of its calls, as another program's log would keep them."""
    project.write(**{"talks": TALKS, "outside": OUTSIDE, "units.json": json.dumps(UNITS)})
    _, texts = asked(project, ["harness.cli", "audit", "talks:reward"])
    texts["errors"] = texts["errors"].replace("\r", "")
    expect_nothing(texts)
    assert all(f"o{mark}" in texts["terminal"] for mark in MARKS), texts
    assert all(f"{sort}{mark}" in texts["errors"] for sort in "ewl" for mark in MARKS), texts["errors"][-2000:]
