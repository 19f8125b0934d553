"""Names and texts beyond ASCII, under a locale that knows nothing else."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.inner_pytest import run
from tests.plugin.conftest import Project, make_project

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
TEXT = "Größe ≥ 数"
REWARD = """
def länge(prompts, completions, **columns):
    if not hasattr(länge, "asked"):
        länge.asked = True
        raise ValueError("zu groß ≥ 数")
    return [float(len(each[0]["content"]) % 3) for each in completions]
"""


@pytest.fixture
def elsewhere(tmp_path) -> Project:
    """A project whose folder, recipe, questions and reward all have such names, under version control."""
    project = make_project(tmp_path / TEXT)
    recipe = project.small.replace("A recipe of four steps.", TEXT).replace("max_steps = 4", "max_steps = 1")
    recipe = recipe.replace('name = "arithmetic"', 'name = "frägen.jsonl"').replace("= 24", "= 8", 1)
    recipe += '\n[rewards]\nboxed_numeric = 1.0\n"meine:länge" = 1.0\n\n[health]\nsignal = false\n'
    rows = [{"question": f"Wie groß ist {n} + 1? 数", "answer": n + 1} for n in range(40)]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    project.write(**{"suites/recipes/small.toml": recipe, "suites/recipes/frägen.jsonl": lines})
    project.write(**{"suites/recipes/meine": REWARD, "test_it": "def test_it(before, after):\n    pass\n"})
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a"]):
        subprocess.run(["git", *command], cwd=project.path, check=True)
    return project


def test_a_session_is_the_same_as_under_any_other_locale(elsewhere):
    options = ("--rl-runs-dir=läufe", "--rl-report-dir=bericht", "--rl-pr-comment=kömmentar.md", "--junitxml=ü.xml")
    changed = f"--rl-set=description={TEXT} noch einmal"
    result = elsewhere.pytest("-q", *options, changed, torch=None, **ASCII)
    result.assert_outcomes(passed=1)
    assert any('"meine:l\\xe4nge" failed on 1 batch' in line for line in result.outlines)
    (directory,) = (elsewhere.path / "läufe").glob("small")
    assert f'description = "{TEXT} noch einmal"' in (directory / "recipe.toml").read_text(encoding="utf-8")
    environment = json.loads((directory / "environment.json").read_text(encoding="utf-8"))
    assert changed in environment["command"]
    assert len(environment["git"]["commit"]) == 40
    page = (elsewhere.path / "bericht" / f"{directory.name}.html").read_text(encoding="utf-8")
    assert "Wie groß ist" in page
    assert f"{TEXT} noch einmal" in page
    again = elsewhere.pytest("-q", *options)  # and finds what the first one made
    again.assert_outcomes(passed=1)
    assert "Reused 16 answers, 1 training step.  Report: bericht/index.html" in again.outlines
    assert list((elsewhere.path / "läufe").glob("small")) == [directory]


def test_a_recipe_whose_name_names_no_run_is_refused_in_the_same_words(elsewhere):
    elsewhere.write(**{"suites/recipes/größe.toml": elsewhere.small})
    words = "must be letters, digits, '.', '_' and '-' of ASCII, the first a letter or a digit, not "
    for environment, name in ((ASCII, r"gr\xf6\xdfe"), ({}, "größe")):
        result = elsewhere.pytest("-q", "--collect-only", torch=None, **environment)
        (said,) = [line for line in result.outlines if f"{name}.toml:1: name: " in line]
        assert said.endswith(f"{words}'{name}'")


@pytest.mark.parametrize("command", [["recipes"], ["plan", "small"], ["runs", "--runs-dir=läufe"]])
def test_commands_show_what_the_locale_cannot(elsewhere, command):
    (elsewhere.path / "läufe").mkdir()
    done = run(["harness.cli", *command], elsewhere.path, ASCII, torch=None)
    assert "Traceback" not in done.stderr.str()
    assert done.ret == (2 if command[0] == "runs" else 0)
    assert ("small: Gr\\xf6\\xdfe \\u2265 \\u6570" in done.stdout.str()) == (command[0] != "runs")
