"""What the training section of a run's page needs: its headline, its charts, its findings and its table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from harness.report.charts import EXPECTED, Chart, chart_of, charts_of
from harness.report.draw import draw
from harness.report.groups import thinned
from harness.report.present import number
from harness.report.signal import expected_by_step
from harness.report.sound import Soundness, soundness

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.report.completions import Sampled
    from harness.report.views import Run, Training
    from harness.store.run_files import Finding, Logged

TABLE = 500
"""Rows of the table of logged numbers; of more lines, evenly spaced ones are listed."""


@dataclass(frozen=True, slots=True)
class TrainingPage:
    """``findings`` come with the place of the chart they are marked on, counted from 1,
    ``flat`` are charts of one value that stays the same and are not drawn, ``table`` is every
    logged line, or evenly spaced ones of very many, and ``sampling`` says why reward and accuracy need not be equal,
    and ``told`` are sentences about a stop, a selected checkpoint and the signal check."""

    sound: Soundness
    charts: list[tuple[Chart, Markup]]
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
        charts=[(chart, Markup(draw(chart))) for chart in charts],
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
