"""Which charts a training's numbers allow, and what stands on them; :mod:`harness.report.svg` draws them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.report.present import number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from harness.store.run_files import Finding, HeldOut, Logged

EXPECTED = "expected by chance"
Values = tuple[float | None, ...]

COLUMNS = 400
"""Points that a line may have: of more, the lowest and the highest of each stretch are drawn."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart: its name, its values by step (``None`` is a gap), the logged key it shows.

    ``low`` and ``high`` are a band around the values, or nothing. A ``held_out`` line is few points with intervals;
    ``best`` is the step of its best one.
    """

    name: str
    steps: tuple[float, ...]
    values: Values
    key: str = ""
    low: Values = ()
    high: Values = ()
    held_out: bool = False
    best: float | None = None

    @property
    def known(self) -> list[float]:
        """The values that are there."""
        return [value for value in self.values if value is not None]

    @property
    def ends(self) -> tuple[float, float, int]:
        """Means of the first and of the last values, and of how many: a tenth of them, at least one, at most ten."""
        known = self.known
        count = min(10, max(1, len(known) // 10))
        return sum(known[:count]) / count, sum(known[-count:]) / count, count

    @property
    def edges(self) -> list[float]:
        """The band's values that are there."""
        return [value for value in (*self.low, *self.high) if value is not None]

    @property
    def flat(self) -> bool:
        """Whether every value is the same, so that a picture shows nothing."""
        return len(set(self.known)) == 1 and len(self.known) == len(self.values) > 1 and not self.held_out

    def hover(self) -> list[Any]:
        """``[name, steps, values]`` for the value under the pointer."""
        there = [(x, y) for x, y in zip(self.steps, self.values, strict=True) if y is not None]
        xs, ys = thin([x for x, _ in there], [y for _, y in there])
        return [self.name, xs, [float(f"{y:.4g}") for y in ys]]


@dataclass(frozen=True, slots=True)
class Mark:
    """A health check spoke here. ``value`` is ``None`` where the metric is no number at that step."""

    step: float
    value: float | None
    level: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart to draw. ``share`` fixes the axis to 0..1 in per cent; ``smooth`` adds the mean of the last steps to a
    line that is alone and long enough. ``gaps`` are the steps with a value that is not a finite number."""

    title: str
    note: str
    lines: tuple[Line, ...]
    share: bool = False
    smooth: bool = True
    marks: tuple[Mark, ...] = ()
    gaps: tuple[float, ...] = ()

    def hover(self) -> str:
        """What the page's script says of the step under the pointer, as JSON."""
        told = {"lines": [line.hover() for line in self.lines], "share": self.share}
        return json.dumps(told, separators=(",", ":"), allow_nan=False)


class _Plan(NamedTuple):
    title: str
    note: str
    keys: tuple[tuple[str, str], ...]
    share: bool = False


_CUT = "share of completions cut off at the token limit"
_GRPO_LOSS = "near 0 is normal for GRPO: advantages of a group sum to 0, so read the reward instead"
_FIRST = (
    _Plan(
        "Token accuracy",
        "share of target tokens that the policy ranks first",
        (("mean_token_accuracy", "accuracy"),),
        True,
    ),
    _Plan(
        "Preferred pairs",
        "share of pairs in which the chosen answer has the higher implicit reward",
        (("rewards/accuracies", "accuracy"),),
        True,
    ),
    _Plan(
        "Implicit reward",
        "\N{GREEK SMALL LETTER BETA} times an answer's log-probability above the reference policy's, mean",
        (("rewards/chosen", "chosen"), ("rewards/rejected", "rejected")),
    ),
    _Plan(
        "Reward margin",
        "implicit reward of the chosen above the rejected answer, mean",
        (("rewards/margins", "margin"),),
    ),
    _Plan(
        "Log-probabilities",
        "of whole answers under the policy, mean",
        (("logps/chosen", "chosen"), ("logps/rejected", "rejected")),
    ),
)
_LATER = (
    _Plan("Truncated", _CUT, (("completions/clipped_ratio", "truncated"),), True),
    _Plan("Entropy", "of the policy's next-token choice, mean", (("entropy", "entropy"),)),
    _Plan("KL divergence", "from the reference policy", (("kl", "KL"),)),
    _Plan("Gradient norm", "before clipping", (("grad_norm", "gradient norm"),)),
    _Plan("Learning rate", "", (("learning_rate", "learning rate"),)),
    _Plan("Step time", "seconds", (("step_time", "step time"),)),
)


def charts_of(
    steps: Sequence[Logged],
    expected: Mapping[int, float] | None = None,
    held_out: Sequence[HeldOut] = (),
    findings: Sequence[Finding] = (),
) -> list[Chart]:
    """The charts that the logged keys allow, the reward first. Keys that never hold a number draw nothing.

    ``expected`` is the share of groups without signal that a step's rewards would lead one to expect, by sampling step.
    """
    rewards = _rewards(steps)
    accuracy = _held_out(held_out)
    loss = Chart("Loss", "", (_line(steps, "loss", "training"), _line(steps, "eval_loss", "evaluation")))
    wanted = []
    if any(line.known for line in rewards):
        # A reward of another size would press the accuracy flat.
        together = all(-1 <= value <= 2 for line in rewards for value in line.known)
        note = "mean over the sampled completions of a step"
        wanted.append(Chart("Reward", note, (*rewards, accuracy) if together else rewards))
        if not together:
            wanted.append(_accuracy_chart(accuracy))
        loss = replace(loss, note=_GRPO_LOSS)
    else:
        wanted += [loss, _accuracy_chart(accuracy)]
    wanted += [_planned(steps, plan) for plan in _FIRST]
    wanted += [_zero_std(steps, expected or {}), _length(steps)]
    wanted += [_planned(steps, plan) for plan in _LATER]
    if loss not in wanted:
        wanted.append(loss)
    shown = {line.key for chart in wanted for line in chart.lines}
    others = dict.fromkeys(finding.key for finding in findings if finding.key and finding.key not in shown)
    wanted += [Chart(key, "", (_line(steps, key, key),)) for key in others]
    drawn = [_finished(chart, findings) for chart in wanted]
    return [chart for chart in drawn if chart.lines]


def chart_of(finding: Finding, charts: Iterable[Chart]) -> int | None:
    """The place, counted from 1, of the chart that shows the metric a health check read."""
    places = (place for place, chart in enumerate(charts, 1) if any(line.key == finding.key for line in chart.lines))
    return next(places, None)


def _finished(chart: Chart, findings: Sequence[Finding]) -> Chart:
    """The chart without empty lines, with its marks and its gaps."""
    lines = tuple(line for line in chart.lines if line.known)
    marks, gaps = [], set()
    for line in lines:
        values = dict(zip(line.steps, line.values, strict=True))
        marks += [Mark(f.step, values.get(f.step), f.level) for f in findings if f.key == line.key]
        gaps |= {step for step, value in values.items() if value is None}
    return replace(chart, lines=lines, marks=tuple(marks), gaps=tuple(sorted(gaps)))


def _rewards(steps: Sequence[Logged]) -> tuple[Line, ...]:
    functions = sorted({m[1] for step in steps for key in step if (m := re.fullmatch(r"rewards/(.+)/mean", key))})
    lines = [_line(steps, "reward", "total reward")]
    lines += [_line(steps, f"rewards/{function}/mean", function) for function in functions]
    if len(lines) == 2 and lines[0].values == lines[1].values:
        return (replace(lines[0], name=functions[0]),)
    return tuple(lines)


def _held_out(held_out: Sequence[HeldOut]) -> Line:
    return Line(
        "held-out accuracy",
        tuple(one.step for one in held_out),
        tuple(one.accuracy for one in held_out),
        "accuracy",
        tuple(one.interval[0] for one in held_out),
        tuple(one.interval[1] for one in held_out),
        held_out=True,
        best=next((one.step for one in reversed(held_out) if one.best), None),
    )


def _accuracy_chart(line: Line) -> Chart:
    return Chart("Held-out accuracy", "of the questions asked during training", (line,), share=True)


def _zero_std(steps: Sequence[Logged], expected: Mapping[int, float]) -> Chart:
    note = "share of groups whose completions all got the same reward: no signal, nothing is learnt from them"
    observed = _line(steps, "frac_reward_zero_std", "groups without signal")
    if not observed.known:
        return Chart("Groups without signal", note, (observed,), share=True)
    values: list[float | None] = []
    before = float("-inf")
    for step in observed.steps:  # a logged number is the mean of the steps since the last one
        since = [share for sampled, share in expected.items() if before < sampled <= step]
        values.append(sum(since) / len(since) if since else None)
        before = step
    there = [(step, value) for step, value in zip(observed.steps, values, strict=True) if value is not None]
    if not there:
        return Chart("Groups without signal", note, (observed,), share=True)
    chance = Line(EXPECTED, tuple(step for step, _ in there), tuple(value for _, value in there))
    return Chart("Groups without signal", note, (observed, chance), share=True, smooth=False)


def _length(steps: Sequence[Logged]) -> Chart:
    line = _line(steps, "completions/mean_length", "mean length")
    logged = [step for step in steps if line.key in step]  # a step may have a second row without these keys
    edges = [tuple(_drawable(step.get(f"completions/{end}_length")) for step in logged) for end in ("min", "max")]
    if not all(any(value is not None for value in edge) for edge in edges):
        return Chart("Completion length", "tokens, mean of a step", (line,))
    note = "tokens: the mean of a step, and from shortest to longest as a band"
    return Chart("Completion length", note, (replace(line, low=edges[0], high=edges[1]),))


def _planned(steps: Sequence[Logged], plan: _Plan) -> Chart:
    lines = tuple(_line(steps, key, name) for key, name in plan.keys)
    return Chart(plan.title, plan.note, lines, plan.share, smooth=plan.title != "Learning rate")


def _line(steps: Sequence[Logged], key: str, name: str) -> Line:
    there = [step for step in steps if key in step]
    values = tuple(_drawable(step[key]) for step in there)
    return Line(name, tuple(step["step"] for step in there), values, key)


def _drawable(value: Any) -> float | None:
    # Beyond this an axis overflows; such a value is told by the table.
    found = number(value)
    return found if found is not None and abs(found) < 1e30 else None


def thin(xs: Sequence[float], ys: Sequence[float], most: int = COLUMNS) -> tuple[list[float], list[float]]:
    """A line of at most ``most`` points that looks the same: each stretch keeps its lowest and its highest."""
    if len(xs) <= most:
        return list(xs), list(ys)
    kept: set[int] = {0, len(xs) - 1}
    width = 2 * len(xs) / most
    for start in range(most // 2):
        stretch = range(int(start * width), min(len(xs), int((start + 1) * width)))
        kept |= {min(stretch, key=ys.__getitem__), max(stretch, key=ys.__getitem__)} if stretch else set()
    places = sorted(kept)
    return [xs[place] for place in places], [ys[place] for place in places]
