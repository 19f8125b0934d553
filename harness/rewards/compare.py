r"""Compares an answer with a ground truth as flexible graders promise: as exact numbers, or else as text.

>>> same_answer(r"\$1{,}200.00", "1200"), same_answer("1201", "1200"), same_answer(r"\text{paris.}", "Paris")
(True, False, True)
"""

from __future__ import annotations

from harness.rewards.numbers import parse_number
from harness.rewards.text import normalize


def same_answer(answer: str, ground_truth: str) -> bool:
    """Whether two texts are the same number, exactly; where the ground truth is not a number, the same words."""
    truth = parse_number(ground_truth)
    if truth is None:
        return normalize(answer) == normalize(ground_truth)
    return parse_number(answer) == truth
