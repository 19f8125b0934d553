"""``methods.json`` of the runs of a session: what each method gained and what that cost, once for each comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.report.present import NONE, count, percent, seconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from harness.store.methods import Comparison, Row
    from harness.store.records import Interval

Cell = tuple[str, str]
"""A number in words, and its 95 % interval or ``""``."""


@dataclass(frozen=True, slots=True)
class Methods:
    """One comparison. ``rows`` are ``(method, recipe, seeds, cells)`` with a cell for each of :data:`COLUMNS`,
    ``pairs`` are ``(a, b, sentence)``, ``differing`` what the runs do not share though they should."""

    rows: tuple[tuple[str, str, int, tuple[Cell, ...]], ...]
    pairs: tuple[tuple[str, str, str], ...]
    differing: tuple[str, ...]


COLUMNS = ("accuracy", "gained", "tokens", "time", "gained per 1,000 tokens", "gained per second")


def methods_of(kept: Iterable[Comparison | None]) -> list[Methods]:
    """The comparisons that some runs took part in, each once, in the order in which they are met."""
    found: list[Comparison] = []
    for each in kept:
        if each is not None and each not in found:
            found.append(each)
    return [
        Methods(
            rows=tuple(map(_row, each.rows)),
            pairs=tuple((pair.a, pair.b, pair.sentence) for pair in each.pairs),
            differing=each.differing,
        )
        for each in found
    ]


def _row(row: Row) -> tuple[str, str, int, tuple[Cell, ...]]:
    low, high = row.accuracy_interval
    cells = (
        (percent(row.accuracy), f"{100 * low:.1f} to {100 * high:.1f}"),
        _points(row.gain, row.gain_interval, 1),
        (count(row.sampled_tokens), ""),
        (seconds(row.seconds), ""),
        _points(row.per_thousand_tokens, row.per_thousand_tokens_interval, 2),
        _points(row.per_second, row.per_second_interval, 2),
    )
    return row.method, row.recipe, len(row.seeds), cells


def _points(value: float | None, interval: Interval | None, digits: int) -> Cell:
    """A difference of shares in percentage points, and its interval."""
    if value is None:
        return NONE, ""
    words = "" if interval is None else f"{100 * interval[0]:+.{digits}f} to {100 * interval[1]:+.{digits}f}"
    return f"{100 * value:+.{digits}f}".replace("-", "\N{MINUS SIGN}"), words.replace("-", "\N{MINUS SIGN}")
