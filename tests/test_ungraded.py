"""A policy that breaks its grader does not pass, and a gate that is not there is named."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from harness.gate.intervals import accuracy_interval
from harness.gate.verdicts import Verdict
from harness.pipeline import judge as judging
from harness.pipeline.baselines import record
from harness.pipeline.judge import judge, over_seeds
from harness.recipe import EvaluateSection, GateSection
from harness.store.errors import HarnessError


def made_up(right: int, wrong: int, unscored: int):
    means = {f"q{n}": float(n < right) for n in range(right + wrong)}
    after = SimpleNamespace(
        means=means,
        interval=accuracy_interval(list(means.values())),
        summary={"counts": {"correct": right, "wrong": wrong, "no_answer": 0, "unscored": unscored}},
    )
    recipe = SimpleNamespace(gate=GateSection(min_accuracy=0.5), evaluate=EvaluateSection())
    return SimpleNamespace(recipe=recipe, after=lambda: after)


@pytest.mark.parametrize(
    ("answers", "word"),
    [((90, 10, 0), "OK"), ((90, 10, 2), "OK"), ((90, 10, 3), "INCONCLUSIVE"), ((20, 0, 380), "INCONCLUSIVE")],
)
def test_a_pass_needs_graded_answers(answers, word):
    verdict = judge(made_up(*answers), "accuracy")
    assert verdict is not None
    assert verdict.verdict == word
    assert ("could not be graded" in verdict.sentence) == (word == "INCONCLUSIVE")


def test_a_failure_stays_one():
    verdict = judge(made_up(10, 90, 50), "accuracy")
    assert verdict is not None
    assert verdict.verdict == "TOO_LOW"


def test_a_misspelt_gate_is_named():
    with pytest.raises(HarnessError, match="no gate named 'improvment'; did you mean 'improvement'"):
        judge(made_up(1, 1, 0), "improvment")


def judged_run(seed: int, *, before: int = 0, after: int = 0):
    """A run that gained 50 points and some, with so many answers that have no grade."""
    run = made_up(90, 10, after)
    base = made_up(40, 60, before).after()
    run.before, run.seed = lambda: base, seed
    run.recipe.train, run.recipe.task = None, SimpleNamespace(test_questions=100)
    run.settings = SimpleNamespace(gates=1)
    numbers = {"pairs": 100, "before": 0.4, "after": 0.9 + seed / 100}
    run.verdict = lambda gate: Verdict("improvement", "IMPROVED", "", numbers) if gate == "improvement" else None
    return run


@pytest.mark.parametrize(
    ("ungraded", "word", "said"),
    [
        ({}, "IMPROVED", ""),
        ({"after": 30}, "INCONCLUSIVE", "30 of 130 answers of seed 1 could not be graded"),
        ({"before": 30}, "INCONCLUSIVE", "30 of 130 answers of the base model with seed 1 could not be graded"),
    ],
)
def test_the_recipe_does_not_pass_on_a_seed_without_grades(ungraded, word, said):
    verdict = over_seeds([judged_run(0), judged_run(1, **ungraded), judged_run(2)])
    assert verdict is not None
    assert verdict.verdict == word
    assert verdict.sentence.startswith(said)


def test_a_gain_over_a_base_without_grades_is_none(monkeypatch):
    gained = Verdict("improvement", "IMPROVED", "a gain")
    monkeypatch.setattr(judging, "_judged", lambda run, gate: gained)
    assert judge(judged_run(0), "improvement") == gained
    verdict = judge(judged_run(0, before=3), "improvement")
    assert verdict is not None
    assert verdict.verdict == "INCONCLUSIVE"
    assert verdict.sentence == "3 of 103 answers of the base model could not be graded; of the others: a gain"


def test_a_baseline_is_not_recorded_of_answers_without_grades(tmp_path):
    run = judged_run(0)
    run.id, run.settings = "made-up-0", SimpleNamespace(baselines_dir=tmp_path, allow_dirty=True)
    run.ask = lambda *_, **__: made_up(90, 10, 3).after()
    with pytest.raises(HarnessError, match=r"made-up-0: 3 of 103 answers could not be graded.*mend the grader"):
        record(run)
    assert not list(tmp_path.iterdir())
