"""Any two runs side by side: a ``Run`` whose "before" is A and whose "after" is B, so that the page
of a run serves for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.report.pairs import pair
from harness.report.ran import differences, versions_apart
from harness.report.read import read_run
from harness.report.views import Evaluation, Run, Versus
from harness.store.question import Question
from harness.store.records import Record
from harness.store.redact import clean_tree
from harness.store.run_files import Verdict

WORDS = {"before": "A", "after": "B"}


def compare_runs(a: Path, b: Path, verdict: Verdict) -> Run:
    """A's latest evaluation against B's; ``verdict`` is made by who can judge.

    What is wrong with either directory stands in the notes, as on its own page.
    """
    first, second = read_run(a), read_run(b)
    sides = [_latest(run) for run in (first, second)]
    asked = {
        each.id: Question(each.id, each.text, each.ground_truth, "test", None, each.prompt)
        for run in (first, second)
        for each in run.questions
    }
    answers = [_answers(run, side) for run, side in zip((first, second), sides, strict=True)]
    before, after = (
        None if side is None else replace(side, name=name) for side, name in zip(sides, WORDS, strict=True)
    )
    return Run(
        path=b,
        name=f"{first.path.name} → {second.path.name}",
        seed=None,
        key="",
        recipe_text=second.recipe_text,
        recipe={key: value for key, value in second.recipe.items() if key not in ("gate", "description", "train")},
        environment=second.environment,
        identity=second.identity,
        verdicts=(Verdict(**clean_tree(replace(verdict, gate="B against A").to_json())),),
        before=before,
        after=after,
        training=None,
        questions=pair(asked.values(), answers[0], answers[1]),
        overrides=second.overrides,
        notes=tuple(f"{name}: {note}" for name, run in (("A", first), ("B", second)) for note in run.notes),
        versus=Versus(
            words=WORDS,
            names=(first.path.name, second.path.name),
            stages=tuple("" if side is None else side.name for side in sides),
            commits=tuple(_commit(run) for run in (first, second)),
            changes=differences(first.recipe, second.recipe),
            versions=versions_apart(*(run.environment.packages if run.environment else {} for run in (first, second))),
        ),
    )


def _latest(run: Run) -> Evaluation | None:
    """The evaluation that a comparison looks at: after training, or before it where there is no other."""
    sides = [side for side in (run.after, run.before) if side is not None]
    return next((side for side in sides if side.summary), sides[0] if sides else None)


def _answers(run: Run, side: Evaluation | None) -> dict[str, tuple[Record, ...]]:
    if side is None:
        return {}
    every = {question.id: question.after if side.name == "after" else question.before for question in run.questions}
    return {question: answers for question, answers in every.items() if answers}


def _commit(run: Run) -> str:
    git = run.environment.git if run.environment else None
    return git["commit"][:10] + (" with uncommitted changes" if git["dirty"] else "") if git else ""
