"""What one completion leaves behind, and how an evaluation of many is summed up: the files of a stage that asks.

A record is one JSON line of ``records.jsonl``:

    {"question_id": "gsm8k/test/17", "sample": 0, "seed": 0, "prompt": [{"role": "user", "content": "..."}],
     "completion": "... \\\\boxed{18}", "finish_reason": "stop", "prompt_tokens": 91, "completion_tokens": 58,
     "ground_truth": "18", "extracted": "18", "status": "correct", "reward": 1.0,
     "rewards": {"boxed_numeric": 1.0},
     "grades": {"boxed_exact": {"extracted": "18", "correct": true}, "boxed_numeric": {...}},
     "digest": "c1fd9a1bd4a0e1f2ab53e0c1d77a9b60"}

The digest (:mod:`harness.store.files`) tells an answer that was changed from grades that were.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from annotated_types import Ge, Le, Lt
from typing_extensions import TypedDict

from harness.store.files import JsonFile, JsonLines, RecordError, Stored
from harness.store.question import Message
from harness.store.words import counted

Count = Annotated[int, Ge(0), Lt(2**63)]
Share = Annotated[float, Ge(0), Le(1)]
Interval = tuple[float, float]


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
class Generation(Stored):
    """One sampled answer before anyone judged it. Token counts are of this answer alone, padding excluded.

    ``finish_reason`` is ``"stop"`` where the policy ended its answer itself and ``"length"`` where it was cut off at
    ``max_new_tokens``. ``completion`` begins with the ``<think>`` that the chat template opened in the prompt, if any.
    ``seed`` is the evaluation's seed; the stream of one answer comes from (seed, question, sample). ``error`` says why
    there is no answer where an engine could not have one (``finish_reason`` is then ``"error"``): it is unscored, and
    asked for again when the evaluation is asked for again.
    """

    question_id: str
    sample: Count
    seed: int
    prompt: tuple[Message, ...]
    completion: str
    finish_reason: FinishReason
    prompt_tokens: Count
    completion_tokens: Count
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Grade(Stored):
    """What one grader made of a completion. ``correct`` is ``None`` where it could not say."""

    extracted: str | None
    correct: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Generation):
    """A generation with its grades. ``rewards`` maps each of the recipe's functions to its value before weighting,
    ``None`` where it gave none; ``reward`` is the weighted total. ``grades`` are those of the strict and the flexible
    grader of the form that the recipe's rewards read (:func:`harness.rewards.score.strict_and_flexible`), and is empty
    where that is not known."""

    ground_truth: str
    extracted: str | None
    status: Status
    reward: float | None
    rewards: dict[str, float | None]
    grades: dict[str, Grade]


@dataclass(frozen=True, slots=True)
class Doubt(Stored):
    """Answers that could not be had, by ``reasons``, or that were cut off before they began."""

    answers: Count
    of: Count
    sentence: str
    reasons: dict[str, Count] = field(default_factory=dict)


class AtKEntry(TypedDict):
    """A metric at one k, with its 95 % interval."""

    value: float | None
    interval: Interval
    questions: Count


AtK = TypedDict(
    "AtK",
    {
        "samples": Count,
        "pass": dict[str, AtKEntry],
        "majority": dict[str, AtKEntry],
        "mean": dict[str, AtKEntry],
    },
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary(Stored):
    """One evaluation in numbers, over the questions that were asked; ``summary.json`` of its stage. Shares are of 1.
    ``interval`` is 95 %: where ``interval_kind`` is ``"fixed"``, Wilson for one sample a question and else a t interval
    over question means; where it is ``"anytime"``, a betting confidence sequence, since the number of questions may
    depend on the outcome. Unscored completions are counted, and belong to no accuracy; the strict and the flexible one
    are ``None`` where no answer has such a grade. ``unanswered`` is about those of them that no answer could be had
    for, and ``unfinished`` about answers that were cut off before they began. ``at_k`` is
    :func:`harness.rewards.at_k.at_k`.

    The stage adds the keys that its answers and grades lie under (``None`` where the grades are to be given anew), the
    digest of the ``records`` that the numbers are of (empty while more are being written), who asked, what that took
    (``slow`` says why ``model.generate`` had to answer, where it had to), and how many answers were found in other
    runs, by run, with what they took there.
    """

    questions: Count
    samples_per_question: Count
    accuracy: Share
    interval: Interval
    interval_kind: Literal["fixed", "anytime"] = "fixed"
    strict_accuracy: float | None
    flexible_accuracy: float | None
    counts: dict[Status, Count]
    truncated: Count
    mean_reward: float | None
    rewards: dict[str, float | None]
    prompt_tokens: Count
    completion_tokens: Count
    at_k: AtK | None = None
    unanswered: Doubt | None = None
    unfinished: Doubt | None = None
    planned_questions: Count = 0
    generation_key: str = ""
    grading_key: str | None = None
    records: str = ""
    session: str | None = None
    seconds: float | None = None
    device: str | None = None
    model: str | None = None
    peak_memory_bytes: Count | None = None
    slow: str | None = None
    reused: dict[str, Count] = field(default_factory=dict)
    reused_seconds: float = 0.0

    @property
    def doubts(self) -> list[str]:
        """What speaks against the answers: some could not be had, or were cut off before they began."""
        return [doubt.sentence for doubt in (self.unanswered, self.unfinished) if doubt is not None]


@dataclass(frozen=True, slots=True)
class Key(Stored):
    """``key.json``: what a stage's answers and grades lie under (:class:`harness.pipeline.fingerprint.Keys`), and what
    was found in other runs. Without ``grading`` the grades are being given anew."""

    generation: str
    grading: str | None = None
    answer: str = ""
    grader: str = ""
    reused: dict[str, Count] = field(default_factory=dict)
    reused_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class FaultReason(Stored):
    """Completions that a function gave no value for, for one reason; ``question_id`` is that of the first."""

    reason: str
    completions: Count
    question_id: str | None = None


@dataclass(frozen=True, slots=True)
class FunctionFaults(Stored):
    """What went wrong in one reward function; ``retried`` counts batches that were asked again one by one."""

    completions: Count
    unscored: Count
    sentence: str
    reasons: tuple[FaultReason, ...]
    retried: Count = 0
    retried_for: str = ""


@dataclass(frozen=True, slots=True)
class RewardFaults(Stored):
    """``rewards.json``: the functions that failed; see :mod:`harness.store.faults`."""

    functions: dict[str, FunctionFaults]


# Of a stage that asks.
KEY = JsonFile[Key]("key.json", Key, derived=True, remade=True)
RECORDS = JsonLines[Record]("records.jsonl", Record, remade=True, sealed="ground_truth")
SUMMARY = JsonFile[Summary]("summary.json", Summary, derived=True, remade=True, sealed=True)
FAULTS = JsonFile[RewardFaults]("rewards.json", RewardFaults)
_ANSWERS = JsonLines[Generation](RECORDS.name, Generation)


def iter_records(stage: Path, *, hide: bool = False) -> Iterator[Record]:
    """The records of a stage in the order they came, one at a time; a sample that was met before is passed over."""
    seen: dict[int, set[str]] = {}  # questions by sample
    for record in RECORDS.read(stage, hide=hide):
        questions = seen.setdefault(record.sample, set())
        if record.question_id not in questions:
            questions.add(record.question_id)
            yield record


class Checked(NamedTuple):
    """A line of ``records.jsonl``: the record where all of it is as it was written, the answer where its grades are
    not, and ``None`` where nothing of it can be believed."""

    line: int
    digest: str
    found: Record | Generation | None


def checked_lines(stage: Path) -> Iterator[Checked]:
    """Every line of a stage, whatever stands there."""
    for number, _, line in RECORDS.lines(stage):
        _, digest, answer, whole = RECORDS.unsealed(line)
        found: Record | Generation | None = None
        with suppress(RecordError):
            if whole is not None:
                found = RECORDS.parse(stage, number, whole)
            elif answer is not None:
                found = _ANSWERS.parse(stage, number, answer)
        yield Checked(number, digest, found)


class RecordDigest:
    """Of records in whatever order, by the digests of their lines."""

    def __init__(self) -> None:
        self._sum = 0

    def add(self, line: str) -> None:
        self._sum += int(line, 16)

    def __str__(self) -> str:
        return f"{self._sum % 2**128:032x}"


def summed_records(stage: Path, summary: Summary) -> Iterator[Record]:
    """The records of a finished stage, one at a time, for who judges by them and makes none anew.

    Raises:
        RecordError: a line is not as it was written; at the end, where fewer or others are there than the summary says.
    """
    of, there = RecordDigest(), set[tuple[str, int]]()
    for number, _, line in RECORDS.lines(stage):
        record, found = RECORDS.parse(stage, number, line), RECORDS.unsealed(line)
        if summary.records and found.whole is None:
            raise RECORDS.changed(stage, number)
        if (answer := (record.question_id, record.sample)) not in there:
            there.add(answer)
            of.add(found.digest or "0")
            yield record
    if len(there) < (planned := summary.questions * summary.samples_per_question):
        raise answers_missing(stage, len(there), planned)
    if summary.records and summary.records != str(of):
        found_others = f"{RECORDS.path(stage)}: holds other answers than {SUMMARY.name} is of"
        raise RecordError(found_others, "run again with the same command, which asks for them anew")


def is_torn(stage: Path) -> bool:
    """Whether a stage's answers end in the middle of a line, or are not there."""
    try:
        with RECORDS.path(stage).open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - 1))
            return file.read() not in (b"\n", b"")
    except OSError:
        return True


def answers_missing(stage: Path, there: int, planned: int) -> RecordError:
    """What there is to say where fewer answers are there than a stage's summary counts."""
    return RecordError(
        f"{RECORDS.path(stage)}: {there} of {counted(planned, 'answer')} are there",
        "run again with the same command, which asks for the others",
    )


def read_records(stage: Path, *, hide: bool = False) -> list[Record]:
    """All records of a stage in the order they came. What many of them share (turns of prompts, ground truths, rewards,
    grades) is held once, and nobody may change it."""
    met: dict[Hashable, Any] = {}

    def once(value: Any, key: Hashable = None) -> Any:
        return met.setdefault(repr(value) if key is None else key, value)

    def shared(record: Record) -> Record:
        turns = tuple(once(turn, (turn["role"], turn["content"])) for turn in record.prompt)
        return replace(
            record,
            prompt=once(turns, tuple(map(id, turns))),
            ground_truth=once(record.ground_truth, record.ground_truth),
            rewards=once(record.rewards),
            grades=once(record.grades),
        )

    return [shared(record) for record in iter_records(stage, hide=hide)]


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
