"""The questions that a run lost: against its baseline where it was held against one, else against its base model."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.gate.baseline import Baseline
from harness.store.records import Record, iter_records, question_means
from harness.store.redact import safe_line
from harness.store.run_files import HELD_AGAINST, QUESTIONS
from harness.store.words import counted
from harness.tasks import Question

QUESTION_CHARACTERS, ANSWER_CHARACTERS = 200, 160  # that a failure shows of a lost question


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
        return "baseline", held.shares
    return "base model", question_means(iter_records(directory / "before"))


def lost_told(directory: Path, earlier: Mapping[str, float] | Baseline, asked: int, most: int = 3) -> list[str]:
    """The questions lost, in lines, against the base model's shares of right answers or against a baseline; ``most`` of
    them with their answers."""
    baseline = earlier if isinstance(earlier, Baseline) else None
    was = earlier.shares if isinstance(earlier, Baseline) else earlier
    lost = lost_since(was, directory)
    shown = [each.question.id for each in lost[:most]]
    right: Mapping[str, Record | str]
    if baseline is None:
        right = first_answers(directory / "before", shown, right=True)
    else:
        of = f"{counted(baseline.samples, 'answer')} of the baseline"
        right = {each: f"right in {baseline.correct[each]} of {of}" for each in shown}
    told = [(each.question, right[each.question.id], each.now) for each in lost[:most]]
    return lost_lines(len(lost), asked, told)


def lost_lines(lost: int, asked: int, shown: Sequence[tuple[Question, Record | str, Record]]) -> list[str]:
    """Under a failing verdict: some of the questions that were lost, each with its truth, what was answered ``before``
    (or what is known of it, in words) and what is answered now."""
    if not lost:
        return []
    some = f"; {len(shown)} of them" if lost > len(shown) else ""
    lines = [f"{lost:,} of {counted(asked, 'question')} lost{some}:"]
    for question, before, now in shown:
        lines += [
            f"  {safe_line(question.id)}: {safe_line(question.text, QUESTION_CHARACTERS)}",
            f"    truth   {safe_line(question.ground_truth, ANSWER_CHARACTERS)}",
            f"    before  {before if isinstance(before, str) else answer_end(before)}",
            f"    now     {answer_end(now)}",
        ]
    return lines


def answer_end(record: Record) -> str:
    """The end of an answer, which is where its result stands, and how it ended."""
    line = safe_line(record.completion.strip())
    if len(line) > ANSWER_CHARACTERS:
        line = f"...{line[3 - ANSWER_CHARACTERS :]}"
    found = {"cut off": record.finish_reason == "length", "no answer found": record.status == "no_answer"}
    notes = ", ".join(note for note, so in found.items() if so)
    return f"{line or '(empty)'}{f' ({notes})' if notes else ''}"
