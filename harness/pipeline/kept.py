"""What a stage directory holds when it is asked for, and how much of it is as it was written."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from harness.store.files import RecordError
from harness.store.records import (
    RECORDS,
    SUMMARY,
    Generation,
    Record,
    RecordDigest,
    Summary,
    checked_lines,
    question_means,
)
from harness.store.words import counted

Answer = tuple[str, int]
"""Question id and sample."""


def believed(stage: Path, of: RecordDigest | None = None) -> Iterator[Record]:
    """The records of a stage that are as they were written, one a sample; ``of`` takes the digests of their lines."""
    seen: dict[int, set[str]] = {}  # questions by sample
    for _, line, record in checked_lines(stage):
        if not isinstance(record, Record):
            continue
        questions = seen.setdefault(record.sample, set())
        if record.question_id not in questions:
            questions.add(record.question_id)
            if of is not None:
                of.add(line)
            yield record


def counted_among(stage: Path, asked: Collection[str], of: RecordDigest) -> Iterator[Record]:
    """Those of them that answer the questions of a summary."""
    among = set(asked)
    return (record for record in believed(stage, of) if record.question_id in among)


class Kept:
    """What a stage holds when it is asked for, each record by its own word as it was written or not.

    ``changed`` are answers whose grades alone are not, ``spoilt`` counts lines that say nothing that can be believed,
    and ``missing`` the answers that the summary counts and no line holds. ``unfit`` is said of ``summary.json``, and
    ``unreadable`` of the records' file.
    """

    def __init__(self, stage: Path, order: Sequence[str]) -> None:
        self.stage = stage
        self.summary: Summary | None = None
        self.unfit = self.unreadable = ""
        try:
            self.summary = SUMMARY.read(stage)
        except RecordError as error:
            self.unfit = error.found
        self.changed: dict[Answer, Generation] = {}
        self.means: dict[str, float] = {}
        self.spoilt = self._line = 0
        self._order, self._there, self._digest = order, set[Answer](), RecordDigest()
        try:
            self.means = question_means(self._whole())
        except RecordError as error:
            self.unreadable = error.found

    def _whole(self) -> Iterator[Record]:
        known = {question: question for question in self._order}
        for number, line, found in checked_lines(self.stage):
            if found is None or found.question_id not in known:
                self.spoilt += 1
            elif (wanted := (known[found.question_id], found.sample)) in self._there:
                continue
            elif isinstance(found, Record):
                self._there.add(wanted)
                self._digest.add(line)
                self.changed.pop(wanted, None)
                yield found
                continue
            else:
                self.changed[wanted] = found
            self._line = self._line or number

    @property
    def records(self) -> int:
        return len(self._there)

    @property
    def intact(self) -> bool:
        """Whether the summary is of these records, each as it was written."""
        of = self.summary and self.summary.records
        return not (self.changed or self.spoilt) and of == str(self._digest)

    @property
    def foreign(self) -> bool:
        """Whether the records are whole, and others than the summary was made of."""
        of = self.summary and self.summary.records
        return bool(of) and not (self.intact or self.changed or self.spoilt or self.missing)

    @property
    def missing(self) -> int:
        if self.summary is None or not self.summary.records:
            return 0
        samples = range(self.summary.samples_per_question)
        wanted = {(each, sample) for each in self._order[: self.summary.questions] for sample in samples}
        return len(wanted - self._there - self.changed.keys())

    def told(self) -> str | None:
        """What is not as it was written, and what is done about it, in a sentence."""
        path, lines = RECORDS.path(self.stage), len(self.changed) + self.spoilt
        if self.unreadable or self.foreign:
            why = self.unreadable or f"{path}: holds other answers than {SUMMARY.name} is of"
            return f"{why}; all are asked anew"
        done = [f"{counted(len(self.changed), 'answer')} graded anew"] if self.changed else []
        done += [f"{counted(self.missing, 'answer')} asked anew"] if self.missing else []
        if lines:
            what = f"{path}:{self._line}: {counted(lines, 'line')} not as written"
            return f"{what}; {' and '.join(done) or 'what was lost is asked anew'}"
        if self.missing:
            return f"{path}: fewer answers than {SUMMARY.name} is of; {done[0]}"
        return f"{self.unfit}; summed up anew" if self.unfit else None
