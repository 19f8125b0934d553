"""GRPO's advantages, computed from kept rewards."""

from __future__ import annotations

from statistics import fmean, stdev

from harness.store.run_files import Completion


def by_group(rows: list[Completion]) -> dict[str, list[float]]:
    """The rewards of each group, in the order of the completions."""
    groups: dict[str, list[float]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row.reward)
    return groups


def advantages_of(rows: list[Completion], scale: str = "group") -> list[float]:
    """TRL's: the reward less its group's mean, in units of the spread of its group (arXiv:2402.03300, eq. 3), of the
    batch, or as it is (``"none"``)."""
    groups = by_group(rows)
    if scale == "none":
        return [row.reward - fmean(groups[row.group]) for row in rows]
    spread = dict.fromkeys(groups, stdev([row.reward for row in rows]))
    if scale == "group":
        spread = {name: stdev(rewards) for name, rewards in groups.items()}
    return [(row.reward - fmean(groups[row.group])) / (spread[row.group] + 1e-4) for row in rows]
