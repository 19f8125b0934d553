"""How often a group of completions should carry no signal, by chance alone."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from harness.report.completions import Row, Sampled, groups_of

if TYPE_CHECKING:
    from collections.abc import Sequence


def agreement(shares: Sequence[float], draws: int) -> float:
    """The chance that ``draws`` independent draws all fall into one class, of classes with these shares.

    Of two classes it is the p^G + (1 - p)^G of a binary reward.

    >>> agreement([0.5, 0.5], draws=3)
    0.25
    """
    return min(1.0, sum(share**draws for share in shares))


def expected_zero_std(rows: Sequence[Row]) -> float | None:
    """The share of a step's groups in which all rewards would agree if every completion drew its reward from the
    step's own mix of rewards, whatever its question. In [0, 1]; ``None`` where no completion has a reward.

    Questions differ in difficulty, so it is a floor: the share that is seen lies above it by as much as they differ.
    """
    rewards = [row.reward for row in rows if row.reward is not None]
    if not rewards:
        return None
    shares = [count / len(rewards) for count in Counter(round(reward, 6) for reward in rewards).values()]
    groups = groups_of(rows)
    return sum(agreement(shares, len(group)) for group in groups) / len(groups)


def expected_by_step(sampled: Sampled | None) -> dict[int, float]:
    """:func:`expected_zero_std` of every step that sampled."""
    if sampled is None:
        return {}
    found = {step: expected_zero_std(rows) for step, rows in sampled.steps.items()}
    return {step: share for step, share in found.items() if share is not None}
