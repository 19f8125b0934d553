r"""Compares an answer with a ground truth as flexible graders promise: as exact numbers, or else as text.

>>> same_answer(r"\$1{,}200.00", "1200"), same_answer("1201", "1200"), same_answer(r"\text{paris.}", "Paris")
(True, False, True)

Where both name a unit, it must be the same one in some spelling; it is not converted. Where one names none, the
other's is dropped.

>>> same_answer("5 centimeters", r"5\text{ cm}"), same_answer("3 AM", "3 PM"), same_answer("5", "5 cm")
(True, False, True)
"""

from __future__ import annotations

from harness.rewards.numbers import parse_quantity
from harness.rewards.text import normalize
from harness.rewards.units import same_unit


def same_answer(answer: str, ground_truth: str) -> bool:
    """Whether two texts are the same number, exactly; where the ground truth is not a number, the same words."""
    same = same_quantity(answer, ground_truth)
    if same is None:
        return parse_quantity(ground_truth) is None and normalize(answer) == normalize(ground_truth)
    return same


def same_quantity(answer: str, ground_truth: str) -> bool | None:
    """Whether two numbers are the same with their units; ``None`` where either text is not a number."""
    given, truth = parse_quantity(answer), parse_quantity(ground_truth)
    if given is None and truth is not None and truth[1]:  # "5 m" is a product, but not beside a truth in metres
        given = parse_quantity(answer, upright=True)
    if truth is None and given is not None and given[1]:
        truth = parse_quantity(ground_truth, upright=True)
    if given is None or truth is None:
        return None
    return given[0] == truth[0] and same_unit(given[1], truth[1])
