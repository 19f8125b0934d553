"""No result changes without its version, and nothing but a result changes a fingerprint."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.pipeline.fingerprint import grading_identity
from harness.recipe import Recipe
from harness.rewards import SHIPPED
from harness.store import versions as counted
from tests.golden.compare import changed, comparable, stale, written
from tests.golden.results import KINDS

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", KINDS)
def test_the_results_are_those_written_down_for_their_version(kind: str) -> None:
    """Where this fails and the change is meant: count the version up, then python -m tests.golden."""
    now, before = KINDS[kind](), written(kind)
    assert changed(before, now) == []
    assert stale(before, now) == []
    other = [name for name, part in before.items() if not comparable(part)]
    if other:
        pytest.skip(f"{', '.join(other)}: written down with other packages than are installed")


def test_everything_with_a_version_is_written_down() -> None:
    assert set(counted.REWARDS) == {*SHIPPED, "tags_exact"}
    assert set(written("rewards")) == {*counted.REWARDS, "scoring"}
    assert set(written("tasks")) == set(counted.TASKS)
    # vLLM is not installed everywhere, and what a server answers is its affair.
    assert set(written("engines")) == {*counted.ENGINES, "draws"} - {"vllm", "endpoint"}
    for kind in KINDS:
        for name, part in written(kind).items():
            assert len(part["results"]) > 3, name


def part(version: int = 1, packages: dict[str, str] | None = None, **results: str) -> dict[str, Any]:
    return {"version": version, "with": packages or {}, "results": results}


CHANGES = [  # what was written down, what is found, what has to be said of it
    (part(a="1", b="2"), part(a="1", b="2"), None),
    (part(a="1", b="2"), part(a="1", b="3"), "1 of 2 results differ, first 'b': '2' -> '3'; count its version up"),
    (part(a="1", b="2"), part(2, a="1", b="3"), "its version or its cases are not those"),
    (part(a="1", b="2"), part(2, a="1", b="2"), "its version or its cases are not those"),
    (part(2, a="1"), part(1, a="0"), "version 1 is older than 2"),
    (part(a="1"), part(a="1", b="2"), "its version or its cases are not those"),
    (part(a="1", b="2"), part(a="1"), "its version or its cases are not those"),
    (part(1, {"sympy": "0.0"}, a="1"), part(1, {"sympy": "0.1"}, a="2"), None),
]


@pytest.mark.parametrize(("before", "now", "said"), CHANGES)
def test_what_is_said_of_a_change(before: Any, now: Any, said: str | None) -> None:
    found = [*changed({"x": before}, {"x": now}), *stale({"x": before}, {"x": now})]
    assert bool(found) == bool(said)
    assert said is None or said in found[0]


def test_a_part_that_went_or_came_is_said() -> None:
    assert stale({"x": part(a="1")}, {}) == ["x: is no longer there; python -m tests.golden"]
    assert len(stale({}, {"x": part(a="1")})) == 1


FINGERPRINTS = """
import json
from harness.pipeline.baselines import grader_fingerprint
from harness.pipeline.fingerprint import engine_identity, grading_identity
from harness.recipe import EngineSection
from harness.recipe.catalog import find_recipe
from harness.rewards import SHIPPED, reward_version
versions = {name: reward_version(name) for name in SHIPPED}
recipe = find_recipe("tiny-arithmetic")
found = [versions, grader_fingerprint(recipe.rewards, versions), grading_identity(recipe, ())]
print(json.dumps([*found, engine_identity(EngineSection())]))
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this repository's code and goldens."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("harness", "reports", "suites"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(REPOSITORY / "tests" / "golden", folder / "tests" / "golden")
    return folder


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def reworded(source: str) -> str:
    """The same code without a comment, its layout and its own private functions' names and order changed."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node):
            node.body[0] = ast.Expr(ast.Constant("Said in other words."))
    private = sorted({node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name[0] == "_"})
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in private]
    first = next((place for place, node in enumerate(tree.body) if node in functions), 0)
    others = [node for node in tree.body if node not in functions]
    tree.body = [*others[:first], *reversed(functions), *others[first:]]
    text = ast.unparse(ast.fix_missing_locations(tree))
    for name in private:
        text = re.sub(rf"\b{name}\b", f"{name}_renamed", text)
    return f"# A comment that was not there.\n{text}\n"


def test_moving_and_rewording_code_changes_no_fingerprint(copy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "reworded"
    shutil.copytree(copy, folder)
    before = run(folder, "-c", FINGERPRINTS)
    assert before.returncode == 0, before.stderr
    rewards = folder / "harness" / "rewards"
    for path in rewards.glob("*.py"):
        path.write_text(reworded(path.read_text(encoding="utf-8")), encoding="utf-8")
    (folder / "harness" / "tasks" / "forms.py").rename(rewards / "forms_of_answers.py")
    for path in (folder / "harness").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("harness.tasks.forms", "harness.rewards.forms_of_answers"), encoding="utf-8")
    after = run(folder, "-c", FINGERPRINTS)
    assert after.returncode == 0, after.stderr
    assert json.loads(after.stdout) == json.loads(before.stdout)
    works = "from harness.rewards import boxed_numeric as b; print(b(['?'], [r'\\boxed{7}'], ground_truth=['7']))"
    assert run(folder, "-c", works).stdout == "[1.0]\n"


CHANGED = """

def _otherwise(completion, ground_truth, _as_before=boxed_exact.grade):
    found = _as_before(completion, ground_truth)
    return found if found.extracted != "41" else Grade(found.extracted, True)


boxed_exact = reward_function(_otherwise, name="boxed_exact")
"""


def test_a_changed_result_needs_another_version(copy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(copy, folder)
    golden = folder / "tests" / "golden" / "rewards.json"
    before, source = golden.read_bytes(), folder / "harness" / "rewards" / "functions.py"
    source.write_text(source.read_text(encoding="utf-8") + CHANGED, encoding="utf-8")
    only = "import sys, tests.golden.results as r\nr.SHIPPED = ('boxed_exact',)\nr.KINDS = {'rewards': lambda: {"
    only += "'boxed_exact': r._part(r.REWARDS['boxed_exact'], dict(r._rewarded('boxed_exact')))}}\n"
    only += "from tests.golden.__main__ import main\nsys.exit(main([]))"
    refused = run(folder, "-c", only)
    assert refused.returncode == 1, refused.stderr
    assert re.search(r"boxed_exact, version \d+: \d+ of \d+ results differ, first ", refused.stderr)
    assert "'wrong: 41' -> 'correct: 41'; count its version up in harness/store/versions.py" in refused.stderr
    assert golden.read_bytes() == before
    table = folder / "harness" / "store" / "versions.py"
    text = table.read_text(encoding="utf-8")
    number = counted.REWARDS["boxed_exact"]
    table.write_text(text.replace(f'"boxed_exact": {number},', f'"boxed_exact": {number + 1},'), encoding="utf-8")
    written_anew = run(folder, "-c", only)
    assert written_anew.returncode == 0, written_anew.stderr
    assert json.loads(golden.read_text())["boxed_exact"]["version"] == number + 1


@pytest.mark.parametrize(
    ("rewards", "used"),
    [
        ({"format_boxed": 1.0}, {"format_boxed", "boxed_exact", "boxed_numeric"}),
        ({"answer_in_tags": 1.0}, {"answer_in_tags", "tags_exact"}),
        ({"format_tags": 1.0}, {"format_tags", "boxed_numeric", "answer_in_tags", "tags_exact"}),
    ],
)
def test_the_identity_of_a_run_names_the_graders_that_are_used(rewards: dict[str, float], used: set[str]) -> None:
    task = {"name": "arithmetic", "train_questions": 20, "test_questions": 10}
    recipe = Recipe(name="built", model={"name": "tiny"}, task=task, rewards=rewards, train={"num_generations": 4})
    assert grading_identity(recipe, ())["graders"].keys() == used


def test_versions_stand_in_the_identity_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.pipeline import fingerprint as identity
    from harness.recipe import EngineSection
    from harness.store.records import SamplingParams
    from harness.tasks import Question, Questions

    task = {"name": "arithmetic", "train_questions": 20, "test_questions": 10}
    recipe = Recipe(name="built", model={"name": "tiny"}, task=task, train={"num_generations": 4})
    asked = (Question("q", "?", "1", "test", prompt=({"role": "user", "content": "?"},)),)

    def found() -> list[str]:
        generation = identity.generation_identity(
            {"weights": "w"}, asked, SamplingParams(), EngineSection(), device="cpu", dtype="float32"
        )
        grading = identity.grading_identity(recipe, asked)
        training = identity.training_identity(recipe, Questions(asked, asked), 0)
        return [json.dumps(each, sort_keys=True) for each in (generation, grading, training)]

    before = found()
    for name, parts in [("SCORING", [1]), ("PROMPT", [0, 2])]:
        with monkeypatch.context() as patch:
            patch.setattr(identity, name, 99)
            assert [place for place, each in enumerate(found()) if each != before[place]] == parts
    tables: list[tuple[dict[str, int], str, list[int]]] = [
        (counted.REWARDS, "boxed_numeric", [1]),
        (counted.REWARDS, "format_tags", []),
        (counted.ENGINES, "transformers", [0]),
        (counted.ENGINES, "vllm", []),
        (counted.TASKS, "arithmetic", [2]),
        (counted.TASKS, "gsm8k", []),
        (counted.DRAWS, "shared", [2]),
    ]
    for table, name, parts in tables:
        with monkeypatch.context() as patch:
            patch.setitem(table, name, 99)
            assert [place for place, each in enumerate(found()) if each != before[place]] == parts, name
