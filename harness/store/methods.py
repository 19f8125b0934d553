"""``methods.json``: training methods held against each other (:mod:`harness.pipeline.methods`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.store.files import JsonFile, Stored
from harness.store.records import Interval

Unit = Literal["questions", "seeds"]


@dataclass(frozen=True)
class Row(Stored):
    """One recipe. Shares, not percent; ``gain`` is after less before, ``per_thousand_tokens`` and ``per_second`` are
    that gain by what was spent on sampling and training. Intervals are 95 %; ``None`` where nothing was sampled or no
    time is known."""

    recipe: str
    method: str
    seeds: tuple[int, ...]
    runs: tuple[str, ...]
    unit: Unit
    before: float
    accuracy: float
    accuracy_interval: Interval
    gain: float
    gain_interval: Interval
    completions: float
    sampled_tokens: float
    seconds: float | None
    per_thousand_tokens: float | None
    per_thousand_tokens_interval: Interval | None
    per_second: float | None
    per_second_interval: Interval | None


@dataclass(frozen=True)
class Pair(Stored):
    """Two recipes on the same questions: ``difference`` is b's accuracy less a's. ``alpha`` is this pair's share, and
    the interval's confidence is 1 - alpha. ``better`` names the recipe that is, beyond chance.

    Where seeds do not differ at all, the interval is over questions, as in a row."""

    a: str
    b: str
    unit: Unit
    difference: float
    interval: Interval
    alpha: float
    verdict: str
    better: str | None
    sentence: str


@dataclass(frozen=True)
class Comparison(Stored):
    """``methods.json``. ``differing`` names what the runs do not share though they should; ``rows`` and ``pairs`` are
    in the order in which the runs were given."""

    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...]
    alpha: float
    differing: tuple[str, ...]

    def lines(self) -> list[str]:
        """The table as text, one line a row and a pair."""
        costs = ("completions", "tokens", "seconds", "points per 1,000 tokens", "points per second")
        header = ("method", "recipe", "seeds", "accuracy", "gain", *costs)
        rows = [header, *map(_cells, self.rows)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines += [f"{pair.a} and {pair.b}: {pair.sentence}" for pair in self.pairs]
        return lines + [f"not the same in all runs: {name}" for name in self.differing]

    def line(self) -> str:
        """The outcome in short: every method's accuracy, and which is better than which beyond chance."""
        names = [row.method for row in self.rows]
        known = names if len(set(names)) == len(names) else [row.recipe for row in self.rows]
        each = " · ".join(f"{name} {100 * row.accuracy:.1f} %" for name, row in zip(known, self.rows, strict=True))
        name_of = dict(zip((row.recipe for row in self.rows), known, strict=True))
        better = [
            f"{name_of[pair.better]} better than {name_of[pair.a if pair.better == pair.b else pair.b]}"
            for pair in self.pairs
            if pair.better
        ]
        return f"{each}: {', '.join(better) or 'no difference beyond luck'}"


METHODS = JsonFile[Comparison]("methods.json", Comparison, remade=True)


def _cells(row: Row) -> tuple[str, ...]:
    def points(value: float | None, interval: Interval | None, digits: int) -> str:
        if value is None or interval is None:
            return "-"
        low, high = interval
        return f"{100 * value:.{digits}f} ({100 * low:.{digits}f} to {100 * high:.{digits}f})"

    return (
        row.method,
        row.recipe,
        str(len(row.seeds)),
        f"{points(row.accuracy, row.accuracy_interval, 1)} %",
        points(row.gain, row.gain_interval, 1),
        f"{row.completions:,.0f}",
        f"{row.sampled_tokens:,.0f}",
        "-" if row.seconds is None else f"{row.seconds:.1f}",
        points(row.per_thousand_tokens, row.per_thousand_tokens_interval, 2),
        points(row.per_second, row.per_second_interval, 2),
    )
