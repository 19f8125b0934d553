"""Training curves as inline SVG: drawn by matplotlib, then cleaned so that a page's own CSS gives colours and fonts.

The SVG holds no style attribute (a strict Content-Security-Policy forbids them), no id (several charts share a page),
no text but numbers (names of reward functions are untrusted and stand in HTML beside it), and no date.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from reports.loose import number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SERIES = 6
"""How many lines have a colour of their own; later ones begin again with another dash."""

_DASHES: tuple[Any, ...] = ("solid", (0, (5, 2)), (0, (1.5, 1.8)), (0, (6, 2, 1.5, 2)))
_SIZE = (4.75, 2.3)  # inches at 72 dpi: 342 by 166 units, about what a phone is wide, so text keeps its size
_INK = "#000001"
_GRID = "#000002"
_COLOURS = {_INK: "ink", _GRID: "grid"} | {f"#0000{index + 16:02x}": f"s{index}" for index in range(SERIES)}
_SVG = "http://www.w3.org/2000/svg"
_KEPT = ("stroke-width", "stroke-dasharray", "stroke-dashoffset", "stroke-linecap", "stroke-linejoin", "text-anchor")
_FIXED = re.compile(r"(-?\d+\.\d{2})\d+")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart: its name, its values by step (``None`` is a gap), its place in the colours."""

    name: str
    steps: tuple[float, ...]
    values: tuple[float | None, ...]

    @property
    def known(self) -> list[float]:
        """The values that are there."""
        return [value for value in self.values if value is not None]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart to draw. ``share`` fixes the axis to 0..1 in per cent; ``smooth`` adds the mean of the last steps to a
    line that is alone and long enough."""

    title: str
    note: str
    lines: tuple[Line, ...]
    share: bool = False
    smooth: bool = True


def charts_of(steps: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """The charts that the logged keys allow, the reward first. Keys that never hold a number draw nothing."""
    functions = sorted({m[1] for step in steps for key in step if (m := re.fullmatch(r"rewards/(.+)/mean", key))})
    reward = [_line(steps, "reward", "total reward")]
    reward += [_line(steps, f"rewards/{function}/mean", function) for function in functions]
    if len(reward) == 2 and reward[0].values == reward[1].values:
        reward = [Line(functions[0], reward[0].steps, reward[0].values)]
    wanted = [Chart("Reward", "mean over the sampled completions of a step", tuple(reward))]
    for title, note, keys, share in _PLAN:
        lines = tuple(_line(steps, key, name) for key, name in keys)
        wanted.append(Chart(title, note, lines, share, smooth=title != "Learning rate"))
    if not reward[0].known:
        wanted.insert(0, Chart("Loss", "", (_line(steps, "loss", "loss"),)))
    drawn = [replace(chart, lines=tuple(line for line in chart.lines if line.known)) for chart in wanted]
    return [chart for chart in drawn if chart.lines]


_PLAN: tuple[tuple[str, str, tuple[tuple[str, str], ...], bool], ...] = (
    (
        "Zero-std groups",
        "share of groups whose completions all got the same reward, so that nothing is learnt from them",
        (("frac_reward_zero_std", "zero-std groups"),),
        True,
    ),
    ("Completion length", "tokens, mean of a step", (("completions/mean_length", "mean length"),), False),
    (
        "Truncated",
        "share of completions cut off at the token limit",
        (("completions/clipped_ratio", "truncated"),),
        True,
    ),
    ("Entropy", "of the policy's next-token choice, mean", (("entropy", "entropy"),), False),
    ("Gradient norm", "before clipping", (("grad_norm", "gradient norm"),), False),
    ("KL divergence", "from the reference policy", (("kl", "KL"),), False),
    (
        "Token accuracy",
        "share of target tokens that the policy ranks first",
        (("mean_token_accuracy", "accuracy"),),
        True,
    ),
    (
        "Preferred pairs",
        "share of pairs in which the chosen answer has the higher implicit reward",
        (("rewards/accuracies", "accuracy"),),
        True,
    ),
    ("Learning rate", "", (("learning_rate", "learning rate"),), False),
)


def _line(steps: Sequence[Mapping[str, Any]], key: str, name: str) -> Line:
    there = [step for step in steps if key in step]
    values = tuple(_drawable(step[key]) for step in there)
    return Line(name, tuple(number(step.get("step")) or 0.0 for step in there), values)


def _drawable(value: Any) -> float | None:
    # Beyond this an axis overflows; such a value is told by the table.
    found = number(value)
    return found if found is not None and abs(found) < 1e30 else None


def draw(chart: Chart) -> str:
    """The chart as one ``<svg>`` element without a title or legend. The same chart gives the same bytes."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": "rl-harness",
        "path.simplify": False,
        "font.size": 11,
        "text.parse_math": False,
    }
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # not the reader's own matplotlibrc
        matplotlib.rcParams.update(settings)
        figure = Figure(figsize=_SIZE, dpi=72, layout=None)
        FigureCanvasSVG(figure)
        axes = figure.add_axes((0.12, 0.15, 0.86, 0.8))
        figure.patch.set_visible(False)
        axes.patch.set_visible(False)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.grid(axis="y", color=_GRID, linewidth=0.8)
        axes.tick_params(length=0, colors=_INK, pad=5)
        axes.set_axisbelow(True)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
        axes.ticklabel_format(axis="y", scilimits=(-3, 4), useMathText=False)
        for index, line in enumerate(chart.lines):
            _plot(axes, line, index, faint=chart.smooth and len(line.known) >= 12 and len(chart.lines) == 1)
        if chart.share:
            axes.set_ylim(-0.02, 1.02)
            axes.set_yticks([0, 0.5, 1], ["0", "50\u00a0%", "100\u00a0%"])
        elif min(value for line in chart.lines for value in line.known) >= 0:
            axes.set_ylim(bottom=0)  # what cannot be negative starts at zero, so that noise looks as small as it is
        axes.yaxis.get_offset_text().set_color(_INK)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _clean(out.getvalue())


def _plot(axes: Any, line: Line, index: int, faint: bool) -> None:
    colour = list(_COLOURS)[2 + index % SERIES]
    style: dict[str, Any] = {"color": colour, "clip_on": False, "solid_capstyle": "round", "dash_capstyle": "round"}
    dashes = _DASHES[(index + index // SERIES) % len(_DASHES)]
    for xs, ys in _stretches(line.steps, line.values):
        if len(xs) == 1:  # a point between gaps: a line of no length with round ends is a dot
            axes.plot(xs * 2, ys * 2, linewidth=5, **style)
        else:
            axes.plot(xs, ys, linewidth=1 if faint else 1.8, linestyle=dashes, **style)
    if faint:
        smooth = trailing_mean(line.values)
        for xs, ys in _stretches(line.steps, smooth):
            axes.plot(xs, ys, linewidth=2.4, linestyle=dashes, **style)


def trailing_mean(values: Sequence[float | None], window: int = 5) -> tuple[float | None, ...]:
    """The mean of the last ``window`` values that are there; a gap stays a gap."""
    means: list[float | None] = []
    for index, value in enumerate(values):
        last = [v for v in values[max(0, index - window + 1) : index + 1] if v is not None]
        means.append(None if value is None else sum(last) / len(last))
    return tuple(means)


def _stretches(xs: Sequence[float], ys: Sequence[float | None]) -> list[tuple[list[float], list[float]]]:
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


def _clean(svg: str) -> str:
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
    width, height = (round(side * 72) for side in _SIZE)
    root.attrib.clear()
    root.attrib.update(
        {"class": "plot", "viewBox": f"0 0 {width} {height}", "aria-hidden": "true", "focusable": "false"}
    )
    return ElementTree.tostring(root, encoding="unicode")
