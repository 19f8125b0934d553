"""What the templates need to know about a run beside the run itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.report import completions, present
from harness.report.distributions import DistributionsPage, distributions_page
from harness.report.groups import GroupsPage, groups_page
from harness.report.pairs import share_common
from harness.report.read import Reader
from harness.report.reasons import Form, form_of, rules_of
from harness.report.training import TrainingPage, training_page
from harness.store.siblings import name_of
from harness.store.stages import SIDES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.report.views import Evaluation, Flip, Prompt, Question, Run
    from harness.store.records import Record

WORDS: Mapping[str, str] = {"before": "before", "after": "after"}


@dataclass(frozen=True, slots=True)
class Page:
    """A run ready to be shown.

    ``id`` prefixes ids that would clash where runs share a page, ``stem`` is the file name of the run's page without
    ``.html``, ``words`` names the evaluations, ``differs`` tells the run from its like in the session, ``asked`` counts
    the questions, ``sides`` are the evaluations whose answers are shown, ``common`` the turns that begin every prompt,
    ``form`` is where graders look for an answer, ``rules`` what they accept,
    and ``records`` links each evaluation's ``records.jsonl`` where a relative path leads there.
    """

    run: Run
    id: str
    stem: str
    mark: str
    word: str
    kind: str
    title: str
    differs: tuple[tuple[str, str], ...]
    evaluations: tuple[Evaluation, ...]
    words: Mapping[str, str]
    comparison: tuple[list[present.Row], list[present.Row]]
    cost: tuple[list[present.Cost], ...]
    flips: Mapping[Flip, int]
    asked: int
    samples: int
    sides: tuple[str, ...]
    two_sided: bool
    weights: Mapping[str, str]
    form: Form
    rules: str
    common: Prompt
    statuses: list[tuple[str, str]]
    finishes: list[tuple[str, str]]
    training: TrainingPage | None
    groups: GroupsPage | None
    distributions: DistributionsPage
    threshold: float | None
    records: Mapping[str, str]

    def light(self) -> Page:
        """The page without questions, steps and charts: what a session page needs, in little memory."""
        training = None if self.run.training is None else replace(self.run.training, steps=())
        run = replace(self.run, questions=(), training=training)
        return replace(self, run=run, training=None, groups=None, distributions=[])


def page_of(
    index: int,
    run: Run,
    stem: str = "run",
    differs: Sequence[tuple[str, str]] = (),
    words: Mapping[str, str] | None = None,
    records: Mapping[str, str] | None = None,
    drawn: bool = True,
) -> Page:
    """The page of the ``index``-th run, its charts drawn unless ``drawn`` is false: a page of all runs shows none.

    ``words`` are other names for the two evaluations.
    """
    reader = Reader(run.path)
    sampled = reader.tried(lambda: completions.scan(run.path / "train"), None) if drawn else None
    run = replace(run, notes=(*run.notes, *reader.notes))
    trains = run.training is not None or run.compares or bool(run.recipe.get("train"))
    answers: list[tuple[str, Record]] = []
    for question in run.questions:
        answers += [("before", answer) for answer in question.before] + [("after", answer) for answer in question.after]
    if words is None:
        words = WORDS if trains else {"before": "accuracy", "after": "after"}
    if run.versus is not None:
        words = run.versus.words
    gate = run.recipe.get("gate")
    mark, word, kind = present.outcome_words(run) if run.versus is None else present.headline([run])
    evaluations = tuple(evaluation for evaluation in (run.before, run.after) if evaluation is not None)
    return Page(
        run=run,
        id=f"run{index}",
        stem=stem,
        mark=mark,
        word=word,
        kind=kind,
        title=run.name if run.seed is None else name_of(run.path),
        differs=tuple(differs),
        evaluations=evaluations,
        words=words,
        comparison=present.comparison(run),
        cost=tuple(present.cost(evaluation) for evaluation in evaluations),
        flips=Counter(question.flip for question in run.questions),
        asked=len(run.questions),
        samples=max((len(side) for q in run.questions for side in (q.before, q.after)), default=0),
        sides=_sides(run),
        two_sided=run.compares,
        weights={function: present.plain(weight) for function, weight in run.weights.items()},
        form=form_of(run.weights),
        rules=rules_of(grader for _, answer in answers for grader in answer.grades),
        common=_common_turns(run.questions),
        statuses=sorted({(side, answer.status) for side, answer in answers}, key=_before_first),
        finishes=sorted({(side, answer.finish_reason) for side, answer in answers}, key=_before_first),
        training=training_page(run, run.training, sampled) if drawn and run.training is not None else None,
        groups=None if sampled is None else groups_page(sampled),
        distributions=distributions_page(run, words) if drawn else [],
        threshold=present.number(gate.get("min_accuracy")) if isinstance(gate, dict) else None,
        records=records or {},
    )


def _sides(run: Run) -> tuple[str, ...]:
    if run.compares:
        return SIDES
    return ("after",) if any(question.after for question in run.questions) else ("before",)


def _common_turns(questions: Sequence[Question]) -> Prompt:
    """The turns that begin every prompt, its last turn left out; nothing where there is but one question."""
    prompts = [question.prompt[:-1] for question in questions]
    return share_common(prompts) if len(prompts) > 1 else ()


def _before_first(pair: tuple[str, str]) -> tuple[bool, str]:
    return pair[0] != "before", pair[1]
