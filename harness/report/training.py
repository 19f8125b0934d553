"""The training of a run for its page: whether it was sound, its charts, and what the health checks said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from harness.report.charts import EXPECTED, Chart, chart_of, charts_of
from harness.report.groups import expected_by_step, thinned
from harness.report.present import NONE, number, percent, plural
from harness.report.svg import draw

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.report.groups import Sampled
    from harness.report.views import Run, Training
    from harness.store.run_files import Finding, Logged

TABLE = 500
"""Rows of the table of logged numbers; of more lines, evenly spaced ones are listed."""


@dataclass(frozen=True, slots=True)
class Soundness:
    """Whether training was sound in a mark and one or two sentences; ``kind`` is a css class."""

    mark: str
    kind: str
    word: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrainingPage:
    """``wide`` is the first chart once more, drawn for the overview. ``findings`` come with the place of the chart they
    are marked on, counted from 1, ``flat`` are charts of one value that stays the same and are not drawn, ``table`` is
    every logged line, or evenly spaced ones of very many, ``sampling`` says why reward and accuracy need not be equal,
    and ``told`` are sentences about a stop, a selected checkpoint and the signal check."""

    sound: Soundness
    charts: list[tuple[Chart, Markup]]
    wide: Markup
    flat: list[Chart]
    findings: list[tuple[Finding, int | None]]
    expects: bool
    sampling: str
    told: list[str]
    columns: list[str]
    table: list[Logged]


def training_page(run: Run, training: Training, sampled: Sampled | None) -> TrainingPage:
    """The section of one training, its charts drawn."""
    expected = expected_by_step(sampled)
    health = training.health or ()
    every = charts_of(training.steps, expected, training.evaluations, health)
    flat = [c for c in every[1:] if len(c.lines) == 1 and c.lines[0].flat and not c.marks and not c.lines[0].edges]
    charts = [chart for chart in every if chart not in flat]
    return TrainingPage(
        sound=soundness(run, training, expected),
        charts=[(chart, draw(chart)) for chart in charts],
        wide=draw(charts[0], 720, 200) if charts else Markup(""),
        flat=flat,
        findings=[(finding, chart_of(finding, charts)) for finding in sorted(health, key=lambda f: f.step)],
        expects=any(line.name == EXPECTED for chart in charts for line in chart.lines),
        sampling=sampling_note(run.recipe),
        told=told_of(training),
        columns=list(dict.fromkeys(key for step in training.steps for key in step if key not in ("step", "time"))),
        table=thinned(training.steps, TABLE),
    )


def sampling_note(recipe: Mapping[str, object]) -> str:
    """At which temperatures training samples and the evaluation asks, as far as the recipe says.

    >>> sampling_note({"train": {"temperature": 1.0}, "evaluate": {"temperature": 0}})
    'sampled at temperature 1, while accuracy is asked at temperature 0: the two need not be equal'
    """
    told = [_temperature(recipe, stage) for stage in ("train", "evaluate")]
    sampled = f"sampled at temperature {told[0]}" if told[0] else "of answers sampled in training"
    asked = f"is asked at temperature {told[1]}" if told[1] else "is asked as [evaluate] says, greedily by default"
    return f"{sampled}, while accuracy {asked}: the two need not be equal"


def _temperature(recipe: Mapping[str, object], stage: str) -> str:
    table = recipe.get(stage)
    value = number(table.get("temperature")) if isinstance(table, dict) else None
    return "" if value is None else f"{value:g}"


def told_of(training: Training) -> list[str]:
    """What stopped the training early, which checkpoint was taken, and what the signal check foresaw."""
    summary = training.summary
    told = {
        "Stopped early": summary and summary.stopped,
        "Checkpoint": summary and summary.selected,
        "Signal check before training": training.signal,
    }
    return [f"{head}: {each.sentence.rstrip('.')}." for head, each in told.items() if each]


def soundness(run: Run, training: Training, expected: Mapping[int, float]) -> Soundness:
    """What the training verdict and the health checks say together, and what the steps were worth."""
    worst, about = _foremost(run, training)
    learnt = _signal(training, expected)
    mark, word = {
        "bad": ("✗", "Not sound"),
        "warn": ("!", "Sound with reservations"),
        "open": (NONE, "Cannot tell"),
        "good": ("✓", "Sound"),
    }[worst]
    return Soundness(mark, worst, word, tuple(sentence for sentence in (about, learnt) if sentence))


def _foremost(run: Run, training: Training) -> tuple[str, str]:
    if training.error:
        return "bad", "Training failed; what it last said stands above."
    verdict = next((verdict for verdict in run.verdicts if verdict.gate == "training"), None)
    if verdict is not None and verdict.passed is False:
        return "bad", _sentence(verdict.sentence)
    if not training.steps:
        return "open", "No step was logged."
    findings = training.health or ()
    fatal = [finding for finding in findings if finding.level == "fatal"]
    if fatal:
        return "bad", f"A health check at step {fatal[0].step} was fatal: {_sentence(fatal[0].sentence)}"
    broken = sorted({step for key in ("loss", "grad_norm", "reward") for step in _broken(training.steps, key)})
    if broken:
        return "bad", f"The loss, gradient or reward is no finite number at step {broken[0]:g}{_more(len(broken) - 1)}."
    done = f"{plural(training.steps[-1]['step'], 'step')}, every logged loss and gradient finite"
    if verdict is not None and verdict.holds is None:
        return "warn", _sentence(verdict.sentence)
    if findings:
        count = "one warning" if len(findings) == 1 else f"{len(findings)} warnings"
        first = min(findings, key=lambda finding: finding.step)
        return "warn", f"{done}, but the health checks gave {count}, first at step {first.step}."
    return "good", f"{done}{', and no health check spoke' if training.health is not None else ''}."


def _signal(training: Training, expected: Mapping[int, float]) -> str:
    """A sentence about groups without signal and truncation."""
    said = []
    zero = _mean(training.steps, "frac_reward_zero_std")
    if zero is not None:
        chance = sum(expected.values()) / len(expected) if expected else None
        beside = f" (by chance alone {percent(chance)})" if chance is not None else ""
        said.append(f"{percent(zero)} of the groups were without signal: equal rewards teach nothing{beside}")
        if training.signal is not None and training.signal.kept is None:
            said.append(f"the signal check before training expected {percent(training.signal.zero_std_share)}")
    cut = _mean(training.steps, "completions/clipped_ratio")
    if cut is not None:
        said.append(f"{percent(cut) if cut else 'none'} of the completions reached the token limit")
    text = "; ".join(said)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _broken(steps: Sequence[Logged], key: str) -> list[float]:
    return [step["step"] for step in steps if key in step and number(step[key]) is None]


def _mean(steps: Sequence[Logged], key: str) -> float | None:
    values = [value for step in steps if (value := number(step.get(key))) is not None]
    return sum(values) / len(values) if values else None


def _more(count: int) -> str:
    return f" and at {count} more" if count else ""


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
