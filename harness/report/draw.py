"""Pictures as inline SVG: drawn by matplotlib, then cleaned so that a page's own CSS gives colours and fonts.

The SVG holds no style attribute (a strict Content-Security-Policy forbids them), no id (several charts share a page),
no text but numbers (names of reward functions are untrusted and stand in HTML beside it), and no date.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.report.charts import Chart, Line

SERIES = 6
"""How many lines have a colour of their own; later ones begin again with another dash."""

_DASHES: tuple[Any, ...] = ("solid", (0, (5, 2)), (0, (1.5, 1.8)), (0, (6, 2, 1.5, 2)))
_WIDTH = 342  # units: about what a phone is wide, so text keeps its size there
INK, GRID, _BAND, WARN, BAD, PAPER = (f"#00000{digit}" for digit in range(1, 7))
_COLOURS = {INK: "ink", GRID: "grid", _BAND: "band", WARN: "warn", BAD: "bad", PAPER: "paper"}
LINES = [f"#0000{index + 16:02x}" for index in range(SERIES)]
_COLOURS |= {colour: f"s{index}" for index, colour in enumerate(LINES)}
_SVG = "http://www.w3.org/2000/svg"
_KEPT = ("stroke-width", "stroke-dasharray", "stroke-dashoffset", "stroke-linecap", "stroke-linejoin", "text-anchor")
_FIXED = re.compile(r"(-?\d+\.\d{2})\d+")

_SHAPES: dict[str, tuple[tuple[float, float], ...]] = {
    "warning": ((-5, -4), (5, -4), (0, 5.5)),
    "fatal": ((0, -6), (6, 0), (0, 6), (-6, 0)),
}
"""Marks differ in shape, not in colour alone: a triangle warns, a diamond is fatal."""


def draw(chart: Chart) -> str:
    """The chart as one ``<svg>`` element without a title or legend. The same chart gives the same bytes."""
    with empty_axes(166, (0.12, 0.15, 0.86, 0.8)) as (axes, out):
        axes.yaxis.set_major_locator(_locator(4, steps=[1, 2, 2.5, 5, 10]))
        axes.xaxis.set_major_locator(_locator(6, integer=True, steps=[1, 2, 5, 10]))
        axes.ticklabel_format(axis="y", scilimits=(-3, 4), useMathText=False)
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        faint = chart.smooth and sum(not line.held_out for line in chart.lines) == 1
        for index, line in enumerate(chart.lines):
            _plot(axes, line, index, faint and len(line.known) >= 12 and not line.held_out)
        lowest = [value for line in chart.lines for value in (*line.known, *line.edges)]
        if chart.share:
            axes.set_ylim(-0.02, 1.02)
            axes.set_yticks([0, 0.5, 1], ["0", "50\u00a0%", "100\u00a0%"])
        elif min(lowest) >= 0:
            axes.set_ylim(bottom=0)  # what cannot be negative starts at zero, so that noise looks as small as it is
        axes.yaxis.get_offset_text().set_color(INK)
        _mark(axes, chart)
    return clean_svg(out.getvalue(), 166)


@dataclass(frozen=True, slots=True)
class Panel:
    """One evaluation's bars. ``shares`` of all its values in each bin, ``cut_shares`` of those the truncated ones;
    ``top`` is the highest share of any panel beside it, ``series`` the place in the colours."""

    name: str
    summary: str
    counts: tuple[int, ...]
    cuts: tuple[int, ...]
    top: float
    series: int
    ticks: tuple[str, ...]
    tick_offset: float

    @property
    def shares(self) -> tuple[float, ...]:
        """Each bin's share of the panel's values."""
        total = max(1, sum(self.counts))
        return tuple(count / total for count in self.counts)

    @property
    def cut_shares(self) -> tuple[float, ...]:
        """Each bin's truncated values as a share of all the panel's values."""
        total = max(1, sum(self.counts))
        return tuple(count / total for count in self.cuts)


def bars(panel: Panel) -> str:
    """One side of a distribution as bars: filled what ended by itself, hollow what was cut off."""
    from matplotlib.patches import Rectangle
    from matplotlib.ticker import PercentFormatter

    with empty_axes(112, (0.12, 0.2, 0.86, 0.74)) as (axes, out):
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        colour = LINES[panel.series % SERIES]
        for index, (whole, cut) in enumerate(zip(panel.shares, panel.cut_shares, strict=True)):
            place: dict[str, Any] = {"width": 0.84, "linewidth": 1.4}
            if whole > cut:
                axes.add_patch(Rectangle((index - 0.42, 0), height=whole - cut, color=colour, **place))
            if cut > 0:
                place |= {"facecolor": PAPER, "edgecolor": colour}
                axes.add_patch(Rectangle((index - 0.42, whole - cut), height=cut, **place))
        spare = max(0.0, (7 - len(panel.shares)) / 2)  # a bar that is alone is no wall
        axes.set_xlim(-0.6 - spare, len(panel.shares) - 0.4 + spare)
        axes.set_ylim(0, max(panel.top * 1.04, 1e-9))
        axes.yaxis.set_major_locator(_locator(3, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0 if panel.top >= 0.05 else 1, symbol="\u00a0%"))
        every = max(1, -(-sum(len(label) + 2 for label in panel.ticks) // 46))
        shown = [(index, label) for index, label in enumerate(panel.ticks) if label and index % every == 0]
        axes.set_xticks([index + panel.tick_offset for index, _ in shown], [label for _, label in shown])
    return clean_svg(out.getvalue(), 112)


@contextlib.contextmanager
def empty_axes(
    height: int, place: tuple[float, float, float, float], width: int = _WIDTH
) -> Iterator[tuple[Any, io.StringIO]]:
    """Empty axes in a figure of ``width`` by ``height`` units; what is drawn on them is in the buffer afterwards."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": "rl-harness",
        "path.simplify": False,
        "font.size": 11,
        "text.parse_math": False,
    }
    out = io.StringIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # not the reader's own matplotlibrc
        matplotlib.rcParams.update(settings)
        figure = Figure(figsize=(width / 72, height / 72), dpi=72, layout=None)
        FigureCanvasSVG(figure)
        axes = figure.add_axes(place)
        figure.patch.set_visible(False)
        axes.patch.set_visible(False)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.tick_params(length=0, colors=INK, pad=5)
        axes.set_axisbelow(True)
        yield axes, out
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})


def _locator(bins: int, **options: Any) -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(bins, **options)


def _plot(axes: Any, line: Line, index: int, faint: bool) -> None:
    style: dict[str, Any] = {"color": LINES[index % SERIES], "clip_on": False}
    style |= {"solid_capstyle": "round", "dash_capstyle": "round"}
    dashes = _DASHES[(index + index // SERIES) % len(_DASHES)]
    if line.low and line.high:
        if line.held_out:
            for x, low, high in zip(line.steps, line.low, line.high, strict=True):
                if low is not None and high is not None:
                    axes.plot([x, x], [low, high], linewidth=1.4, **style)
        else:
            _band(axes, line)
    for xs, ys in stretches(line.steps, line.values):
        if len(xs) == 1:  # a point between gaps: a line of no length with round ends is a dot
            axes.plot(xs * 2, ys * 2, linewidth=5, **style)
        else:
            axes.plot(xs, ys, linewidth=1 if faint else 1.8, linestyle=dashes, **style)
        if line.held_out and len(xs) > 1:
            for x, y in zip(xs, ys, strict=True):
                axes.plot([x, x], [y, y], linewidth=5, **style)
    if faint:
        smooth = trailing_mean(line.values)
        for xs, ys in stretches(line.steps, smooth):
            axes.plot(xs, ys, linewidth=2.4, linestyle=dashes, **style)


def _band(axes: Any, line: Line) -> None:
    from matplotlib.patches import Polygon

    # Where one edge is missing the band has a gap too.
    whole = [low is not None and high is not None for low, high in zip(line.low, line.high, strict=True)]
    low = stretches(line.steps, [value if there else None for value, there in zip(line.low, whole, strict=True)])
    high = stretches(line.steps, [value if there else None for value, there in zip(line.high, whole, strict=True)])
    for (xs, lows), (_, highs) in zip(low, high, strict=True):
        corners = [*zip(xs, lows, strict=True), *zip(reversed(xs), reversed(highs), strict=True)]
        axes.add_patch(Polygon(corners, closed=True, facecolor=_BAND, edgecolor="none"))
        axes.update_datalim(corners)
        axes.autoscale_view()


def _mark(axes: Any, chart: Chart) -> None:
    """Shapes where a health check spoke, a star at the best evaluation, a cross where a number is missing."""
    steps = [step for line in chart.lines for step in line.steps]
    steps += [mark.step for mark in chart.marks] + list(chart.gaps)
    margin = (max(steps) - min(steps)) * 0.03 or 0.5
    axes.set_xlim(min(steps) - margin, max(steps) + margin)
    bottom, top = axes.get_ylim()
    for gap in chart.gaps:
        x, y = axes.transData.transform((gap, bottom))
        for corners in (((-3.5, -3.5), (3.5, 3.5)), ((-3.5, 3.5), (3.5, -3.5))):
            add_patch(axes, [(x + dx, y + dy) for dx, dy in corners], edgecolor=BAD, linewidth=1.8, fill=False)
    for index, line in enumerate(chart.lines):
        for step, value in zip(line.steps, line.values, strict=True):
            if step == line.best and value is not None:
                x, y = axes.transData.transform((step, value))
                add_patch(axes, [(x + dx, y + dy) for dx, dy in _star(7.5)], color=LINES[index % SERIES], linewidth=1)
    for mark in chart.marks:
        x, floor = axes.transData.transform((mark.step, bottom))
        _, ceiling = axes.transData.transform((mark.step, top))
        colour = BAD if mark.level == "fatal" else WARN
        add_patch(axes, [(x, floor), (x, ceiling)], edgecolor=colour, linewidth=0.9, linestyle=(0, (2, 2)), fill=False)
        y = ceiling if mark.value is None else axes.transData.transform((mark.step, mark.value))[1]
        shape = _SHAPES["fatal" if mark.level == "fatal" else "warning"]
        add_patch(axes, [(x + dx, min(y, ceiling) + dy) for dx, dy in shape], facecolor=colour, edgecolor=PAPER)


def add_patch(axes: Any, corners: Sequence[tuple[float, float]], **style: Any) -> None:
    """A shape in pixels of the figure. matplotlib's markers become ``<use>`` of a ``<defs>``, with ids; a patch is
    a plain path."""
    from matplotlib.patches import Polygon
    from matplotlib.transforms import IdentityTransform

    patch = Polygon(corners, closed=len(corners) > 2, clip_on=False, zorder=5, **style)
    axes.add_artist(patch)
    patch.set_transform(IdentityTransform())


def _star(radius: float) -> list[tuple[float, float]]:
    corners = [(radius * (1 if corner % 2 == 0 else 0.45), math.pi / 2 + corner * math.pi / 5) for corner in range(10)]
    return [(reach * math.cos(turn), reach * math.sin(turn)) for reach, turn in corners]


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


def clean_svg(svg: str, height: int, width: int = _WIDTH) -> str:
    """matplotlib's SVG with classes for colours, without what a page has no use for."""
    ElementTree.register_namespace("", _SVG)
    root = ElementTree.fromstring(svg)
    for element in list(root):
        if element.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}defs"):
            root.remove(element)
    for element in root.iter():
        for name in ("id", "clip-path"):
            element.attrib.pop(name, None)
        element.tail = element.text = (element.text or "").strip() or None
        element.tail = None
        style = dict(part.strip().split(": ", 1) for part in element.attrib.pop("style", "").split(";") if ": " in part)
        classes = [f"{_COLOURS[style[name]]}-{name}" for name in ("stroke", "fill") if style.get(name) in _COLOURS]
        if classes:
            element.set("class", " ".join(classes))
        if style.get("fill") == "none":
            element.set("fill", "none")
        if "d" in element.attrib:
            element.set("d", " ".join(_FIXED.sub(r"\1", element.attrib["d"]).split()))
        for name in _KEPT:
            if name in style:
                element.set(name, style[name])
        if element.get("transform", "").startswith("rotate(-0 "):
            del element.attrib["transform"]
    root.attrib.clear()
    root.attrib.update(
        {"class": "plot", "viewBox": f"0 0 {width} {height}", "aria-hidden": "true", "focusable": "false"}
    )
    return ElementTree.tostring(root, encoding="unicode")
