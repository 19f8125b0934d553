"""What one completion leaves behind, and how an evaluation of many is summed up.

A record is one JSON line of ``records.jsonl``:

    {"question_id": "gsm8k/test/17", "sample": 0, "seed": 0, "prompt": [{"role": "user", "content": "..."}],
     "completion": "... \\\\boxed{18}", "finish_reason": "stop", "prompt_tokens": 91, "completion_tokens": 58,
     "ground_truth": "18", "extracted": "18", "status": "correct", "reward": 1.0,
     "rewards": {"boxed_numeric": 1.0},
     "grades": {"boxed_exact": {"extracted": "18", "correct": true}, "boxed_numeric": {...}}}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from harness.store.question import Message
from harness.store.run_directory import read_lines


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How answers are sampled. Temperature 0 is greedy; ``top_k = 0`` and ``top_p = 1`` cut nothing.

    ``batch_size`` is how many answers are written at once: ``"auto"`` takes what memory holds and what is quickest.
    """

    max_new_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    samples_per_question: int = 1
    seed: int = 0
    batch_size: int | str = "auto"


Status = Literal["correct", "wrong", "no_answer", "unscored"]
FinishReason = Literal["stop", "length", "error"]


@dataclass(frozen=True, slots=True)
class Generation:
    """One sampled answer before anyone judged it. Token counts are of this answer alone, padding excluded.

    ``finish_reason`` is ``"stop"`` where the policy ended its answer itself and ``"length"`` where it was cut off at
    ``max_new_tokens``. ``completion`` begins with the ``<think>`` that the chat template opened in the prompt, if any.
    ``seed`` is the evaluation's seed; the stream of one answer comes from (seed, question, sample). ``error`` says why
    there is no answer where an engine could not have one (``finish_reason`` is then ``"error"``): it is unscored, and
    asked for again when the evaluation is asked for again.
    """

    question_id: str
    sample: int
    seed: int
    prompt: tuple[Message, ...]
    completion: str
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Generation):
    """A generation with its grades. ``rewards`` maps each of the recipe's functions to its value before weighting,
    ``None`` where it gave none; ``reward`` is the weighted total. ``grades`` holds the
    ``{"extracted": str | None, "correct": bool | None}`` of the strict and the flexible grader of the form that the
    recipe's rewards read (:func:`harness.rewards.score.strict_and_flexible`), and is empty where that is not known."""

    ground_truth: str
    extracted: str | None
    status: Status
    reward: float | None
    rewards: Mapping[str, float | None]
    grades: Mapping[str, Mapping[str, Any]]

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Record:
        """The record of one parsed line; raises ``TypeError`` for a line with missing or foreign keys."""
        return cls(**{**row, "prompt": tuple(row["prompt"])})

    def to_json(self) -> dict[str, Any]:
        """A dict that ``json.dumps`` takes. ``error`` is left out where there is none."""
        row = asdict(self)
        if self.error is None:
            del row["error"]
        return row


@dataclass(frozen=True, slots=True)
class Summary:
    """One evaluation in numbers, over the questions that were asked. Shares are of 1. ``interval`` is 95 %: where
    ``interval_kind`` is ``"fixed"``, Wilson for one sample a question and else a t interval over question means; where
    it is ``"anytime"``, a betting confidence sequence, since the number of questions may depend on the outcome.
    Unscored completions are counted, and belong to no accuracy; the strict and the flexible one are ``None`` where no
    answer has such a grade. ``unanswered`` is about those of them that no answer could be had for, and ``unfinished``
    about answers that were cut off before they began (:func:`harness.rewards.grading.summarise`). ``at_k`` is
    :func:`harness.rewards.at_k.at_k`."""

    questions: int
    samples_per_question: int
    accuracy: float
    interval: tuple[float, float]
    interval_kind: Literal["fixed", "anytime"]
    strict_accuracy: float | None
    flexible_accuracy: float | None
    counts: Mapping[Status, int]
    truncated: int
    mean_reward: float | None
    rewards: Mapping[str, float | None]
    prompt_tokens: int
    completion_tokens: int
    at_k: Mapping[str, Any] | None = None
    unanswered: Mapping[str, Any] | None = None
    unfinished: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """A dict that ``json.dumps`` takes. ``unanswered`` and ``unfinished`` are left out where there are none."""
        table = asdict(self)
        return {
            key: value for key, value in table.items() if value is not None or key not in ("unanswered", "unfinished")
        }


def iter_records(stage: Path) -> Iterator[Record]:
    """The records of a stage in the order they came, one at a time; a line of another shape is passed over, as a torn
    one is, and so is a sample that was met before."""
    seen: dict[int, set[str]] = {}  # questions by sample
    for row in read_lines(stage / "records.jsonl"):
        try:
            record = Record.from_json(row)
        except (KeyError, TypeError):
            continue
        questions = seen.setdefault(record.sample, set())
        if record.question_id not in questions:
            questions.add(record.question_id)
            yield record


def read_records(stage: Path) -> list[Record]:
    """All records of a stage in the order they came. Turns that many prompts share are held once."""
    turns: dict[tuple[tuple[str, str], ...], Message] = {}
    prompts: dict[tuple[int, ...], tuple[Message, ...]] = {}

    def shared(prompt: tuple[Message, ...]) -> tuple[Message, ...]:
        try:
            once = tuple(turns.setdefault(tuple(turn.items()), turn) for turn in prompt)
        except (AttributeError, TypeError):  # no chat turns
            return prompt
        return prompts.setdefault(tuple(map(id, once)), once)

    return [replace(record, prompt=shared(record.prompt)) for record in iter_records(stage)]


def correct_counts(records: Iterable[Record], order: Iterable[str]) -> dict[str, int]:
    """Correct completions by question id, in this order. A question with an unscored one is left out: undecided is not
    wrong. So are answers to questions that are not in ``order``."""
    counts = dict.fromkeys(order, 0)
    for record in records:
        if record.status == "unscored":
            counts.pop(record.question_id, None)
        elif record.question_id in counts:
            counts[record.question_id] += record.status == "correct"
    return counts


def question_means(records: Iterable[Record]) -> dict[str, float]:
    """Share of correct completions per question, over its scored ones; questions without any are left out."""
    scored: dict[str, list[bool]] = {}
    for record in records:
        if record.status != "unscored":
            scored.setdefault(record.question_id, []).append(record.status == "correct")
    return {question: sum(marks) / len(marks) for question, marks in scored.items()}
