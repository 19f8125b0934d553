"""``at_k`` of a ``summary.json`` as a table: pass@k, majority@k and mean@k by k."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.report.loose import number
from harness.report.present import percent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.report.views import Evaluation

METRICS: Mapping[str, str] = {
    "pass": "a question counts where at least one of k answers is right",
    "majority": "a question counts where the answer given most often among k is right",
    "mean": "the share of right answers",
}


@dataclass(frozen=True, slots=True)
class AtK:
    """``rows`` are ``(metric, evaluation's name, a cell for each k)``; a cell is value and interval as words."""

    samples: int
    ks: tuple[int, ...]
    rows: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...]


def at_k_of(evaluations: Sequence[Evaluation]) -> AtK | None:
    """The table of some evaluations; ``None`` where each question was answered once."""
    kept = {side.name: found for side in evaluations if isinstance(found := side.summary.get("at_k"), dict)}
    tables = [found[metric] for found in kept.values() for metric in METRICS if isinstance(found.get(metric), dict)]
    ks = sorted({int(k) for table in tables for k in table if str(k).isdecimal()})
    if not ks:
        return None
    samples = max((int(number(found.get("samples")) or 0) for found in kept.values()), default=0)
    rows = [
        (metric, name, tuple(_cell(found[metric].get(str(k))) for k in ks))
        for metric in METRICS
        for name, found in kept.items()
        if isinstance(found.get(metric), dict)
    ]
    return AtK(samples, tuple(ks), tuple(rows))


def _cell(entry: Any) -> tuple[str, str]:
    entry = entry if isinstance(entry, dict) else {}
    interval = entry.get("interval")
    low, high = map(number, interval) if isinstance(interval, list) and len(interval) == 2 else (None, None)
    words = "" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f}"
    value = number(entry.get("value"))
    return percent(value), words if value is not None else ""
