"""Ask, grade, record: all answers of one policy to one set of questions, kept as they come.

A stage directory (``before/``, ``after/``, ...) holds ``key.json`` (what decides the answers and what decides their
grades), ``records.jsonl`` and, when every question is answered, ``summary.json``. An answer depends on the model, the
sampling, the engine, the question's id and prompt and the sample's number alone, so what some other stage holds under
the same key is copied, question by question, and only the rest is generated. With a changed grader the answers are
graded again. Records pass by one at a time: no texts are held unless :attr:`Evaluation.records` is asked for.

Nothing is counted that is not as it was written. What was changed since then is graded anew where only grades were, and
else asked anew; ``summary.json`` says which records its numbers are of.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from harness.pipeline.fingerprint import Keys
from harness.pipeline.kept import Kept, believed, counted_among
from harness.rewards import RewardCalls
from harness.rewards.grading import GRADED_AT_ONCE, grade, grade_kept, summarise
from harness.store.errors import TaskError
from harness.store.faults import Faults
from harness.store.files import RecordError
from harness.store.html import html_table, shown
from harness.store.records import (
    FAULTS,
    KEY,
    RECORDS,
    SUMMARY,
    AtK,
    Key,
    Record,
    RecordDigest,
    Summary,
    iter_records,
    question_means,
    read_records,
)
from harness.store.redact import clean_data
from harness.store.run_directory import LineWriter, writing
from harness.store.words import counted, percent
from harness.tasks import Question

if TYPE_CHECKING:
    import pandas as pd

    from harness.models.engines.base import Engine
    from harness.store.records import SamplingParams

Progress = Callable[[int, int], None]
Wanted = tuple[str, int]
"""Question id and sample."""
_SHOWN = 5  # answers that a notebook's cell shows
# What a summary says beside its counts: what the answers took, and what else belongs to the stage.
_COST = ("seconds", "device", "model", "peak_memory_bytes", "slow")
_OF_STAGE = ("planned_questions", "generation_key", "session", *_COST, "reused", "reused_seconds")


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

    def __init__(
        self, directory: Path, order: Sequence[str], generated: int = 0, means: Mapping[str, float] | None = None
    ) -> None:
        self.directory = directory
        self.order = tuple(order)
        self.generated = generated
        self._means = means  # of records that were just looked at

    @cached_property
    def records(self) -> list[Record]:
        """All records, in the order of the questions and then of the samples."""
        place = {question: index for index, question in enumerate(self.order)}
        return sorted(read_records(self.directory), key=lambda record: (place[record.question_id], record.sample))

    @cached_property
    def summary(self) -> Summary:
        """``summary.json``."""
        summary = SUMMARY.read(self.directory)
        if summary is None:
            raise TaskError(f"{SUMMARY.path(self.directory)}: is gone; run the recipe again")
        return summary

    @property
    def accuracy(self) -> float:
        """Mean over questions of the share of correct answers."""
        return self.summary.accuracy

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of :attr:`accuracy`."""
        return self.summary.interval

    @property
    def at_k(self) -> AtK | None:
        """pass@k, majority@k and mean@k (:mod:`harness.rewards.at_k`); ``None`` for one answer a question."""
        return self.summary.at_k

    @cached_property
    def means(self) -> dict[str, float]:
        """Share correct by question id, of the questions that the summary is of; those without a scored answer are
        missing."""
        means = self._means or question_means(iter_records(self.directory))
        return {question: means[question] for question in self.order[: self.summary.questions] if question in means}

    def forget(self) -> None:
        """Let go of the records; they are read again when they are asked for."""
        self.__dict__.pop("records", None)

    def frame(self) -> pd.DataFrame:
        """One row a completion: the question's text in ``question``, columns as in a record, and ``reward:<function>``
        columns beside ``reward``."""
        import pandas as pd

        rows = []
        for record in self.records:
            known = asdict(record)
            row = {"question_id": known.pop("question_id"), "question": asked_text(record), **known}
            row |= {f"reward:{name}": value for name, value in row.pop("rewards").items()}
            row |= {name: grade["correct"] for name, grade in row.pop("grades").items()}
            rows.append(row)
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        low, high = self.interval
        of = counted(self.summary.questions, "question")
        return f"{percent(self.accuracy)} right [{100 * low:.1f}, {100 * high:.1f}] of {of}"

    def _repr_html_(self) -> str:
        counts = ((name.replace("_", " "), count) for name, count in self.summary.counts.items() if count)
        line = " · ".join([repr(self), *(f"{count:,} {name}" for name, count in counts)])
        rows = (
            (shown(asked_text(each)), shown(each.completion), shown(each.ground_truth), each.status.replace("_", " "))
            for each in self.records[:_SHOWN]
        )
        return Markup("<p>{}</p>{}").format(line, html_table(("question", "answer", "truth", ""), rows))


def asked_text(record: Record) -> str:
    """The text of the question that a record answers, without what stands before it in the prompt."""
    return record.prompt[-1]["content"] if record.prompt else ""


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
    say: Callable[[str], None] = lambda sentence: None,
) -> Evaluation:
    """Make ``stage`` a finished evaluation, doing only what is not there yet.

    Args:
        open_engine: called only if something has to be generated.
        others: stage directories of other runs, whose answers under the same key are copied.
        progress: called with answers done and in all, after each batch.
        early: asks the questions in their order, up to where the verdict is known; ``None`` asks all.
        session: answers that could not be had are asked for again, but not twice by one session.
        say: hears, in a sentence, of answers that are not as they were written.

    Raises:
        TaskError: no answer could be graded.
    """
    order = [question.id for question in questions]
    kept = Kept(stage, order)
    if _is_complete(kept, keys, early, session):
        return Evaluation(stage, order, means=kept.means)
    answers = _Answers(stage, questions, rewards, sampling, keys, others, kept, say)
    for asked in early.stops if early else [len(questions)]:
        answers.fill(questions[:asked], open_engine, progress)
        if early and early.decided(answers.means(), asked):
            break
    of = RecordDigest()
    summary = summarise(
        counted_among(stage, order[:asked], of),
        order[:asked],
        sampling.samples_per_question,
        in_looks=early is not None,
    )
    if summary.counts["unscored"] == sum(summary.counts.values()):
        raise TaskError(f"{stage}: no answer could be graded; look at the reward functions {', '.join(rewards)}")
    cost: dict[str, Any] = {key: getattr(answers.summary, key, None) for key in _COST}
    if answers.cost:
        cost |= {**answers.cost, "seconds": answers.cost["seconds"] + (cost["seconds"] or 0.0)}
    SUMMARY.write(
        stage,
        replace(
            summary,
            planned_questions=len(questions),
            generation_key=keys.generation,
            grading_key=keys.grading,
            records=str(of),
            session=session if summary.unanswered else None,
            **cost,
            reused=dict(answers.reused),
            reused_seconds=answers.reused_seconds,
        ),
    )
    return Evaluation(stage, order, answers.generated)


def rewrite(stage: Path, records: Sequence[Record], order: Sequence[str], faults: Faults) -> None:
    """Put other grades of the same answers in a finished stage, with their summary and what failed in giving them.

    The stage's grading key is taken away: whoever asks for this evaluation again grades by their own graders.
    """
    known = SUMMARY.read(stage)
    if kept := KEY.read(stage):
        KEY.write(stage, replace(kept, grading=None, grader=""))
    _reopen(stage, known)
    RECORDS.write(stage, records)
    if faults:
        FAULTS.write(stage, faults.file)
    else:
        FAULTS.path(stage).unlink(missing_ok=True)
    if known is not None:
        asked, of = order[: known.questions], RecordDigest()
        among = counted_among(stage, asked, of)
        summary = summarise(among, asked, known.samples_per_question, in_looks=known.interval_kind == "anytime")
        of_stage = {name: getattr(known, name) for name in _OF_STAGE}
        SUMMARY.write(stage, replace(summary, **of_stage, records=str(of)))


def _reopen(stage: Path, summary: Summary | None) -> None:
    """Take back what a summary says of records that are about to be others: a kill may come before its next one."""
    if summary is not None:
        SUMMARY.write(stage, replace(summary, grading_key=None, records=""))


def _while_readable(records: Iterator[Record]) -> Iterator[Record]:
    """Those of another run, whose own tests say what is wrong there."""
    with suppress(RecordError):
        yield from records


def _is_complete(kept: Kept, keys: Keys, early: EarlyStop | None, session: str | None) -> bool:
    summary = kept.summary
    if summary is None or (summary.generation_key, summary.grading_key) != (keys.generation, keys.grading):
        return False
    if (summary.unanswered and (session is None or summary.session != session)) or not kept.intact:
        return False
    everything = summary.questions == summary.planned_questions
    if early is None:
        return everything and summary.interval_kind == "fixed"
    return everything or early.decided(kept.means, summary.questions)


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
        kept: Kept,
        say: Callable[[str], None],
    ) -> None:
        self.stage, self.sampling, self.keys = stage, sampling, keys
        self._questions = {question.id: question for question in questions}
        known = self._claim(kept, say)
        self.summary = kept.summary if known else None
        _reopen(stage, self.summary)
        self.calls = self._grade_again(known, kept, rewards) or RewardCalls(rewards, kept=FAULTS.fit(stage))
        self.reused: Counter[str] = Counter(known.reused if known else {})
        self.reused_seconds = known.reused_seconds if known else 0.0
        self._write_key()
        alike = (other for other in others if self._same_answers(KEY.fit(other)))
        self._others = (other for other in alike if other != stage)
        self._found: list[Path] | None = None  # those of them, once they were looked for
        self._marks: dict[int, dict[str, bool | None]] = {}  # by sample, then by question
        if any(record.error is not None for record in believed(stage)):  # asked for again
            RECORDS.write(stage, (record for record in believed(stage) if record.error is None))
        for record in believed(stage):
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

    def _claim(self, kept: Kept, say: Callable[[str], None]) -> Key | None:
        """``key.json`` of a stage that holds these answers; answers of another policy are set aside, not deleted.

        So is a copy of records that are not as they were written.
        """
        known = KEY.fit(self.stage)
        if known is None and kept.summary is not None:
            known = Key(kept.summary.generation_key, kept.summary.grading_key)
        if known is None and (kept.records or kept.changed):
            say(f"{KEY.path(self.stage)}: does not say whose answers lie beside it; all are asked anew")
        same = known is not None and known.generation == self.keys.generation
        if same and (told := kept.told()):
            say(told)
        aside = self.stage.with_name(f".{self.stage.name}-{time.time_ns()}")
        if same and not (kept.foreign or kept.unreadable):
            if kept.changed or kept.spoilt:
                with writing(aside):
                    aside.mkdir()
                    shutil.copyfile(RECORDS.path(self.stage), RECORDS.path(aside))
            return known
        if self.stage.exists():
            self.stage.rename(aside)
        return None

    def _write_key(self) -> None:
        seconds = self.reused_seconds if self.reused else 0.0
        KEY.write(self.stage, Key(**asdict(self.keys), reused=dict(self.reused), reused_seconds=seconds))

    def _missing(self, asked: Iterable[Question]) -> list[Wanted]:
        samples = [(sample, self._marks.get(sample, {})) for sample in range(self.sampling.samples_per_question)]
        return [(each.id, sample) for each in asked for sample, marks in samples if each.id not in marks]

    def _mark(self, record: Record) -> None:
        mark = None if record.status == "unscored" else record.status == "correct"
        question = self._questions.get(record.question_id)  # whose id is held already
        self._marks.setdefault(record.sample, {})[question.id if question else record.question_id] = mark

    def _append(self, records: Iterable[Record], writer: LineWriter) -> None:
        for record in records:
            writer.append(record)
            self._mark(record)
        if self.calls.faults:
            FAULTS.write(self.stage, self.calls.faults.file)

    def _grade_again(self, known: Key | None, kept: Kept, rewards: Mapping[str, float]) -> RewardCalls | None:
        """Grade what is there by other graders, if they are others, and else what is not as it was graded; returns what
        was called for it."""
        if not known or not (kept.records or kept.changed or kept.spoilt):
            return None
        same = known.grading == self.keys.grading
        if same and not (kept.changed or kept.spoilt):
            return None
        # Until this is done, nothing may take the records for those of the old grading.
        KEY.write(self.stage, replace(known, grading=None, grader=""))
        calls = RewardCalls(rewards, kept=FAULTS.fit(self.stage) if same else None)
        if not same:
            FAULTS.path(self.stage).unlink(missing_ok=True)
        there = (record for record in believed(self.stage) if record.question_id in self._questions)
        stays, anew = (there, kept.changed.values()) if same else ((), chain(there, kept.changed.values()))
        RECORDS.write(self.stage, chain(stays, grade_kept(anew, self._questions, calls)))
        if calls.faults:
            FAULTS.write(self.stage, calls.faults.file)
        return calls

    def _take(self, missing: Iterable[Wanted]) -> None:
        """Copy those of the missing answers that lie elsewhere, with the grades of now."""
        with RECORDS.writer(self.stage) as writer:
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
            key, records = KEY.fit(stage), _while_readable(believed(stage))
            first = next(records, None)
            if first is None or not missing or not self._same_answers(key):
                continue
            # Read again with the file open: another process may be grading it anew.
            graded = self._same("grading", key) or self._same("grader", key)
            graded = graded and KEY.fit(stage) == key
            faulty, summary = FAULTS.path(stage).exists(), SUMMARY.fit(stage)
            took = 0.0 if summary is None else (summary.seconds or 0.0) + summary.reused_seconds
            seconds_a_token = took / max(1, summary.completion_tokens if summary else 0)
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

    def _same_answers(self, key: Key | None) -> bool:
        return self._same("generation", key) or self._same("answer", key)

    def _same(self, name: str, key: Key | None) -> bool:
        own = getattr(self.keys, name)
        return bool(own) and getattr(key, name, None) == own

    def _generate(
        self, asked: Sequence[Question], missing: int, open_engine: Callable[[], Engine], progress: Progress
    ) -> None:
        from harness.models.device import peak_memory

        engine, total = open_engine(), len(asked) * self.sampling.samples_per_question
        done, started = total - missing, time.monotonic()
        progress(done, total)
        there = {(question, sample) for sample, marks in self._marks.items() for question in marks}
        with RECORDS.writer(self.stage) as writer:
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
