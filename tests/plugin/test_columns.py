"""A recipe whose reward takes columns of the questions' rows: the same values in training, evaluation and regrade."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

from harness.cli import main
from harness.store.records import RECORDS
from harness.store.run_files import COMPLETIONS, METRICS, QUESTIONS
from tests.plugin.conftest import Project
from tests.small_recipes import small_recipe

REWARDS = """
def lengths(prompts, completions, kind, bounds, log_extra, log_metric, **others):
    # Columns of TRL's dataset would have been made one type: {"least": 1, "most": None}.
    assert all(set(each) == {"least"} if k == "short" else set(each) == {"most"} for k, each in zip(kind, bounds))
    assert all((each is None) == (k == "short") for k, each in zip(kind, others["extra"]))
    log_metric("short_ones", sum(each == "short" for each in kind))
    log_extra("kinds", kind)
    return [float(len(kind) > 0) + 0.1 * (len(c[0]["content"]) % 7) for c, kind in zip(completions, kind)]
"""
TESTS = """
def test_it(before, after, trained, questions, verdicts):
    assert {each.columns["kind"] for each in questions.test} == {"short", "long"}
    verdicts.require("training")
"""


def rows() -> str:
    made = []
    for n in range(60):
        kind = "short" if n % 2 else "long"
        row = {"question": f"What is {n} + {n + 1}?", "answer": 2 * n + 1, "kind": kind}
        row |= {"bounds": {"least": 1}} if n % 2 else {"bounds": {"most": 9}, "extra": [n, "x", None]}
        made.append(json.dumps(row) + "\n")
    return "".join(made)


def write(project: Project, reward: str = REWARDS) -> None:
    recipe = small_recipe().replace('name = "arithmetic"', 'name = "questions.jsonl"')
    recipe = f'{recipe}\n[rewards]\n"lengths:lengths" = 1.0\nboxed_numeric = 1.0\n'
    project.write(
        **{"suites/recipes/small.toml": recipe, "suites/recipes/questions.jsonl": rows(), "suites/test_it": TESTS},
        **{"suites/recipes/lengths": reward},
    )


def test_a_reward_takes_columns_in_every_stage(project: Project, capsys) -> None:
    write(project)
    project.pytest("suites", torch=True).assert_outcomes(passed=1)
    (run,) = (each for each in Path(project.path, "rl-runs").iterdir() if QUESTIONS.path(each).exists())
    assert {frozenset(each.columns) for each in QUESTIONS.read(run)} == {
        frozenset({"answer", "kind", "bounds", "extra"})
    }
    records = [*RECORDS.read(run / "before"), *RECORDS.read(run / "after")]
    assert all(each.rewards["lengths:lengths"] is not None for each in records)
    sampled = list(COMPLETIONS.read(run / "train"))
    assert sampled
    assert all(each.rewards["lengths:lengths"] is not None for each in sampled)
    kinds = {f"questions/all/{n}": "short" if n % 2 else "long" for n in range(60)}
    assert all(each.extra == {"kinds": kinds[each.question_id]} for each in sampled)
    assert any("short_ones" in line for line in METRICS.read(run / "train"))
    assert main(["regrade", str(run), "--runs-dir", str(run.parent)]) == 0
    assert "before: 0 of 8 grades change" in capsys.readouterr().out
    hidden = [replace(each, columns={"kind": "[redacted]"}) for each in QUESTIONS.read(run)]
    QUESTIONS.write(Path(shutil.copytree(run, run.parent / "hidden")), hidden)
    assert main(["regrade", str(run.parent / "hidden"), "--runs-dir", str(run.parent)]) == 2
    assert "hides what looks like a secret in its truth or columns" in capsys.readouterr().err
    shutil.rmtree(run.parent / "hidden")
    # Another value of a column: other grades, and the same answers.
    path = project.path / "suites/recipes/questions.jsonl"
    path.write_text(path.read_text().replace("null]", "1]"))
    again = project.pytest("suites", "-v", torch=True)
    again.assert_outcomes(passed=1)
    assert len(list(Path(project.path, "rl-runs").glob("small*"))) == 2


def test_a_column_that_is_not_there_is_refused_when_tests_are_collected(project: Project) -> None:
    write(project, REWARDS.replace("kind, bounds, log", "kind, bound, log"))
    result = project.pytest("suites", "--collect-only", torch=None)
    text = result.stdout.str() + result.stderr.str()
    assert "small.toml:" in text
    assert (
        "[rewards] lengths:lengths: takes 'bound', and the questions have no such column; did you mean 'bounds'?"
        in text
    )
    assert result.ret != 0
