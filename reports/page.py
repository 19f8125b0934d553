"""What the templates need to know about a run beside the run itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports import completions, present
from reports.distributions import DistributionsPage, distributions_page
from reports.groups import GroupsPage, groups_page
from reports.loose import number
from reports.training import TrainingPage, training_page

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    training: TrainingPage | None
    groups: GroupsPage | None
    distributions: DistributionsPage
    threshold: float | None


def page_of(index: int, run: Run) -> Page:
    """The page of the ``index``-th run, its charts drawn."""
    sampled = completions.scan(run.path / "train" / "completions.jsonl")
    trains = run.training is not None or run.compares or bool(run.recipe.get("train"))
    answers: list[tuple[str, Answer]] = []
    for question in run.questions:
        answers += [("before", answer) for answer in question.before] + [("after", answer) for answer in question.after]
    words = {"before": "before" if trains else "accuracy", "after": "after"} if run.versus is None else run.versus.words
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
        words=words,
        comparison=present.comparison(run),
        flips=Counter(question.flip for question in run.questions),
        samples=max((len(side) for q in run.questions for side in (q.before, q.after)), default=0),
        statuses=sorted({(side, answer.status) for side, answer in answers}, key=_before_first),
        finishes=sorted({(side, answer.finish_reason) for side, answer in answers}, key=_before_first),
        training=None if run.training is None else training_page(run, run.training, sampled),
        groups=None if sampled is None else groups_page(sampled),
        distributions=distributions_page(run, words),
        threshold=number(gate.get("min_accuracy")) if isinstance(gate, dict) else None,
    )


def _before_first(pair: tuple[str, str]) -> tuple[bool, str]:
    return pair[0] != "before", pair[1]
