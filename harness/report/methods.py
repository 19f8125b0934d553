"""``methods.json`` of the runs of a session: what each method gained and what that cost, once for each comparison."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.report.loose import dicts, number, string
from harness.report.present import NONE, count, percent, seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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


def methods_of(kept: Iterable[Mapping[str, Any]]) -> list[Methods]:
    """The comparisons that some runs took part in, each once, in the order in which they are met."""
    distinct = {json.dumps(each, sort_keys=True): each for each in kept if each}
    found = [_comparison(each) for each in distinct.values()]
    return [methods for methods in found if methods.rows]


def _comparison(kept: Mapping[str, Any]) -> Methods:
    differing = kept.get("differing")
    return Methods(
        rows=tuple(_row(row) for row in dicts(kept.get("rows"))),
        pairs=tuple(
            (string(pair.get("a")), string(pair.get("b")), string(pair.get("sentence")))
            for pair in dicts(kept.get("pairs"))
        ),
        differing=tuple(map(string, differing)) if isinstance(differing, list) else (),
    )


def _row(row: Mapping[str, Any]) -> tuple[str, str, int, tuple[Cell, ...]]:
    seeds = row.get("seeds")
    low, high = _interval(row.get("accuracy_interval"))
    accuracy = (
        percent(number(row.get("accuracy"))),
        "" if low is None else f"{100 * low:.1f} to {100 * (high or 0):.1f}",
    )
    cells = (
        accuracy,
        _points(row, "gain", 1),
        (count(number(row.get("sampled_tokens"))), ""),
        (seconds(row.get("seconds")), ""),
        _points(row, "per_thousand_tokens", 2),
        _points(row, "per_second", 2),
    )
    return string(row.get("method")), string(row.get("recipe")), len(seeds) if isinstance(seeds, list) else 0, cells


def _points(row: Mapping[str, Any], key: str, digits: int) -> Cell:
    """A difference of shares in percentage points, and its interval."""
    value, (low, high) = number(row.get(key)), _interval(row.get(f"{key}_interval"))
    if value is None:
        return NONE, ""
    words = "" if low is None or high is None else f"{100 * low:+.{digits}f} to {100 * high:+.{digits}f}"
    return f"{100 * value:+.{digits}f}".replace("-", "\N{MINUS SIGN}"), words.replace("-", "\N{MINUS SIGN}")


def _interval(value: Any) -> tuple[float | None, float | None]:
    low, high = map(number, value) if isinstance(value, list) and len(value) == 2 else (None, None)
    return (None, None) if low is None or high is None else (low, high)
