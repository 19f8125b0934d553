"""Ask, grade, record: all answers of one policy to one set of questions, kept as they come.

A stage directory (``before/`` or ``after/``) holds ``key.json`` (what decides the answers and what decides their
grades), ``records.jsonl`` and, when every question is answered, ``summary.json``. Answers and grades have separate
keys: with a changed grader the kept answers are graded again and nothing is generated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import TaskError
from harness.gate.sequential import look_size
from harness.grading import grade, grade_kept, summarise
from harness.metrics import at_k
from harness.records import Record, question_means, read_records
from harness.rewards import RewardCalls
from harness.rewards.faults import FILE as FAULTS
from harness.runs import LineWriter, read_json, read_lines, write_json, write_lines
from harness.tasks import Question

if TYPE_CHECKING:
    import pandas as pd

    from harness.policy.engines import Engine
    from harness.recipe import EvaluateSection


Decided = Callable[[Mapping[str, float], int], bool]


@dataclass(frozen=True, slots=True)
class Keys:
    """Content hashes: ``generation`` of all that decides the answers, ``grading`` of all that decides their grades."""

    generation: str
    grading: str


class Evaluation:
    """A finished evaluation, read from its stage directory when asked."""

    def __init__(self, directory: Path, order: Sequence[str]) -> None:
        self.directory = directory
        self.order = tuple(order)

    @cached_property
    def records(self) -> list[Record]:
        """All records, in the order of the questions and then of the samples."""
        place = {question: index for index, question in enumerate(self.order)}
        return sorted(read_records(self.directory), key=lambda record: (place[record.question_id], record.sample))

    @cached_property
    def summary(self) -> Mapping[str, Any]:
        """``summary.json``: the fields of :class:`~harness.records.Summary`, the keys, seconds and peak memory."""
        return read_json(self.directory / "summary.json") or {}

    @property
    def accuracy(self) -> float:
        """Mean over questions of the share of correct answers."""
        return float(self.summary["accuracy"])

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of :attr:`accuracy`."""
        low, high = self.summary["interval"]
        return float(low), float(high)

    @cached_property
    def at_k(self) -> Mapping[str, Any] | None:
        """pass@k, majority@k and mean@k (:mod:`harness.metrics`); ``None`` for one answer a question."""
        kept: Mapping[str, Any] | None = self.summary.get("at_k")
        in_looks = self.summary.get("interval_kind") == "anytime"
        return kept or at_k(self.records, int(self.summary["samples_per_question"]), in_looks=in_looks)

    @cached_property
    def means(self) -> dict[str, float]:
        """Share correct by question id; questions without a scored answer are missing."""
        return question_means(self.records)

    def frame(self) -> pd.DataFrame:
        """One row a completion, columns as in a record, with ``reward:<function>`` columns beside ``reward``."""
        import pandas as pd

        rows = []
        for record in self.records:
            row = record.to_json()
            row |= {f"reward:{name}": value for name, value in row.pop("rewards").items()}
            row |= {name: grade["correct"] for name, grade in row.pop("grades").items()}
            rows.append(row)
        return pd.DataFrame(rows)


def evaluate(
    stage: Path,
    questions: Sequence[Question],
    rewards: Mapping[str, float],
    decoding: EvaluateSection,
    keys: Keys,
    *,
    open_engine: Callable[[], Engine],
    kept_stages: Iterable[Path] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
    decided: Decided | None = None,
) -> Evaluation:
    """Make ``stage`` a finished evaluation, doing only what is not there yet.

    Args:
        open_engine: called only if something has to be generated.
        kept_stages: stage directories of other runs; answers with the same generation key are copied from them.
        progress: called with completions done and in all, after each batch.
        decided: asks the questions in their order, a look at a time, and stops where ``decided(share correct by
            question id, questions asked so far)`` says that the verdict is known. ``None`` asks all.
    """
    order = [question.id for question in questions]
    evaluation = Evaluation(stage, order)
    if _is_complete(stage, keys, decided):
        return evaluation
    source = _adopt(stage, keys, kept_stages)
    by_id = {question.id: question for question in questions}
    calls = _grade_again(stage, keys, by_id, rewards) or RewardCalls(rewards, kept=read_json(stage / FAULTS))
    records = read_records(stage)
    done = {(record.question_id, record.sample) for record in records}
    write_json(stage / "key.json", asdict(keys))
    known = read_json(stage / "summary.json") or {}
    measured = {key: known.get(key) for key in ("seconds", "device", "model", "peak_memory_bytes")}
    measured["source"] = known.get("source") if source is None else source
    asked = 0
    while asked < len(questions):
        asked = len(questions) if decided is None else min(asked + look_size(len(questions)), len(questions))
        if len(done) < asked * decoding.samples_per_question:
            cost = _generate(stage, questions[:asked], calls, decoding, done, open_engine, progress)
            measured |= {**cost, "seconds": cost["seconds"] + (measured["seconds"] or 0.0)}
            records = read_records(stage)
            done = {(record.question_id, record.sample) for record in records}
        if decided is not None and decided(question_means(records), asked):
            break
    counted = set(order[:asked])
    records = [record for record in evaluation.records if record.question_id in counted]
    if all(record.status == "unscored" for record in records):
        raise TaskError(f"{stage}: no answer could be graded; look at the reward functions {', '.join(rewards)}")
    summary = summarise(records, order[:asked], decoding.samples_per_question, in_looks=decided is not None)
    write_json(
        stage / "summary.json",
        {
            **asdict(summary),
            "planned_questions": len(questions),
            "generation_key": keys.generation,
            "grading_key": keys.grading,
            **measured,
        },
    )
    return evaluation


def rewrite(stage: Path, records: Sequence[Record], order: Sequence[str]) -> None:
    """Put other grades of the same answers in a finished stage, with their summary.

    The stage's grading key is taken away: whoever asks for this evaluation again grades by their own graders.
    """
    known = read_json(stage / "summary.json")
    if kept := read_json(stage / "key.json"):
        write_json(stage / "key.json", {**kept, "grading": None})
    write_lines(stage / "records.jsonl", (record.to_json() for record in records))
    if known is not None:
        asked = order[: known["questions"]]
        place = {question: index for index, question in enumerate(order)}
        ordered = sorted(records, key=lambda record: (place[record.question_id], record.sample))
        in_looks = known.get("interval_kind") == "anytime"
        summary = summarise(ordered, asked, known["samples_per_question"], in_looks=in_looks)
        write_json(stage / "summary.json", {**known, **asdict(summary), "grading_key": None})


def _is_complete(stage: Path, keys: Keys, decided: Decided | None) -> bool:
    summary = read_json(stage / "summary.json") or {}
    if summary.get("generation_key") != keys.generation or summary.get("grading_key") != keys.grading:
        return False
    asked = int(summary["questions"])
    everything: bool = asked == summary.get("planned_questions")
    if decided is None:
        return everything and bool(summary["interval_kind"] == "fixed")
    return everything or decided(question_means(read_records(stage)), asked)


def _adopt(stage: Path, keys: Keys, kept_stages: Iterable[Path]) -> str | None:
    """Start from kept answers: this stage's own, or a copy of another run's. Returns the run copied from."""
    kept = read_json(stage / "key.json")
    if kept and kept.get("generation") == keys.generation:
        return None
    if stage.exists():
        stage.rename(stage.with_name(f".{stage.name}-{time.time_ns()}"))  # answers of another policy: kept aside
    for other in kept_stages:
        summary = read_json(other / "summary.json") or {}
        if other != stage and summary.get("generation_key") == keys.generation:
            write_lines(stage / "records.jsonl", read_lines(other / "records.jsonl"))
            if faults := read_json(other / FAULTS):
                write_json(stage / FAULTS, faults)
            write_json(stage / "key.json", {"generation": keys.generation, "grading": summary.get("grading_key")})
            return other.parent.name
    return None


def _grade_again(
    stage: Path, keys: Keys, questions: Mapping[str, Question], rewards: Mapping[str, float]
) -> RewardCalls | None:
    """Grade kept answers by other graders, if they are others; returns what was called for it."""
    kept = read_json(stage / "key.json")
    if not kept or kept.get("grading") == keys.grading or not (records := read_records(stage)):
        return None
    # Until the stage is finished again, nothing may take its records for those of the old grading.
    write_json(stage / "key.json", {**kept, "grading": None})
    if summary := read_json(stage / "summary.json"):
        write_json(stage / "summary.json", {**summary, "grading_key": None})
    (stage / FAULTS).unlink(missing_ok=True)
    calls = RewardCalls(rewards)
    again = grade_kept(records, questions, calls)
    _keep_faults(stage, calls)
    write_lines(stage / "records.jsonl", (record.to_json() for record in again))
    return calls


def _keep_faults(stage: Path, calls: RewardCalls) -> None:
    if calls.faults:
        write_json(stage / FAULTS, calls.faults.to_json())


def _generate(
    stage: Path,
    questions: Sequence[Question],
    calls: RewardCalls,
    decoding: EvaluateSection,
    done: set[tuple[str, int]],
    open_engine: Callable[[], Engine],
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    from harness.policy.device import peak_memory

    by_id = {question.id: question for question in questions}
    engine = open_engine()
    total, kept = len(questions) * decoding.samples_per_question, len(done)
    started = time.monotonic()
    progress(kept, total)
    with LineWriter(stage / "records.jsonl") as writer:
        for batch in engine.answer(questions, decoding, skip=done):
            for record in grade(batch, by_id, calls.rewards, calls):
                writer.append(record.to_json())
            _keep_faults(stage, calls)
            kept += len(batch)
            progress(kept, total)
    return {
        "seconds": time.monotonic() - started,
        "device": engine.device,
        "model": engine.model,
        "peak_memory_bytes": peak_memory(engine.device),
    }
