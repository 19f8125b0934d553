"""A policy that breaks its grader does not pass, and a gate that is not there is named."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from harness.errors import HarnessError
from harness.gate.intervals import accuracy_interval
from harness.judging import judge
from harness.recipe import EvaluateSection, GateSection


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
