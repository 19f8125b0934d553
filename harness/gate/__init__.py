"""The gate: intervals, the sequential paired test, and the verdicts drawn from them."""

from harness.gate.intervals import accuracy_interval
from harness.gate.sequential import Walk, walk
from harness.gate.verdicts import Verdict, judge_accuracy, judge_improvement, judge_training

__all__ = [
    "Verdict",
    "Walk",
    "accuracy_interval",
    "judge_accuracy",
    "judge_improvement",
    "judge_training",
    "walk",
]
