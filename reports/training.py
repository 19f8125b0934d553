"""What the training section of a run's page needs: its headline, its charts, its findings and its table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from reports.charts import EXPECTED, Chart, chart_of, charts_of
from reports.draw import draw
from reports.groups import thinned
from reports.signal import expected_by_step
from reports.sound import Soundness, soundness

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reports.completions import Sampled
    from reports.views import Finding, Run, Training

TABLE = 500
"""Rows of the table of logged numbers; of more lines, evenly spaced ones are listed."""


@dataclass(frozen=True, slots=True)
class TrainingPage:
    """``findings`` come with the place of the chart they are marked on, counted from 1, ``table`` is every
    logged line, or evenly spaced ones of very many."""

    sound: Soundness
    charts: list[tuple[Chart, Markup]]
    findings: list[tuple[Finding, int | None]]
    expects: bool
    columns: list[str]
    table: list[Mapping[str, Any]]


def training_page(run: Run, training: Training, sampled: Sampled | None) -> TrainingPage:
    """The section of one training, its charts drawn."""
    expected = expected_by_step(sampled)
    health = training.health or ()
    charts = charts_of(training.steps, expected, training.evaluations, health)
    return TrainingPage(
        sound=soundness(run, training, expected),
        charts=[(chart, Markup(draw(chart))) for chart in charts],
        findings=[(finding, chart_of(finding, charts)) for finding in sorted(health, key=lambda f: f.step)],
        expects=any(line.name == EXPECTED for chart in charts for line in chart.lines),
        columns=list(dict.fromkeys(key for step in training.steps for key in step if key not in ("step", "time"))),
        table=thinned(training.steps, TABLE),
    )
