"""The answers of one stage directory, and the way to those that are missing: taken from elsewhere, or generated.

    with Answers(stage, questions, rewards, decoding, keys, kept_stages) as answers:
        answers.fill(questions, open_engine, progress)

``key.json`` says what every line of ``records.jsonl`` was made and graded with. It is written before the first line,
and takes back its word on the grades before they are given anew, so whatever is killed in between leaves nothing that
says more than it holds.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.pipeline.fingerprint import Keys
from harness.pipeline.kept_answers import Found, KeptAnswers, Taken, Wanted
from harness.rewards import RewardCalls
from harness.rewards.grading import GRADED_AT_ONCE, grade, grade_kept
from harness.store.faults import FILE as FAULTS
from harness.store.records import Record, iter_records
from harness.store.run_directory import LineWriter, read_json, write_json, write_lines
from harness.tasks import Question

if TYPE_CHECKING:
    from harness.models.engines import Engine
    from harness.store.records import SamplingParams

Progress = Callable[[int, int], None]


class Answers:
    """A stage directory while it is filled. All that is held of an answer is whether it is correct.

    Opening it sets aside what another policy answered there, grades again what other graders graded, and drops the
    records of answers that could not be had.

    Args:
        kept_stages: other stage directories, where answers with the same keys may lie.
    """

    def __init__(
        self,
        stage: Path,
        questions: Sequence[Question],
        rewards: Mapping[str, float],
        decoding: SamplingParams,
        keys: Keys,
        kept_stages: Iterable[Path] = (),
    ) -> None:
        self.stage, self.decoding, self.keys = stage, decoding, keys
        self._questions = {question.id: question for question in questions}
        known = _claimed(stage, keys)
        self.calls = self._grade_again(known, rewards) or RewardCalls(rewards, kept=read_json(stage / FAULTS))
        self.taken = Taken.of(known.get("kept"))
        self._write_key()
        self._marks: dict[int, dict[str, bool | None]] = {}  # by sample, then by question
        _forget_unanswered(stage)
        for record in iter_records(stage):
            self._mark(record)
        others = (other for other in kept_stages if other != stage)
        self._kept = KeptAnswers(others, keys, self._questions, decoding.seed, self.taken)
        self._searched = False
        self.generated = self.generated_tokens = 0
        # Of what was generated, if anything was: seconds, device, model, peak memory, and why it was slow.
        self.cost: dict[str, Any] = {}

    def __enter__(self) -> Answers:
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.close()

    def fill(
        self,
        asked: Sequence[Question],
        open_engine: Callable[[], Engine],
        progress: Progress = lambda done, total: None,
    ) -> None:
        """See to it that each of these questions, some of all, has every answer.

        Args:
            open_engine: called only if something has to be generated.
            progress: called with answers done and in all, after each batch.
        """
        missing = self._missing(asked)
        if missing and not self._searched:
            self._kept.find(self._missing(self._questions.values()))
            self._searched = True
        if missing and self._take(missing):
            missing = self._missing(asked)
        if missing:
            self._generate(asked, len(missing), open_engine, progress)

    def means(self) -> dict[str, float]:
        """Share correct by question id, of what is answered so far; questions without a scored answer are left out."""
        right: Counter[str] = Counter()
        scored: Counter[str] = Counter()
        for marks in self._marks.values():
            for question, mark in marks.items():
                if mark is not None:
                    right[question] += mark
                    scored[question] += 1
        return {question: right[question] / count for question, count in scored.items()}

    def _missing(self, asked: Iterable[Question]) -> list[Wanted]:
        samples = [(sample, self._marks.get(sample, {})) for sample in range(self.decoding.samples_per_question)]
        return [(each.id, sample) for each in asked for sample, marks in samples if each.id not in marks]

    def _mark(self, record: Record) -> None:
        mark = None if record.status == "unscored" else record.status == "correct"
        question = self._questions.get(record.question_id)  # whose id is held already
        self._marks.setdefault(record.sample, {})[question.id if question else record.question_id] = mark

    def _write_key(self) -> None:
        kept = {"kept": asdict(self.taken)} if self.taken.answers else {}
        write_json(
            self.stage / "key.json", {**{key: value for key, value in asdict(self.keys).items() if value}, **kept}
        )

    def _append(self, records: Iterable[Record], writer: LineWriter) -> None:
        for record in records:
            writer.append(record.to_json())
            self._mark(record)
        if self.calls.faults:
            write_json(self.stage / FAULTS, self.calls.faults.to_json())

    def _grade_again(self, known: Mapping[str, Any], rewards: Mapping[str, float]) -> RewardCalls | None:
        """Grade what is there by other graders, if they are others; returns what was called for it."""
        if not known or known.get("grading") == self.keys.grading or not any(iter_records(self.stage)):
            return None
        # Until this is done, nothing may take the records for those of the old grading.
        write_json(self.stage / "key.json", {**known, "grading": None, "grader": None})
        if summary := read_json(self.stage / "summary.json"):
            write_json(self.stage / "summary.json", {**summary, "grading_key": None})
        (self.stage / FAULTS).unlink(missing_ok=True)
        calls = RewardCalls(rewards)
        again = grade_kept(iter_records(self.stage), self._questions, calls)
        write_lines(self.stage / "records.jsonl", (record.to_json() for record in again))
        if calls.faults:
            write_json(self.stage / FAULTS, calls.faults.to_json())
        return calls

    def _take(self, missing: Iterable[Wanted]) -> int:
        """Copy those of the missing answers that lie elsewhere; returns how many."""
        before, found = self.taken.answers, self._kept.take(missing)
        first = next(found, None)
        if first is not None:
            with LineWriter(self.stage / "records.jsonl") as writer:
                self._append(self._graded(chain([first], found)), writer)
            self._write_key()
        return self.taken.answers - before

    def _graded(self, answers: Iterable[Found]) -> Iterator[Record]:
        """Answers with the grades of now; those that have others are graded in batches."""
        waiting: list[Record] = []
        for record, graded in answers:
            if graded:
                for name in record.rewards:  # of all answers, not of those that are graded here, some got no value
                    self.calls.faults.ask(name, 1)
                yield record
                continue
            waiting.append(record)
            if len(waiting) == GRADED_AT_ONCE:
                yield from grade(waiting, self._questions, self.calls.rewards, self.calls)
                waiting = []
        if waiting:
            yield from grade(waiting, self._questions, self.calls.rewards, self.calls)

    def _generate(
        self, asked: Sequence[Question], missing: int, open_engine: Callable[[], Engine], progress: Progress
    ) -> None:
        from harness.models.device import peak_memory

        engine, total = open_engine(), len(asked) * self.decoding.samples_per_question
        done, started = total - missing, time.monotonic()
        progress(done, total)
        there = {(question, sample) for sample, marks in self._marks.items() for question in marks}
        with LineWriter(self.stage / "records.jsonl") as writer:
            for batch in engine.answer(asked, self.decoding, skip=there):
                self._append(grade(batch, self._questions, self.calls.rewards, self.calls), writer)
                self.generated += len(batch)
                self.generated_tokens += sum(each.completion_tokens for each in batch)
                done += len(batch)
                progress(done, total)
        self.cost = {
            "seconds": self.cost.get("seconds", 0.0) + time.monotonic() - started,
            "device": engine.device,
            "model": engine.model,
            "peak_memory_bytes": getattr(engine, "peak_memory_bytes", None) or peak_memory(engine.device),
            "slow": getattr(engine, "slow", None),
        }


def _claimed(stage: Path, keys: Keys) -> dict[str, Any]:
    """``key.json`` of a stage that holds these answers; answers of another policy are set aside, not deleted."""
    known = read_json(stage / "key.json")
    if known and known.get("generation") == keys.generation:
        return known
    if stage.exists():
        stage.rename(stage.with_name(f".{stage.name}-{time.time_ns()}"))
    return {}


def _forget_unanswered(stage: Path) -> None:
    if any(record.error is not None for record in iter_records(stage)):
        kept = (record.to_json() for record in iter_records(stage) if record.error is None)
        write_lines(stage / "records.jsonl", kept)
