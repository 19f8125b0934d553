"""A policy that breaks its grader does not pass, and a gate that is not there is named."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from harness.gate.statistics import accuracy_interval
from harness.gate.verdicts import judge_improvement
from harness.pipeline.baselines import record
from harness.pipeline.run import Run, over_seeds
from harness.recipe.catalog import find_recipe
from harness.store.errors import HarnessError
from harness.store.run_files import Verdict
from tests.run_files import summary


def evaluation(right: int, wrong: int, unscored: int) -> Any:
    means = {f"q{n}": float(n < right) for n in range(right + wrong)}
    counts = {"correct": right, "wrong": wrong, "no_answer": 0, "unscored": unscored}
    return SimpleNamespace(
        means=means,
        interval=accuracy_interval(list(means.values())),
        records=[],
        summary=summary(counts=counts, questions=right + wrong),
    )


class Answered(Run):
    """A run whose evaluations are made up; it gained 50 points and some, with so many answers that have no grade."""

    def __init__(self, seed: int = 0, *, before: int = 0, after: int = 0, answers: tuple[int, int] = (90, 10)) -> None:
        super().__init__(find_recipe("tiny-arithmetic").override({"gate.min_accuracy": 0.5}), seed)
        self._base, self._trained = evaluation(40, 60, before), evaluation(*answers, after)

    def before(self) -> Any:
        return self._base

    def after(self) -> Any:
        return self._trained

    def trained(self) -> Any:
        return None

    def keep(self, verdict: Verdict) -> None:
        self.judged[verdict.gate] = verdict


@pytest.mark.parametrize(
    ("answers", "word"),
    [((90, 10, 0), "OK"), ((90, 10, 2), "OK"), ((90, 10, 3), "INCONCLUSIVE"), ((20, 0, 380), "INCONCLUSIVE")],
)
def test_a_pass_needs_graded_answers(answers, word):
    *graded, ungraded = answers
    verdict = Answered(after=ungraded, answers=tuple(graded)).verdict("accuracy")
    assert verdict is not None
    assert verdict.verdict == word
    assert ("could not be graded" in verdict.sentence) == (word == "INCONCLUSIVE")


def test_a_failure_stays_one():
    verdict = Answered(after=50, answers=(10, 90)).verdict("accuracy")
    assert verdict is not None
    assert verdict.verdict == "TOO_LOW"


def test_a_misspelt_gate_is_named():
    with pytest.raises(HarnessError, match="no gate named 'improvment'; did you mean 'improvement'"):
        Answered().verdict("improvment")


@pytest.mark.parametrize(
    ("ungraded", "word", "said"),
    [
        ({}, "IMPROVED", ""),
        ({"after": 30}, "INCONCLUSIVE", "30 of 130 answers of seed 1 could not be graded"),
        ({"before": 30}, "INCONCLUSIVE", "30 of 130 answers of the base model with seed 1 could not be graded"),
    ],
)
def test_the_recipe_does_not_pass_on_a_seed_without_grades(ungraded, word, said, monkeypatch):
    def verdict(run: Run, gate: str) -> Verdict | None:
        numbers = {"pairs": 100, "before": 0.4, "after": 0.9 + run.seed / 100}
        return Verdict("improvement", "IMPROVED", "gain", "", numbers) if gate == "improvement" else None

    monkeypatch.setattr(Answered, "verdict", verdict)
    found = over_seeds([Answered(0), Answered(1, **ungraded), Answered(2)])
    assert found is not None
    assert found.verdict == word
    assert found.sentence.startswith(said)


def test_a_gain_over_a_base_without_grades_is_none(monkeypatch):
    gained = judge_improvement({"q": 0.0}, {"q": 1.0}, ["q"], min_improvement=None, margin=0.05, alpha=0.49)
    gained = replace(gained, verdict="IMPROVED")
    monkeypatch.setattr(Answered, "_judged", lambda run, gate: gained)
    assert Answered().verdict("improvement") == gained
    verdict = Answered(before=3).verdict("improvement")
    assert verdict is not None
    assert verdict.verdict == "INCONCLUSIVE"
    ungraded = "3 of 103 answers of the base model could not be graded"
    assert verdict.sentence == f"{ungraded}; of the others: {gained.sentence}"


def test_a_baseline_is_not_recorded_of_answers_without_grades(tmp_path):
    run = Answered(after=3)
    with pytest.raises(HarnessError, match=r"tiny-arithmetic-0: 3 of 103 answers could not be graded.*mend the grader"):
        record(tmp_path, run.recipe, 0, (), "commit", run.after())
    assert not list(tmp_path.iterdir())
