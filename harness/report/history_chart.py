"""A recipe's accuracy by date: a line a seed, broken where runs stop being comparable, marks by outcome."""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from harness.report.draw import BAD, GRID, INK, LINES, PAPER, SERIES, WARN, add_patch, clean_svg, empty_axes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.report.history import Entry, Recipe
    from harness.store.records import Summary

_CROSS: tuple[tuple[float, float], ...] = ((0, 1.5), (2.5, 4), (4, 2.5), (1.5, 0), (4, -2.5), (2.5, -4))
_CROSS += ((0, -1.5), (-2.5, -4), (-4, -2.5), (-1.5, 0), (-4, 2.5), (-2.5, 4))
_SHAPES: dict[bool | None, tuple[tuple[float, float], ...]] = {
    True: ((-3.2, -1.3), (-1.3, -3.2), (1.3, -3.2), (3.2, -1.3), (3.2, 1.3), (1.3, 3.2), (-1.3, 3.2), (-3.2, 1.3)),
    None: ((0, -4.6), (4.6, 0), (0, 4.6), (-4.6, 0)),
    False: tuple((1.25 * x, 1.25 * y) for x, y in _CROSS),
}
"""A round mark passed, a hollow diamond is undecided, a cross failed: shapes, not colours alone."""


def draw_history(recipe: Recipe, *, width: int) -> str:
    """The recipe's dated runs as one ``<svg>`` of ``width`` units; there must be one at least."""
    from matplotlib.dates import MINUTELY, AutoDateLocator, ConciseDateFormatter, date2num
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    entries = recipe.dated
    height, left = (210, 44) if width > 400 else (190, 41)
    numbers = {id(entry): float(date2num(entry.time)) for entry in entries}
    with empty_axes(height, (left / width, 34 / height, 1 - (left + 12) / width, 1 - 54 / height), width) as (
        axes,
        out,
    ):
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        first, last = min(numbers.values()), max(numbers.values())
        spare = (last - first) * 0.03 or 0.04  # an hour to either side of a run that is alone
        axes.set_xlim(first - spare, last + spare)
        axes.set_ylim(*_range(entries))
        locator = AutoDateLocator(minticks=2, maxticks=4 if width < 400 else 7, interval_multiples=True)
        # Its own choice knows no step between a year of minutes and none, and warns where it finds none.
        locator.intervald[MINUTELY] = [1, 2, 5, 10, 15, 20, 30, 60]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=True))
        axes.xaxis.get_offset_text().set_color(INK)
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol="\u00a0%"))
        thin = len(entries) > 150
        _breaks(axes, recipe, numbers)
        both = [(numbers[id(each)], each.before) for each in entries if each.after is not None]
        known = [(x, score) for x, score in both if score is not None]
        _before(axes, [x for x, _ in known], [score for _, score in known], thin)
        for index, seed in enumerate(recipe.seeds):
            for stretch in _stretches(recipe, [entry for entry in entries if entry.seed == seed]):
                _series(axes, [numbers[id(entry)] for entry in stretch], stretch, LINES[index % SERIES], thin)
    return clean_svg(out.getvalue(), height, width)


def _range(entries: Sequence[Entry]) -> tuple[float, float]:
    """The accuracies with their intervals, at least 20 points, so that noise looks as small as it is."""
    scores = [score for entry in entries for score in (entry.before, entry.after) if score is not None]
    ends = [end for score in scores for end in (*score.interval, score.accuracy)]
    low, high = min(ends), max(ends)
    short = max(0.0, 0.2 - (high - low)) / 2
    low, high = low - short, high + short
    shift = -low if low < 0 else min(0.0, 1 - high)
    return max(0.0, low + shift) - 0.02, min(1.0, high + shift) + 0.02


def _stretches(recipe: Recipe, entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """A seed's runs without those breaks between them that any run of the recipe shows."""
    place = {id(entry): index for index, entry in enumerate(recipe.entries)}
    starts = sorted(place[id(each.entry)] for each in recipe.breaks)
    stretch: list[Entry] = []
    era = -1
    for entry in entries:
        here = bisect_right(starts, place[id(entry)])
        if stretch and here != era:
            yield stretch
            stretch = []
        era = here
        stretch.append(entry)
    if stretch:
        yield stretch


def _series(axes: Any, xs: Sequence[float], entries: Sequence[Entry], colour: str, thin: bool) -> None:
    scores = [entry.score for entry in entries if entry.score is not None]
    if len(xs) > 1:
        axes.plot(xs, [score.accuracy for score in scores], color=colour, linewidth=0.9 if thin else 1.4)
    _intervals(axes, xs, scores, color=colour, linewidth=0.5 if thin else 1.1)
    scale = 0.7 if thin else 1.0
    for outcome, style in (
        (True, {"facecolor": colour, "edgecolor": PAPER, "linewidth": 0.6}),
        (None, {"facecolor": PAPER, "edgecolor": colour, "linewidth": 1.4}),
        (False, {"facecolor": BAD, "edgecolor": PAPER, "linewidth": 0.8}),
    ):
        shape = [(scale * dx, scale * dy) for dx, dy in _SHAPES[outcome]]
        places = [
            (x, score.accuracy) for x, score, entry in zip(xs, scores, entries, strict=True) if entry.outcome is outcome
        ]
        _stamp(axes, places, shape, closed=True, **style)


def _before(axes: Any, xs: Sequence[float], scores: Sequence[Summary], thin: bool) -> None:
    _intervals(axes, xs, scores, color=GRID, linewidth=1 if thin else 2)
    half = 2.0 if thin else 3.5
    places = [(x, score.accuracy) for x, score in zip(xs, scores, strict=True)]
    _stamp(axes, places, [(-half, 0), (half, 0)], closed=False, edgecolor=INK, linewidth=1.2, fill=False)


def _intervals(axes: Any, xs: Sequence[float], scores: Sequence[Summary], **style: Any) -> None:
    """All intervals as one line with gaps: a thousand lines would take seconds to draw."""
    there = [(x, score.interval) for x, score in zip(xs, scores, strict=True) if score.interval]
    across = [place for x, _ in there for place in (x, x, math.nan)]
    along = [end for _, interval in there for end in (*interval, math.nan)]
    if there:
        axes.plot(across, along, clip_on=False, **style)


def _stamp(
    axes: Any,
    places: Sequence[tuple[float, float]],
    shape: Sequence[tuple[float, float]],
    *,
    closed: bool,
    **style: Any,
) -> None:
    """One shape, its corners in units of the picture, at each of many places, as a single path."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path
    from matplotlib.transforms import IdentityTransform

    if not places:
        return
    corners: list[tuple[float, float]] = []
    codes: list[int] = []
    for x, y in axes.transData.transform(places):
        corners += [(x + dx, y + dy) for dx, dy in shape]
        codes += [int(Path.MOVETO)] + [int(Path.LINETO)] * (len(shape) - 1)
        if closed:
            corners.append((x, y))
            codes.append(int(Path.CLOSEPOLY))
    patch = PathPatch(Path(corners, codes), clip_on=False, zorder=5, **style)
    axes.add_artist(patch)
    patch.set_transform(IdentityTransform())


def _breaks(axes: Any, recipe: Recipe, numbers: dict[int, float]) -> None:
    bottom, top = axes.get_ylim()
    labelled = -1e9
    for each in recipe.breaks:
        if id(each.previous) not in numbers or id(each.entry) not in numbers:
            continue
        middle = (numbers[id(each.previous)] + numbers[id(each.entry)]) / 2
        x, floor = axes.transData.transform((middle, bottom))
        ceiling = axes.transData.transform((middle, top))[1]
        add_patch(axes, [(x, floor), (x, ceiling)], edgecolor=WARN, linewidth=1.1, linestyle=(0, (3, 2)), fill=False)
        if x - labelled > 14:  # a number that would stand on another is told by the list alone
            place = {"xytext": (0, 4), "textcoords": "offset points", "ha": "center", "fontsize": 10}
            axes.annotate(str(each.number), (middle, top), color=INK, **place)
            labelled = x
