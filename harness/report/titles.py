"""What tells the runs of a session apart, from their small files alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.report import present
from harness.report.read import read_head

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_MOST = 6
_LONGEST = 60
_ABSENT = "not set"


def differences(runs: Sequence[Path]) -> list[tuple[tuple[str, str], ...]]:
    """``(key, value)`` of what differs between a run and those of the same recipe and seed, for each run.

    First what the recipes say, as dotted keys; where they say the same, what the runs' keys stand for (a library's
    version, a grader's source).
    """
    heads = [read_head(path) for path in runs]
    found: list[tuple[tuple[str, str], ...]] = []
    for name, recipe, identity in heads:
        alike = [head for head in heads if head[0] == name]
        told = _differing(recipe, [other for _, other, _ in alike])
        found.append(tuple(told or _differing(identity or {}, [other or {} for _, _, other in alike])))
    return found


def _differing(own: Mapping[str, object], others: Sequence[Mapping[str, object]]) -> list[tuple[str, str]]:
    leaves = [dict(present.leaves(other)) for other in others]
    mine = dict(present.leaves(own))
    keys = dict.fromkeys(key for other in leaves for key in other)
    told = [key for key in keys if len({other.get(key) for other in leaves}) > 1 and key != "description"]
    return [(key, _short(mine.get(key, _ABSENT))) for key in told[:_MOST]]


def _short(value: str) -> str:
    return value if len(value) <= _LONGEST else value[: _LONGEST - 1] + "…"
