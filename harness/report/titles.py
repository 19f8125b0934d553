"""What tells the runs of a session apart, from their small files alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.store.siblings import differences as tell_apart

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_MOST = 6
_LONGEST = 60


def differences(runs: Sequence[Path]) -> list[tuple[tuple[str, str], ...]]:
    """``(key, value)`` of what differs between a run and the others of its recipe, beyond its name, for each run."""
    return [tuple((each.key, _short(each.value)) for each in told[:_MOST]) for told in tell_apart(runs)]


def _short(value: str) -> str:
    return value if len(value) <= _LONGEST else value[: _LONGEST - 1] + "…"
