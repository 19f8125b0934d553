"""Pictures as inline SVG, without a library: lines over steps, bars, a dumbbell's scale, a sparkline.

The SVG holds no style attribute (a strict Content-Security-Policy forbids them), no id (several pictures share a page)
and no text but numbers (names of reward functions are untrusted and stand in HTML beside it); classes give colours.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from harness.report.charts import Chart, Line, thin
from harness.report.present import MINUS, brief, percent

SERIES = 6
"""How many lines have a colour of their own; later ones begin again with another dash."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 10.0, 10.0, 22.0
# Marks differ in shape, not in colour alone: a triangle warns, a diamond is fatal.
_SHAPES = {"warning": "m-5,-4 h10 l-5,9.5z", "fatal": "m0,-6 l6,6 l-6,6 l-6,-6z"}
_STAR = "m0,-7.5 l2,4.8 l5.1,.4 l-3.9,3.3 l1.3,5 l-4.5,-2.8 l-4.5,2.8 l1.3,-5 l-3.9,-3.3 l5.1,-.4z"


@dataclass(frozen=True, slots=True)
class Scale:
    """Values from ``low`` to ``high`` on pixels from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return round(self.start + share * (self.end - self.start), 1)


def draw(chart: Chart, width: int = 360, height: int = 180) -> Markup:
    """A chart of lines over steps, without its title and legend. The same chart gives the same bytes."""
    steps = [step for line in chart.lines for step in line.steps]
    steps += [mark.step for mark in chart.marks] + list(chart.gaps)
    spare = (max(steps) - min(steps)) * 0.02 or 0.5
    across = Scale(min(steps) - spare, max(steps) + spare, _LEFT, width - _RIGHT)
    along, ticks = _axis(chart, height)
    out = [_grid(along, ticks, width, chart.share)]
    for tick in nice(across.low, across.high, 6 if width < 500 else 10, whole=True):
        out.append(_text(across(tick), height - 6, "middle", brief_axis(tick)))
    lone = sum(not line.held_out for line in chart.lines) == 1
    for place, line in enumerate(chart.lines):
        faint = chart.smooth and lone and not line.held_out and len(line.known) >= 12
        out += _drawn(line, place, across, along, faint)
    out += [f'<path class="cross" d="M{across(gap)},{height - _BOTTOM}m-3,-3l6,6m0,-6l-6,6"/>' for gap in chart.gaps]
    for mark in chart.marks:
        x, y = across(mark.step), _TOP if mark.value is None else along(mark.value)
        level = "fatal" if mark.level == "fatal" else "warning"
        out.append(f'<path class="at {level}" d="M{x},{height - _BOTTOM}V{_TOP}"/>')
        out.append(f'<path class="mark {level}" d="M{x},{y}{_SHAPES[level]}"/>')
    return _svg(out, width, height)


def _axis(chart: Chart, height: int) -> tuple[Scale, list[float]]:
    place = (height - _BOTTOM, _TOP)
    if chart.share:
        return Scale(0, 1, *place), [0, 0.5, 1]
    values = [value for line in chart.lines for value in (*line.known, *line.edges)]
    low, high = min(values), max(values)
    low = min(low, 0.0) if low >= 0 else low  # what cannot be negative starts at zero: noise looks as small as it is
    if low == high:
        low, high = low - (abs(low) or 1.0) * 0.5, high + (abs(high) or 1.0) * 0.5
    ticks = nice(low, high, 4)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else high - low
    low, high = min(low, ticks[0] - step if ticks[0] - low > step * 1e-6 and low < 0 else low), max(high, ticks[-1])
    return Scale(low, high, *place), ticks


def _grid(along: Scale, ticks: Iterable[float], width: int, share: bool) -> str:
    lines = [f'<path class="grid" d="M{_LEFT},{along(tick)}H{width - _RIGHT}"/>' for tick in ticks]
    names = [percent(tick) if share else brief_axis(tick) for tick in ticks]
    lines += [_text(_LEFT - 6, along(t) + 4, "end", name) for t, name in zip(ticks, names, strict=True)]
    return "".join(lines)


def _drawn(line: Line, place: int, across: Scale, along: Scale, faint: bool) -> list[str]:
    colour = f"s{place % SERIES} d{(place // SERIES + (place if not line.held_out else 0)) % 4}"
    out = []
    if line.held_out:
        for x, low, high in zip(line.steps, line.low, line.high, strict=False):
            if low is not None and high is not None:
                out.append(f'<path class="{colour} thin" d="M{across(x)},{along(low)}V{along(high)}"/>')
    elif line.low and line.high:
        edges = [stretches(line.steps, _both(line, edge)) for edge in (line.low, line.high)]
        for (xs, lows), (_, highs) in zip(*edges, strict=True):
            corners = [*zip(xs, lows, strict=True), *zip(reversed(xs), reversed(highs), strict=True)]
            points = " ".join(f"{across(x)},{along(y)}" for x, y in corners)
            out.append(f'<polygon class="band" points="{points}"/>')
    for xs, ys in stretches(line.steps, line.values):
        out.append(_path(xs, ys, across, along, f"{colour}{' faint' if faint else ''}"))
    if faint:
        for xs, ys in stretches(line.steps, trailing_mean(line.values)):
            out.append(_path(xs, ys, across, along, f"{colour} thick"))
    if line.held_out:
        for x, y in zip(line.steps, line.values, strict=True):
            if y is not None:
                out.append(f'<path class="{colour} dot" d="M{across(x)},{along(y)}h0"/>')
                if x == line.best:
                    out.append(f'<path class="{colour} star" d="M{across(x)},{along(y)}{_STAR}"/>')
    return out


def _both(line: Line, edge: Sequence[float | None]) -> list[float | None]:
    """An edge of a band, with a gap where either edge has one."""
    whole = zip(edge, line.low, line.high, strict=True)
    return [value if None not in (low, high) else None for value, low, high in whole]


def _path(xs: Sequence[float], ys: Sequence[float], across: Scale, along: Scale, name: str) -> str:
    if len(xs) == 1:  # a point between gaps: a line of no length with round ends is a dot
        return f'<path class="{name} dot" d="M{across(xs[0])},{along(ys[0])}h0"/>'
    xs, ys = thin(xs, ys)
    d = "L".join(f"{across(x)},{along(y)}" for x, y in zip(xs, ys, strict=True))
    return f'<path class="{name}" d="M{d}"/>'


def nice(low: float, high: float, most: int, whole: bool = False) -> list[float]:
    """At most ``most`` + 1 round numbers from ``low`` to ``high``.

    >>> nice(0, 1, 4), nice(0.5, 40.5, 6, whole=True)
    ([0.0, 0.25, 0.5, 0.75, 1.0], [10.0, 20.0, 30.0, 40.0])
    """
    rough = max((high - low) / most, 1.0 if whole else 0.0) or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(
        power * each for each in (1, 2, 2.5, 5, 10) if power * each >= rough * 0.999 and (each != 2.5 or not whole)
    )
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(place * step, 12) for place in range(first, last + 1)]


def brief_axis(value: float) -> str:
    """A number at an axis: ``0.5``, ``2,000``."""
    return (f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else brief(value)).replace("-", MINUS)


def trailing_mean(values: Sequence[float | None], window: int = 5) -> tuple[float | None, ...]:
    """The mean of the last ``window`` values that are there; a gap stays a gap."""
    means: list[float | None] = []
    for index, value in enumerate(values):
        last = [v for v in values[max(0, index - window + 1) : index + 1] if v is not None]
        means.append(None if value is None else sum(last) / len(last))
    return tuple(means)


def stretches(xs: Sequence[float], ys: Sequence[float | None]) -> list[tuple[list[float], list[float]]]:
    """The parts of a line between its gaps."""
    parts: list[tuple[list[float], list[float]]] = []
    open_part = False
    for x, y in zip(xs, ys, strict=True):
        if y is None:
            open_part = False
            continue
        if not open_part:
            parts.append(([], []))
            open_part = True
        parts[-1][0].append(x)
        parts[-1][1].append(y)
    return parts


def bars(shares: Sequence[float], cut: Sequence[float], ticks: Sequence[str], offset: float, top: float) -> Markup:
    """A histogram: ``shares`` of all values in each bin, of which ``cut`` are drawn hollow. A tick stands ``offset``
    bars to the side of its bar."""
    width, height = 360, 120
    across = Scale(-0.6 - (spare := max(0.0, (7 - len(shares)) / 2)), len(shares) - 0.4 + spare, _LEFT, width - _RIGHT)
    along = Scale(0, max(top * 1.04, 1e-9), height - _BOTTOM, _TOP)
    out = [_grid(along, nice(0, along.high, 3), width, True)]
    half = max(1.0, 0.42 * (across.end - across.start) / (across.high - across.low))
    for place, (whole, hollow) in enumerate(zip(shares, cut, strict=True)):
        x = across(place) - half
        for name, base, part in (("bar", 0.0, whole - hollow), ("bar hollow", whole - hollow, hollow)):
            if part > 0:
                y, foot = along(base + part), along(base)
                box = f'x="{x:.1f}" y="{y}" width="{2 * half:.1f}" height="{max(0.5, foot - y):.1f}"'
                out.append(f'<rect class="{name}" {box}/>')
    every = max(1, -(-sum(len(label) + 2 for label in ticks) // 46))
    for place, label in enumerate(ticks):
        if label and place % every == 0:
            out.append(_text(across(place + offset), height - 6, "middle", label))
    return _svg(out, width, height)


def spark(values: Sequence[float | None], low: float, high: float) -> Markup:
    """A line as high as a line of text, smoothed, from ``low`` to ``high``; nothing where there is no line."""
    known = [(float(place), value) for place, value in enumerate(trailing_mean(values)) if value is not None]
    if len(known) < 2:
        return Markup("")
    xs, ys = thin([x for x, _ in known], [y for _, y in known], 60)
    across, along = Scale(xs[0], xs[-1], 2, 78), Scale(low, high, 20, 4)
    d = "L".join(f"{across(x)},{along(y)}" for x, y in zip(xs, ys, strict=True))
    end = f"{across(xs[-1])},{along(ys[-1])}"
    return _svg([f'<path class="s0" d="M{d}"/><path class="s0 dot" d="M{end}h0"/>'], 80, 24, "spark")


def _text(x: float, y: float, anchor: str, words: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{Markup.escape(words)}</text>'


def _svg(parts: Iterable[str], width: int, height: int, name: str = "plot") -> Markup:
    head = f'<svg class="{name}" viewBox="0 0 {width} {height}" aria-hidden="true" focusable="false">'
    return Markup(f"{head}{''.join(parts)}</svg>")


def dumbbell(
    sides: Sequence[tuple[str, float | None, Sequence[float] | None]],
    threshold: float | None,
    baseline: float | None,
    low: float = 0.0,
    high: float = 1.0,
) -> Markup:
    """Accuracies with their intervals on one line from ``low`` to ``high``: hollow before, filled after, the threshold
    dashed and the baseline as a line across. As wide as its place: what it holds is placed in per cent."""
    scale = Scale(low, high, 1, 99)

    def at(value: float) -> str:
        return f"{scale(min(high, max(low, value)))}%"

    out = ['<line class="track" x1="1%" x2="99%" y1="14" y2="14"/>']
    if threshold is not None and low <= threshold <= high:
        out.append(f'<line class="threshold" x1="{at(threshold)}" x2="{at(threshold)}" y1="1" y2="27"/>')
    if baseline is not None:
        out.append(f'<line class="baseline" x1="{at(baseline)}" x2="{at(baseline)}" y1="3" y2="25"/>')
    known = [(name, value) for name, value, _ in sides if value is not None]
    if len(known) == 2:
        out.append(f'<line class="change" x1="{at(known[0][1])}" x2="{at(known[1][1])}" y1="14" y2="14"/>')
    for name, _, interval in sides:
        if interval:
            out.append(f'<line class="range {name}" x1="{at(interval[0])}" x2="{at(interval[1])}" y1="14" y2="14"/>')
    out += [f'<circle class="point {name}" cx="{at(value)}" cy="14" r="5"/>' for name, value in known]
    return Markup(
        f'<svg class="dumbbell" width="100%" height="28" aria-hidden="true" focusable="false">{"".join(out)}</svg>'
    )


def zoom(values: Iterable[float]) -> tuple[float, float]:
    """The tenths that all accuracies lie between, at least four of them.

    >>> zoom([0.0, 1.0]), zoom([0.52, 0.61])
    ((0.0, 1.0), (0.4, 0.8))
    """
    known = list(values) or [0.0, 1.0]
    low, high = math.floor(min(known) * 10 + 1e-9), math.ceil(max(known) * 10 - 1e-9)
    while high - low < 4:
        low, high = max(0, low - 1), min(10, high + 1)
    return low / 10, high / 10
