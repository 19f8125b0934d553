"""Intervals for accuracies."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence


def accuracy_interval(question_means: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Two-sided interval of the mean over questions.

    With one answer a question the means are 0 or 1 and the interval is Wilson's. With several, each question is one
    observation (pooling answers to a question as if independent would be too sure of itself) and the interval is
    Student's t on the question means, cut to [0, 1].

    Returns:
        (low, high) as shares; (0, 1) where there is too little to tell.
    """
    n = len(question_means)
    if n == 0:
        return 0.0, 1.0
    if all(mean in (0.0, 1.0) for mean in question_means):
        return _wilson(int(sum(question_means)), n, confidence)
    if len(set(question_means)) == 1:  # no spread to judge by
        return 0.0, 1.0
    low, high = t_interval(question_means, confidence)
    return max(0.0, low), min(1.0, high)


def t_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Student's t interval of a mean, from two values or more; ``scipy.stats`` has it, and takes a second to import."""
    from scipy.special import stdtrit

    mean = math.fsum(values) / len(values)
    half = float(stdtrit(len(values) - 1, (1 + confidence) / 2)) * statistics.stdev(values) / math.sqrt(len(values))
    return mean - half, mean + half


def _wilson(correct: int, n: int, confidence: float) -> tuple[float, float]:
    """Wilson's score interval (Wilson 1927); ``scipy.stats`` has it, and takes a second to import."""
    from scipy.special import ndtri

    z = float(ndtri((1 + confidence) / 2))
    share, spread = correct / n, z * z / n
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    # At the ends the interval is closed; rounding must not open it.
    return (0.0 if correct == 0 else centre - half), (1.0 if correct == n else centre + half)
