"""Intervals for accuracies."""

from __future__ import annotations

from collections.abc import Sequence


def accuracy_interval(question_means: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided interval of the mean over questions.

    With one answer a question the means are 0 or 1 and the interval is Wilson's. With several, each question is one
    observation (pooling answers to a question as if independent would be too sure of itself) and the interval is
    Student's t on the question means, cut to [0, 1].

    Returns:
        (low, high) as shares; (0, 1) where there is too little to tell.
    """
    from scipy import stats  # costs half a second: not while tests are collected

    n = len(question_means)
    if n == 0:
        return 0.0, 1.0
    if all(mean in (0.0, 1.0) for mean in question_means):
        wilson = stats.binomtest(int(sum(question_means)), n).proportion_ci(confidence, method="wilson")
        return float(wilson.low), float(wilson.high)
    if len(set(question_means)) == 1:  # no spread to judge by
        return 0.0, 1.0
    low, high = stats.ttest_1samp(list(question_means), 0.0).confidence_interval(confidence)
    return max(0.0, float(low)), min(1.0, float(high))
