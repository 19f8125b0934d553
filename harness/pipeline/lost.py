"""The questions that a run lost: against its baseline where it was held against one, else against its base model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.gate.baseline import BaselineError, read_baseline
from harness.store.records import Record, iter_records, question_means
from harness.store.run_files import HELD_AGAINST, QUESTIONS
from harness.tasks import Question


@dataclass(frozen=True, slots=True)
class Lost:
    """A question that is answered worse than it was, and the first of the answers that are not right now."""

    question: Question
    now: Record


def lost_questions(directory: Path) -> tuple[str, list[Lost]]:
    """What a run is held against, ``"baseline"`` or ``"base model"``, and the questions lost, those that fell most
    first.

    Raises:
        RecordError: a file of the run does not fit.
    """
    against, earlier = _earlier(directory)
    return against, lost_since(earlier, directory)


def lost_since(earlier: Mapping[str, float], directory: Path) -> list[Lost]:
    """The questions of a run whose share of right answers is below the ``earlier`` one, those that fell most first."""
    now = question_means(iter_records(directory / "after"))
    fallen = {each: earlier[each] - share for each, share in now.items() if earlier.get(each, 0.0) > share}
    if not fallen:
        return []
    answers = first_answers(directory / "after", fallen, right=False)
    found = [Lost(question, answers[question.id]) for question in QUESTIONS.read(directory) if question.id in fallen]
    return sorted(found, key=lambda each: -fallen[each.question.id])


def first_answers(stage: Path, questions: Collection[str], *, right: bool) -> dict[str, Record]:
    """The first answer to each of some questions that is, or is not, right."""
    found: dict[str, Record] = {}
    for record in iter_records(stage):
        if record.question_id in questions and (record.status == "correct") is right:
            found.setdefault(record.question_id, record)
    return found


def _earlier(directory: Path) -> tuple[str, dict[str, float]]:
    held = HELD_AGAINST.read(directory)
    if held is not None:
        try:
            baseline = read_baseline(Path(held.path), held.recipe)
        except (BaselineError, FileNotFoundError):
            return "baseline", {}
        return "baseline", {each: right / baseline.samples for each, right in baseline.correct.items()}
    return "base model", question_means(iter_records(directory / "before"))
