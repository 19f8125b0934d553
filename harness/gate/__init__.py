"""What judges: intervals, the sequential paired test, verdicts, baselines, the health of a training, its signal.

Functions of numbers and records, and the file of a baseline. Nothing here knows a recipe, a model or a run.
"""

from harness.gate.statistics import accuracy_interval
from harness.gate.verdicts import judge_accuracy, judge_improvement, judge_training
from harness.store.run_files import Verdict

__all__ = [
    "Verdict",
    "accuracy_interval",
    "judge_accuracy",
    "judge_improvement",
    "judge_training",
]
