"""What a run's page shows as tables and bars beside its questions: accuracy at k answers, distributions of what was
answered, the audit of the rewards, what each stage cost, and methods held against each other."""

from __future__ import annotations

import bisect
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from harness.report import svg
from harness.report.present import NONE, brief, count, number, percent, plural, points, seconds, within
from harness.store.audit import FAMILIES, Audit, Outcome, RewardAudit
from harness.store.stages import SIDES

if TYPE_CHECKING:
    from markupsafe import Markup

    from harness.report.views import Evaluation, Run, Training
    from harness.store.methods import Comparison
    from harness.store.records import AtKEntry, Interval, Record

Cell = tuple[str, str]
"""A number in words, and its 95 % interval or ``""``."""

METRICS: Mapping[str, str] = {
    "pass": "a question counts where at least one of k answers is right",
    "majority": "a question counts where the answer given most often among k is right",
    "mean": "the share of right answers",
}


@dataclass(frozen=True, slots=True)
class AtK:
    """``rows`` are ``(metric, evaluation's name, a cell for each k)``."""

    samples: int
    ks: tuple[int, ...]
    rows: tuple[tuple[str, str, tuple[Cell, ...]], ...]


def at_k_of(evaluations: Sequence[Evaluation]) -> AtK | None:
    """``at_k`` of some evaluations; ``None`` where each question was answered once."""
    kept = {side.name: side.summary.at_k for side in evaluations if side.summary and side.summary.at_k}
    if not kept:
        return None
    ks = sorted({int(k) for found in kept.values() for k in found["pass"]})
    rows = [
        (metric, name, tuple(_at_k(found[metric].get(str(k))) for k in ks))  # type: ignore[literal-required]
        for metric in METRICS
        for name, found in kept.items()
    ]
    return AtK(max(found["samples"] for found in kept.values()), tuple(ks), tuple(rows))


def _at_k(entry: AtKEntry | None) -> Cell:
    return (percent(None), "") if entry is None else (percent(entry["value"]), within(entry["interval"]))


# The audit of the rewards


class Hack(NamedTuple):
    """What one hack would be paid: by reward, and in the recipe's weighted total."""

    name: str
    answer: str
    values: tuple[float | None, ...]
    total: float | None
    above_wrong: bool


def kind_of(case: Outcome) -> str:
    """``paid`` or ``refused`` as promised, paid by ``choice``, ``bad``."""
    if not case.passed:
        return "bad"
    return "refused" if not case.paid else "choice" if case.expected == "any" else "paid"


def cases_of(reward: RewardAudit) -> list[Outcome]:
    """A reward's cases, those that are not as promised first."""
    return sorted(reward.cases, key=lambda case: (case.passed, FAMILIES.index(case.family)))


def hacks_of(audit: Audit) -> list[Hack]:
    """Every hack, the dearest first; of the same price in the table's order."""
    dear, found = audit.hacks_paid(), []
    for row in (each for each in audit.totals if each.family == "hack"):
        cases = [next(each for each in reward.cases if each.name == row.name) for reward in audit.rewards]
        values = tuple(each.value for each in cases)
        found.append(Hack(row.name, cases[0].answer, values, row.total, row in dear))
    return sorted(found, key=lambda hack: -(hack.total or 0.0))


# Distributions of what was answered

BARS, BINS = 12, 20
"""Up to so many values have a bar each; more are put in so many bins."""


@dataclass(frozen=True, slots=True)
class Bins:
    """Bars from left to right: ``names`` for the table; ``ticks`` for the axis, standing ``offset`` bars to the side
    (bins have their lower edge at their left)."""

    names: tuple[str, ...]
    ticks: tuple[str, ...]
    offset: float


@dataclass(frozen=True, slots=True)
class Panel:
    """One evaluation's bars: how many values each bin holds, and how many of them belong to truncated answers."""

    name: str
    summary: str
    counts: tuple[int, ...]
    cuts: tuple[int, ...]

    def drawn(self, bins: Bins, top: float) -> Markup:
        """The bars, as shares of all values; ``top`` is the highest share of any panel beside it."""
        total = max(1, sum(self.counts))
        shares, cuts = ([each / total for each in counts] for counts in (self.counts, self.cuts))
        return svg.bars(shares, cuts, bins.ticks, bins.offset, top)


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram of each evaluation on one axis. ``unit`` heads the table's first column."""

    title: str
    note: str
    unit: str
    bins: Bins
    panels: tuple[Panel, ...]

    @property
    def marks_cut(self) -> bool:
        """Whether any value belongs to a truncated completion."""
        return any(any(panel.cuts) for panel in self.panels)

    @property
    def pictures(self) -> list[Markup]:
        """The panels, drawn on one scale."""
        top = max(max(panel.counts) / max(1, sum(panel.counts)) for panel in self.panels)
        return [panel.drawn(self.bins, top) for panel in self.panels]


Values = Mapping[str, Sequence[tuple[float, bool]]]
"""By evaluation: each value, and whether its answer was cut off."""


def distributions_of(run: Run, words: Mapping[str, str]) -> list[Distribution]:
    """Rewards, lengths and, where questions were asked more than once, success over the answers of a question."""
    sides: dict[str, list[Sequence[Record]]] = {}
    for name in SIDES:
        answered = [answers for question in run.questions if (answers := getattr(question, name))]
        if answered:
            sides[name] = answered
    every = {name: [answer for answers in side for answer in answers] for name, side in sides.items()}
    rewards = {n: [(a.reward, False) for a in side if a.reward is not None] for n, side in every.items()}
    lengths = {
        n: [(float(a.completion_tokens), a.finish_reason == "length") for a in side] for n, side in every.items()
    }
    note = "total reward of an answer: the weighted sum of the reward functions"
    found = [
        _distribution("Rewards", note, "reward", rewards, words),
        _distribution("Lengths", "tokens of an answer", "tokens", lengths, words, whole=True),
    ]
    if any(len(answers) > 1 for side in sides.values() for answers in side):
        found.append(_success(sides, words))
    return [one for one in found if one is not None]


def _success(sides: Mapping[str, Sequence[Sequence[Record]]], words: Mapping[str, str]) -> Distribution | None:
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
    classes = [round(right / most, 6) for right in range(most + 1)] if 0 < most <= BARS else None
    return _distribution("Success per question", note, "right", values, words, share=True, classes=classes)


def _distribution(
    title: str,
    note: str,
    unit: str,
    values: Values,
    words: Mapping[str, str],
    whole: bool = False,
    share: bool = False,
    classes: Sequence[float] | None = None,
) -> Distribution | None:
    everything = [value for side in values.values() for value, _ in side]
    if not everything:
        return None
    edges, bins = binned(everything, whole, share, classes)
    panels = []
    for name, side in values.items():
        if side:
            cuts = _counted([value for value, cut in side if cut], edges)
            told = _summary([value for value, _ in side], whole, share, sum(cuts))
            panels.append(Panel(words.get(name, name), told, _counted([value for value, _ in side], edges), cuts))
    return Distribution(title, note, unit, bins, tuple(panels))


def binned(
    values: Sequence[float], whole: bool = False, share: bool = False, classes: Sequence[float] | None = None
) -> tuple[list[float], Bins]:
    """Lower edges of the bins that hold all ``values``, and how they are called: a bin a value where these are few.

    ``classes`` have a bin each, empty or not, where every value is one of them.
    """
    distinct = sorted({round(value, 6) for value in values})
    if classes and set(distinct) <= set(classes):
        distinct = list(classes)
    shape = percent if share else brief
    if len(distinct) <= BARS + 1 and not (whole and len(distinct) > 1):
        names = tuple(map(shape, distinct))
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
    names = tuple(f"{shape(edge)} to {shape(edge + width)}" for edge in edges)
    return edges, Bins(names, tuple(map(shape, edges)), -0.5)


def _counted(values: Sequence[float], edges: Sequence[float]) -> tuple[int, ...]:
    bins = Counter(max(0, bisect.bisect_right(edges, value) - 1) for value in values)
    return tuple(bins[place] for place in range(len(edges)))


def _summary(values: Sequence[float], whole: bool, share: bool, cut: int) -> str:
    shape = percent if share else (lambda value: f"{value:.1f}") if whole else brief
    text = f"mean {shape(statistics.fmean(values))}, median {shape(statistics.median(values))}"
    return f"{text}, {count(cut)} cut off" if cut else text


# What each stage cost


@dataclass(frozen=True, slots=True)
class Stage:
    """``None`` where something is not known. ``tokens_in`` of a training counts both ways."""

    name: str
    tokens_in: float | None
    tokens_out: float | None
    seconds: float | None
    rate: float | None
    memory: float | None
    note: str


def stages_of(run: Run) -> list[Stage]:
    """What the stages of a run cost, in order."""
    stages = [_asked("before", run.before)] if run.before is not None else []
    if run.training is not None and (run.training.summary or run.training.steps):
        stages.append(_trained(run.training))
    return stages + ([_asked("after", run.after)] if run.after is not None else [])


def _asked(name: str, side: Evaluation) -> Stage:
    summary = side.summary
    taken, reused = (summary.seconds, summary.reused) if summary else (None, {})
    return Stage(
        name,
        tokens_in=side.prompt_tokens,
        tokens_out=side.completion_tokens,
        seconds=taken,
        rate=None if reused else _rate(side.completion_tokens, taken),
        memory=summary.peak_memory_bytes if summary else None,
        note="; ".join(filter(None, (_reused(reused, side.answers), _slow(summary.slow if summary else None)))),
    )


def _slow(why: str | None) -> str:
    return f"by model.generate, which is slower: {why}" if why else ""


def _reused(runs: Mapping[str, int], answers: int) -> str:
    """What was found in other runs instead of being asked for."""
    if not runs:
        return ""
    first, *others = runs
    where = first + (f" and {plural(len(others), 'more run')}" if others else "")
    found = sum(runs.values())
    some = "answers" if found >= answers else f"{count(found)} of {plural(answers, 'answer')}"
    return f"{some} found in {where}"


def _trained(training: Training) -> Stage:
    summary, steps = training.summary, training.steps
    tokens = next((found for step in reversed(steps) if (found := number(step.get("num_tokens"))) is not None), None)
    if summary is None:
        return Stage("training", tokens, None, None, None, None, "")
    notes = (
        f"trained in {summary.source}, which trains the same" if summary.source else "",
        f"time since step {summary.resumed_from}, where it was resumed" if summary.resumed_from else "",
        _slow(summary.slow),
    )
    rate = None if summary.resumed_from else _rate(tokens, summary.seconds)
    note = "; ".join(filter(None, notes))
    return Stage("training", tokens, None, summary.seconds, rate, summary.peak_memory_bytes, note)


def _rate(tokens: float | None, taken: float | None) -> float | None:
    return tokens / taken if tokens and taken and taken > 0 else None


# Methods held against each other


@dataclass(frozen=True, slots=True)
class Methods:
    """One comparison. ``rows`` are ``(method, recipe, seeds, cells)`` with a cell for each of :data:`COLUMNS`,
    ``pairs`` are ``(a, b, sentence)``, ``differing`` what the runs do not share though they should."""

    rows: tuple[tuple[str, str, int, tuple[Cell, ...]], ...]
    pairs: tuple[tuple[str, str, str], ...]
    differing: tuple[str, ...]


COLUMNS = ("accuracy", "gained", "tokens", "time", "gained per 1,000 tokens", "gained per second")


def methods_of(kept: Iterable[Comparison | None]) -> list[Methods]:
    """The comparisons of some runs, each once, in their order."""
    found: list[Comparison] = []
    for each in kept:
        if each is not None and each not in found:
            found.append(each)
    return [
        Methods(
            rows=tuple(
                (
                    row.method,
                    row.recipe,
                    len(row.seeds),
                    (
                        (percent(row.accuracy), within(row.accuracy_interval)),
                        (points(row.gain), within(row.gain_interval)),
                        (count(row.sampled_tokens), ""),
                        (seconds(row.seconds), ""),
                        _per(row.per_thousand_tokens, row.per_thousand_tokens_interval),
                        _per(row.per_second, row.per_second_interval),
                    ),
                )
                for row in each.rows
            ),
            pairs=tuple((pair.a, pair.b, pair.sentence) for pair in each.pairs),
            differing=each.differing,
        )
        for each in found
    ]


def _per(value: float | None, interval: Interval | None) -> Cell:
    """A small difference in percentage points."""
    if value is None:
        return NONE, ""
    ends = "" if interval is None else f"[{', '.join(brief(100 * end) for end in interval)}]"
    return brief(100 * value), ends
