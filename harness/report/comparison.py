"""Any two runs side by side: a ``Run`` whose "before" is A and whose "after" is B, so that the page
of a run serves for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.report.loose import string
from harness.report.pairs import pair
from harness.report.ran import differences, versions_apart
from harness.report.read import read_run
from harness.report.views import Answer, Evaluation, Question, Run, Verdict, Versus
from harness.store.secrets import redact, redact_tree

WORDS = {"before": "A", "after": "B"}


def compare_runs(a: Path, b: Path, verdict: Mapping[str, Any]) -> Run:
    """A's latest evaluation against B's. ``verdict`` is one of ``verdicts.json``'s, made by who can judge.

    What is wrong with either directory stands in the notes, as on its own page.
    """
    first, second = read_run(a), read_run(b)
    sides = [_latest(run) for run in (first, second)]
    rows = {question.id: _row(question) for run in (first, second) for question in run.questions}
    answers = [_answers(run, side) for run, side in zip((first, second), sides, strict=True)]
    before, after = (
        None if side is None else replace(side, name=name) for side, name in zip(sides, WORDS, strict=True)
    )
    passed = verdict.get("passed")
    return Run(
        path=b,
        name=f"{first.path.name} → {second.path.name}",
        seed=None,
        key="",
        recipe_text=second.recipe_text,
        recipe={key: value for key, value in second.recipe.items() if key not in ("gate", "description", "train")},
        environment=second.environment,
        identity=second.identity,
        verdicts=(
            Verdict(
                gate="B against A",
                word=string(verdict.get("verdict")) or "NO VERDICT",
                passed=passed if isinstance(passed, bool) else None,
                sentence=redact(string(verdict.get("sentence"))),
                numbers=redact_tree(dict(verdict.get("numbers") or {})),
            ),
        ),
        before=before,
        after=after,
        training=None,
        questions=pair(list(rows.values()), answers[0], answers[1]),
        overrides=second.overrides,
        notes=tuple(f"{name}: {note}" for name, run in (("A", first), ("B", second)) for note in run.notes),
        versus=Versus(
            words=WORDS,
            names=(first.path.name, second.path.name),
            stages=tuple("" if side is None else side.name for side in sides),
            commits=tuple(_commit(run) for run in (first, second)),
            changes=differences(first.recipe, second.recipe),
            versions=versions_apart(first.environment.get("packages"), second.environment.get("packages")),
        ),
    )


def _latest(run: Run) -> Evaluation | None:
    """The evaluation that a comparison looks at: after training, or before it where there is no other."""
    sides = [side for side in (run.after, run.before) if side is not None]
    return next((side for side in sides if side.finished), sides[0] if sides else None)


def _answers(run: Run, side: Evaluation | None) -> dict[str, tuple[Answer, ...]]:
    if side is None:
        return {}
    every = {question.id: question.after if side.name == "after" else question.before for question in run.questions}
    return {question: answers for question, answers in every.items() if answers}


def _row(question: Question) -> dict[str, Any]:
    prompt = [{"role": turn.role, "content": turn.content} for turn in question.prompt]
    return {"id": question.id, "text": question.text, "ground_truth": question.ground_truth, "prompt": prompt}


def _commit(run: Run) -> str:
    git = run.environment.get("git")
    if not isinstance(git, dict) or not git.get("commit"):
        return ""
    return string(git["commit"])[:10] + (" with uncommitted changes" if git.get("dirty") is True else "")
