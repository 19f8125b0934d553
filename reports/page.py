"""What the templates need to know about a run beside the run itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from reports import present
from reports.charts import Chart, charts_of, draw
from reports.loose import number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reports.audit import Audit
    from reports.views import Answer, Evaluation, Flip, Run


@dataclass(frozen=True, slots=True)
class Page:
    """A run ready to be shown. ``id`` prefixes every id of its part of the page; ``words`` names the evaluations."""

    run: Run
    id: str
    mark: str
    word: str
    kind: str
    title: str
    evaluations: tuple[Evaluation, ...]
    words: Mapping[str, str]
    comparison: tuple[list[present.Row], list[present.Row]]
    flips: Mapping[Flip, int]
    samples: int
    statuses: list[tuple[str, str]]
    finishes: list[tuple[str, str]]
    charts: list[tuple[Chart, Markup]]
    columns: list[str]
    threshold: float | None
    audit: Audit | None


def page_of(index: int, run: Run) -> Page:
    """The page of the ``index``-th run, its charts drawn."""
    steps = run.training.steps if run.training is not None else ()
    trains = run.training is not None or run.compares or bool(run.recipe.get("train"))
    answers: list[tuple[str, Answer]] = []
    for question in run.questions:
        answers += [("before", answer) for answer in question.before] + [("after", answer) for answer in question.after]
    gate = run.recipe.get("gate")
    mark, word, kind = present.outcome_words(run)
    return Page(
        run=run,
        id=f"run{index}",
        mark=mark,
        word=word,
        kind=kind,
        title=run.name if run.seed is None else f"{run.name} · seed {run.seed}",
        evaluations=tuple(evaluation for evaluation in (run.before, run.after) if evaluation is not None),
        words={"before": "before" if trains else "accuracy", "after": "after"},
        comparison=present.comparison(run),
        flips=Counter(question.flip for question in run.questions),
        samples=max((len(side) for q in run.questions for side in (q.before, q.after)), default=0),
        statuses=sorted({(side, answer.status) for side, answer in answers}, key=_before_first),
        finishes=sorted({(side, answer.finish_reason) for side, answer in answers}, key=_before_first),
        charts=[(chart, Markup(draw(chart))) for chart in charts_of(steps)],
        columns=list(dict.fromkeys(key for step in steps for key in step if key not in ("step", "time"))),
        threshold=number(gate.get("min_accuracy")) if isinstance(gate, dict) else None,
        audit=run.audit,
    )


def _before_first(pair: tuple[str, str]) -> tuple[bool, str]:
    return pair[0] != "before", pair[1]
