"""Ask, grade, record: all answers of one policy to one set of questions, kept as they come.

A stage directory (``before/``, ``after/``, ...) holds ``key.json`` (what decides the answers and what decides their
grades), ``records.jsonl`` and, when every question is answered, ``summary.json``. An answer depends on the model, the
sampling, the engine, the question's id and prompt and the sample's number alone, so what some other stage holds under
the same key is copied, question by question, and only the rest is generated. With a changed grader the answers are
graded again. Records pass by one at a time: no texts are held unless :attr:`Evaluation.records` is asked for.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.pipeline.fingerprint import Keys
from harness.rewards import RewardCalls
from harness.rewards.at_k import at_k
from harness.rewards.grading import GRADED_AT_ONCE, grade, grade_kept, summarise
from harness.store.errors import TaskError
from harness.store.faults import FILE as FAULTS
from harness.store.faults import Faults
from harness.store.records import Record, iter_records, question_means, read_records
from harness.store.redact import clean_data
from harness.store.run_directory import LineWriter, count_lines, read_json, write_json, write_lines
from harness.tasks import Question

if TYPE_CHECKING:
    import pandas as pd

    from harness.models.engines.base import Engine
    from harness.store.records import SamplingParams

Progress = Callable[[int, int], None]
Wanted = tuple[str, int]
"""Question id and sample."""


@dataclass(frozen=True, slots=True)
class EarlyStop:
    """When asking may end before every question is asked: after one of ``stops`` questions, where ``decided(share
    correct by question id, questions asked so far)`` says that the verdict is known. All questions are the last stop.
    """

    stops: Sequence[int]
    decided: Callable[[Mapping[str, float], int], bool]


class Evaluation:
    """A finished evaluation, read from its stage directory when asked.

    ``generated`` of its answers were generated for the call that returned it.
    """

    def __init__(self, directory: Path, order: Sequence[str], generated: int = 0) -> None:
        self.directory = directory
        self.order = tuple(order)
        self.generated = generated

    @cached_property
    def records(self) -> list[Record]:
        """All records, in the order of the questions and then of the samples."""
        place = {question: index for index, question in enumerate(self.order)}
        return sorted(read_records(self.directory), key=lambda record: (place[record.question_id], record.sample))

    @cached_property
    def summary(self) -> Mapping[str, Any]:
        """``summary.json``: the fields of ``Summary``, the keys, seconds, peak memory, and
        under ``slow`` why ``model.generate`` had to answer, where it had to."""
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
        """pass@k, majority@k and mean@k (:mod:`harness.rewards.at_k`); ``None`` for one answer a question."""
        kept: Mapping[str, Any] | None = self.summary.get("at_k")
        in_looks = self.summary.get("interval_kind") == "anytime"
        samples = int(self.summary["samples_per_question"])
        return kept or at_k(iter_records(self.directory), samples, in_looks=in_looks, order=self.order)

    @cached_property
    def means(self) -> dict[str, float]:
        """Share correct by question id; questions without a scored answer are missing."""
        means = question_means(iter_records(self.directory))
        return {question: means[question] for question in self.order if question in means}

    def forget(self) -> None:
        """Let go of the records; they are read again when they are asked for."""
        self.__dict__.pop("records", None)

    def frame(self) -> pd.DataFrame:
        """One row a completion, columns as in a record, with ``reward:<function>`` columns beside ``reward``."""
        import pandas as pd

        rows = []
        for record in self.records:
            row = asdict(record)
            row |= {f"reward:{name}": value for name, value in row.pop("rewards").items()}
            row |= {name: grade["correct"] for name, grade in row.pop("grades").items()}
            rows.append(row)
        return pd.DataFrame(rows)


def evaluate(
    stage: Path,
    questions: Sequence[Question],
    rewards: Mapping[str, float],
    sampling: SamplingParams,
    keys: Keys,
    *,
    open_engine: Callable[[], Engine],
    others: Iterable[Path] = (),
    progress: Progress = lambda done, total: None,
    early: EarlyStop | None = None,
    session: str | None = None,
) -> Evaluation:
    """Make ``stage`` a finished evaluation, doing only what is not there yet.

    Args:
        open_engine: called only if something has to be generated.
        others: stage directories of other runs, whose answers under the same key are copied.
        progress: called with answers done and in all, after each batch.
        early: asks the questions in their order, up to where the verdict is known; ``None`` asks all.
        session: answers that could not be had are asked for again, but not twice by one session.

    Raises:
        TaskError: no answer could be graded.
    """
    order = [question.id for question in questions]
    if _is_complete(stage, keys, early, session):
        return Evaluation(stage, order)
    answers = _Answers(stage, questions, rewards, sampling, keys, others)
    for asked in early.stops if early else [len(questions)]:
        answers.fill(questions[:asked], open_engine, progress)
        if early and early.decided(answers.means(), asked):
            break
    counted = set(order[:asked])
    records = (record for record in iter_records(stage) if record.question_id in counted)
    summary = summarise(records, order[:asked], sampling.samples_per_question, in_looks=early is not None)
    if summary.counts["unscored"] == sum(summary.counts.values()):
        raise TaskError(f"{stage}: no answer could be graded; look at the reward functions {', '.join(rewards)}")
    known = read_json(stage / "summary.json") or {}
    cost = {key: known.get(key) for key in ("seconds", "device", "model", "peak_memory_bytes", "slow")}
    if answers.cost:
        cost |= {**answers.cost, "seconds": answers.cost["seconds"] + (cost["seconds"] or 0.0)}
    write_json(
        stage / "summary.json",
        {
            **summary.to_json(),
            "planned_questions": len(questions),
            "generation_key": keys.generation,
            "grading_key": keys.grading,
            **({"session": session} if summary.unanswered else {}),
            **cost,
            "reused": dict(answers.reused),
            "reused_seconds": answers.reused_seconds,
        },
    )
    return Evaluation(stage, order, answers.generated)


def rewrite(stage: Path, records: Sequence[Record], order: Sequence[str], faults: Faults) -> None:
    """Put other grades of the same answers in a finished stage, with their summary and what failed in giving them.

    The stage's grading key is taken away: whoever asks for this evaluation again grades by their own graders.
    """
    known = read_json(stage / "summary.json")
    if kept := read_json(stage / "key.json"):
        write_json(stage / "key.json", {**kept, "grading": None, "grader": None})
    write_lines(stage / "records.jsonl", (record.to_json() for record in records))
    if faults:
        write_json(stage / FAULTS, faults.to_json())
    else:
        (stage / FAULTS).unlink(missing_ok=True)
    if known is not None:
        asked = order[: known["questions"]]
        place = {question: index for index, question in enumerate(order)}
        ordered = sorted(records, key=lambda record: (place[record.question_id], record.sample))
        in_looks = known.get("interval_kind") == "anytime"
        summary = summarise(ordered, asked, known["samples_per_question"], in_looks=in_looks)
        write_json(stage / "summary.json", {**known, **summary.to_json(), "grading_key": None})


def _is_complete(stage: Path, keys: Keys, early: EarlyStop | None, session: str | None) -> bool:
    summary = read_json(stage / "summary.json") or {}
    if summary.get("generation_key") != keys.generation or summary.get("grading_key") != keys.grading:
        return False
    if summary.get("unanswered") and (session is None or summary.get("session") != session):
        return False
    if count_lines(stage / "records.jsonl") < sum(summary["counts"].values()):
        return False  # a copy of the directory that was not finished
    asked = int(summary["questions"])
    everything: bool = asked == summary.get("planned_questions")
    if early is None:
        return everything and bool(summary["interval_kind"] == "fixed")
    return everything or early.decided(question_means(iter_records(stage)), asked)


class _Answers:
    """A stage directory while it is filled. All that is held of an answer is whether it is correct.

    ``key.json`` is written before the first line, and takes back its word on the grades before they are given anew, so
    whatever is killed in between leaves nothing that says more than it holds. ``reused`` counts the answers that were
    found in other runs, by run, and ``reused_seconds`` is what they took there; ``cost`` is that of what was generated,
    if anything was.
    """

    def __init__(
        self,
        stage: Path,
        questions: Sequence[Question],
        rewards: Mapping[str, float],
        sampling: SamplingParams,
        keys: Keys,
        others: Iterable[Path],
    ) -> None:
        self.stage, self.sampling, self.keys = stage, sampling, keys
        self._questions = {question.id: question for question in questions}
        known = self._claim()
        self.calls = self._grade_again(known, rewards) or RewardCalls(rewards, kept=read_json(stage / FAULTS))
        self.reused: Counter[str] = Counter(known.get("reused"))
        self.reused_seconds = float(known.get("reused_seconds") or 0.0)
        self._write_key()
        alike = (other for other in others if self._same_answers(read_json(other / "key.json")))
        self._others = (other for other in alike if other != stage)
        self._found: list[Path] | None = None  # those of them, once they were looked for
        self._marks: dict[int, dict[str, bool | None]] = {}  # by sample, then by question
        if any(record.error is not None for record in iter_records(stage)):  # asked for again
            kept = (record.to_json() for record in iter_records(stage) if record.error is None)
            write_lines(stage / "records.jsonl", kept)
        for record in iter_records(stage):
            self._mark(record)
        self.generated = 0
        self.cost: dict[str, Any] = {}

    def fill(self, asked: Sequence[Question], open_engine: Callable[[], Engine], progress: Progress) -> None:
        """See to it that each of these questions, some of all, has every answer."""
        if missing := self._missing(asked):
            if self._found is None:
                self._found = list(self._others)
            if self._found:
                self._take(missing)
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

    def _claim(self) -> dict[str, Any]:
        """``key.json`` of a stage that holds these answers; answers of another policy are set aside, not deleted."""
        known = read_json(self.stage / "key.json")
        if known and known.get("generation") == self.keys.generation:
            return known
        if self.stage.exists():
            self.stage.rename(self.stage.with_name(f".{self.stage.name}-{time.time_ns()}"))
        return {}

    def _write_key(self) -> None:
        own = {key: value for key, value in asdict(self.keys).items() if value}
        reused = {"reused": dict(self.reused), "reused_seconds": self.reused_seconds} if self.reused else {}
        write_json(self.stage / "key.json", own | reused)

    def _missing(self, asked: Iterable[Question]) -> list[Wanted]:
        samples = [(sample, self._marks.get(sample, {})) for sample in range(self.sampling.samples_per_question)]
        return [(each.id, sample) for each in asked for sample, marks in samples if each.id not in marks]

    def _mark(self, record: Record) -> None:
        mark = None if record.status == "unscored" else record.status == "correct"
        question = self._questions.get(record.question_id)  # whose id is held already
        self._marks.setdefault(record.sample, {})[question.id if question else record.question_id] = mark

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

    def _take(self, missing: Iterable[Wanted]) -> None:
        """Copy those of the missing answers that lie elsewhere, with the grades of now."""
        with LineWriter(self.stage / "records.jsonl") as writer:
            waiting: list[Record] = []
            for record, graded in self._elsewhere(set(missing)):
                if graded:
                    for name in record.rewards:  # of all answers, not of those graded here, some got no value
                        self.calls.faults.ask(name, 1)
                    self._append([record], writer)
                else:
                    waiting.append(record)
                if len(waiting) == GRADED_AT_ONCE:
                    self._append(grade(waiting, self._questions, self.calls.rewards, self.calls), writer)
                    waiting = []
            self._append(grade(waiting, self._questions, self.calls.rewards, self.calls), writer)
        self._write_key()

    def _elsewhere(self, missing: set[Wanted]) -> Iterator[tuple[Record, bool]]:
        """Missing answers that other stages hold, and whether their grades are those that would be given now."""
        for stage in self._found or ():
            key, records = read_json(stage / "key.json") or {}, iter_records(stage)
            first = next(records, None)
            if first is None or not missing or not self._same_answers(key):
                continue
            # Read again with the file open: another process may be grading it anew.
            graded = self._same("grading", key) or self._same("grader", key)
            graded = graded and read_json(stage / "key.json") == key
            faulty, summary = (stage / FAULTS).exists(), read_json(stage / "summary.json") or {}
            took = (summary.get("seconds") or 0.0) + (summary.get("reused_seconds") or 0.0)
            seconds_a_token = took / max(1, summary.get("completion_tokens") or 0)
            for record in chain([first], records):
                wanted = record.question_id, record.sample
                if wanted not in missing or record.error is not None:
                    continue
                question = self._questions[record.question_id]
                if list(record.prompt) not in (list(question.prompt), clean_data(question.prompt)):  # as a file has it
                    continue
                missing.discard(wanted)
                self.reused[stage.parent.name] += 1
                self.reused_seconds += seconds_a_token * record.completion_tokens
                # What a failing grader left open is asked again: only the stage as a whole knows what failed.
                scored = record.status != "unscored" and None not in (record.reward, *record.rewards.values())
                known = graded and (scored or not faulty) and record.ground_truth == question.ground_truth
                yield replace(record, seed=self.sampling.seed), known

    def _same_answers(self, key: Mapping[str, Any] | None) -> bool:
        return key is not None and (self._same("generation", key) or self._same("answer", key))

    def _same(self, name: str, key: Mapping[str, Any]) -> bool:
        own = getattr(self.keys, name)
        return bool(own) and key.get(name) == own

    def _generate(
        self, asked: Sequence[Question], missing: int, open_engine: Callable[[], Engine], progress: Progress
    ) -> None:
        from harness.models.device import peak_memory

        engine, total = open_engine(), len(asked) * self.sampling.samples_per_question
        done, started = total - missing, time.monotonic()
        progress(done, total)
        there = {(question, sample) for sample, marks in self._marks.items() for question in marks}
        with LineWriter(self.stage / "records.jsonl") as writer:
            for batch in engine.answer(asked, self.sampling, skip=there):
                self._append(grade(batch, self._questions, self.calls.rewards, self.calls), writer)
                self.generated += len(batch)
                done += len(batch)
                progress(done, total)
        self.cost = {
            "seconds": self.cost.get("seconds", 0.0) + time.monotonic() - started,
            "device": engine.device,
            "model": engine.model,
            "peak_memory_bytes": getattr(engine, "peak_memory_bytes", None) or peak_memory(engine.device),
            "slow": getattr(engine, "slow", None),
        }
