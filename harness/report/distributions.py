"""Distributions of rewards, lengths and per-question success, before beside after, as counts in shared bins."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from harness.report.draw import Panel, bars
from harness.report.present import NONE, brief, count, percent
from harness.store.stages import SIDES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.report.views import Run
    from harness.store.records import Record

BARS = 12
"""Up to so many values have a bar each; more are put in bins."""

BINS = 20


@dataclass(frozen=True, slots=True)
class Bins:
    """Bars from left to right: ``names`` for the table; ``ticks`` for the axis, standing ``offset`` bars to the side
    (bins have their lower edge at their left)."""

    names: tuple[str, ...]
    ticks: tuple[str, ...]
    offset: float


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram of each evaluation on one axis. ``unit`` heads the table's first column."""

    title: str
    note: str
    unit: str
    names: tuple[str, ...]
    panels: tuple[Panel, ...]

    @property
    def marks_cut(self) -> bool:
        """Whether any value belongs to a truncated completion."""
        return any(any(panel.cuts) for panel in self.panels)


DistributionsPage = list[tuple[Distribution, list[Markup]]]
"""Each distribution with the pictures of its panels."""


def distributions_page(run: Run, words: Mapping[str, str]) -> DistributionsPage:
    """What a run's page shows, drawn."""
    found = distributions_of(run, words)
    return [(one, [Markup(bars(panel)) for panel in one.panels]) for one in found]


def distributions_of(run: Run, words: Mapping[str, str]) -> list[Distribution]:
    """Rewards, lengths and, where questions were asked more than once, success over the samples of a question."""
    sides: dict[str, list[Sequence[Record]]] = {}
    for name in SIDES:
        answered = [answers for question in run.questions if (answers := getattr(question, name))]
        if answered:
            sides[name] = answered
    found = [_rewards(sides, words), _lengths(sides, words)]
    if any(len(answers) > 1 for side in sides.values() for answers in side):
        found.append(_success(sides, words))
    return [one for one in found if one is not None]


Sides = dict[str, list["Sequence[Record]"]]


def _rewards(sides: Sides, words: Mapping[str, str]) -> Distribution | None:
    values = {
        name: [(answer.reward, False) for answers in side for answer in answers if answer.reward is not None]
        for name, side in sides.items()
    }
    note = "total reward of an answer: the weighted sum of the reward functions"
    return _distribution("Rewards", note, "reward", values, words)


def _lengths(sides: Sides, words: Mapping[str, str]) -> Distribution | None:
    values = {
        name: [
            (float(answer.completion_tokens), answer.finish_reason == "length")
            for answers in side
            for answer in answers
        ]
        for name, side in sides.items()
    }
    return _distribution("Lengths", "tokens of an answer", "tokens", values, words, whole=True)


def _success(sides: Sides, words: Mapping[str, str]) -> Distribution | None:
    values: dict[str, list[tuple[float, bool]]] = {}
    most = 0
    for name, side in sides.items():
        values[name] = []
        for answers in side:
            scored = [answer.status == "correct" for answer in answers if answer.status != "unscored"]
            most = max(most, len(scored))
            if scored:
                values[name].append((sum(scored) / len(scored), False))
    note = f"share of a question's answers that are right, of {most}: left are never solved, right always"
    classes = [round(right / most, 6) for right in range(most + 1)] if most <= BARS else None
    return _distribution("Success per question", note, "right", values, words, share=True, classes=classes)


def _distribution(
    title: str,
    note: str,
    unit: str,
    values: Mapping[str, Sequence[tuple[float, bool]]],
    words: Mapping[str, str],
    whole: bool = False,
    share: bool = False,
    classes: Sequence[float] | None = None,
) -> Distribution | None:
    everything = [value for side in values.values() for value, _ in side]
    if not everything:
        return None
    edges, bins = binned(everything, whole, share, classes)
    counted = {name: (_count(side, edges, False), _count(side, edges, True)) for name, side in values.items() if side}
    top = max(max(all_) / sum(all_) for all_, _ in counted.values())
    panels = tuple(
        Panel(
            name=words.get(name, name),
            summary=_summary([value for value, _ in values[name]], whole, share, sum(cuts)),
            counts=tuple(all_),
            cuts=tuple(cuts),
            top=top,
            series=5 if name == "before" and len(counted) > 1 else 0,
            ticks=bins.ticks,
            tick_offset=bins.offset,
        )
        for name, (all_, cuts) in counted.items()
    )
    return Distribution(title, note, unit, bins.names, panels)


def binned(
    values: Sequence[float], whole: bool = False, share: bool = False, classes: Sequence[float] | None = None
) -> tuple[list[float], Bins]:
    """Lower edges of the bins that hold all ``values``, and how they are called: a bin a value where these are few.

    ``classes`` have a bin each, empty or not, where every value is one of them.
    """
    distinct = sorted({round(value, 6) for value in values})
    if classes and set(distinct) <= set(classes):
        distinct = list(classes)
    if len(distinct) <= BARS + 1 and not (whole and len(distinct) > 1):
        names = tuple((percent(value, 0) if share else brief(value)) for value in distinct)
        return [value - 1e-6 for value in distinct], Bins(names, names, 0.0)
    low, high = (0.0, 1.0) if share else (distinct[0], distinct[-1])
    number = 10 if share else BINS
    width = max(1, -(-int(high - low + 1) // BINS)) if whole else (high - low) / number
    if whole:
        number = int(high - low) // int(width) + 1
    edges = [low + index * width for index in range(number)]
    if whole:
        names = tuple(f"{edge:g}" if width == 1 else f"{edge:g} to {edge + width - 1:g}" for edge in edges)
        return edges, Bins(names, tuple(f"{edge:g}" for edge in edges), 0.0 if width == 1 else -0.5)
    shape = (lambda value: percent(value, 0)) if share else brief
    names = tuple(f"{shape(edge)} to {shape(edge + width)}" for edge in edges)
    return edges, Bins(names, tuple(shape(edge) for edge in edges), -0.5)


def _count(values: Sequence[tuple[float, bool]], edges: Sequence[float], only_cut: bool) -> list[int]:
    import bisect

    bins = Counter(max(0, bisect.bisect_right(edges, value) - 1) for value, cut in values if cut or not only_cut)
    return [bins[index] for index in range(len(edges))]


def _summary(values: Sequence[float], whole: bool, share: bool, cut: int) -> str:
    if not values:
        return NONE
    shape = percent if share else (lambda value: f"{value:.1f}") if whole else brief
    text = f"mean {shape(statistics.fmean(values))}, median {shape(statistics.median(values))}"
    return f"{text}, {count(cut)} cut off" if cut else text
