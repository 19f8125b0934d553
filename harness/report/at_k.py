"""``at_k`` of a ``summary.json`` as a table: pass@k, majority@k and mean@k by k."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.report.present import percent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.report.views import Evaluation
    from harness.store.records import AtKEntry

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
    kept = {side.name: side.summary.at_k for side in evaluations if side.summary and side.summary.at_k}
    if not kept:
        return None
    ks = sorted({int(k) for found in kept.values() for k in found["pass"]})
    rows = [
        (metric, name, tuple(_cell(found[metric].get(str(k))) for k in ks))  # type: ignore[literal-required]
        for metric in METRICS
        for name, found in kept.items()
    ]
    return AtK(max(found["samples"] for found in kept.values()), tuple(ks), tuple(rows))


def _cell(entry: AtKEntry | None) -> tuple[str, str]:
    if entry is None or entry["value"] is None:
        return percent(None), ""
    low, high = entry["interval"]
    return percent(entry["value"]), f"{100 * low:.1f} to {100 * high:.1f}"
