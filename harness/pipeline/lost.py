"""The questions that a run lost: against its baseline where it was held against one, else against its base model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.gate.baseline import BaselineError, read_baseline
from harness.store.records import iter_records, question_means
from harness.store.run_files import HELD_AGAINST, QUESTIONS

FELL = 0.5  # a question is lost where the share of right answers fell by so much


@dataclass(frozen=True)
class Lost:
    """A question that is answered worse than before, and one of the wrong answers that the trained policy gives now."""

    question: str
    truth: str
    answer: str


def lost_questions(directory: Path) -> tuple[str, list[Lost]]:
    """What a run is held against, ``"baseline"`` or ``"base model"``, and the questions lost, in their order.

    Raises:
        RecordError: a file of the run does not fit.
    """
    against, earlier = _earlier(directory)
    now = question_means(iter_records(directory / "after"))
    fallen = {each for each, share in earlier.items() if each in now and share - now[each] >= FELL}
    if not fallen:
        return against, []
    wrong = {each.question_id: each for each in iter_records(directory / "after") if each.status != "correct"}
    return against, [
        Lost(question.text, question.ground_truth, wrong[question.id].extracted or wrong[question.id].completion)
        for question in QUESTIONS.read(directory)
        if question.id in fallen
    ]


def _earlier(directory: Path) -> tuple[str, dict[str, float]]:
    held = HELD_AGAINST.read(directory)
    if held is not None:
        try:
            baseline = read_baseline(Path(held.path), held.recipe)
        except (BaselineError, FileNotFoundError):
            return "baseline", {}
        return "baseline", {each: right / baseline.samples for each, right in baseline.correct.items()}
    return "base model", question_means(iter_records(directory / "before"))
