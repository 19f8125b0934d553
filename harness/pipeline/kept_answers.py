"""Answers that were given before, found by content: question by question, in whatever run directory they lie.

An answer depends on the model, the decoding, the engine, the question's id and prompt and the sample's number alone
(``fingerprint.Keys``), so a recipe that asks 400 questions asks only those that no other run has asked with
the same model and decoding, and one that asks each question eight times only the samples that are not there.

Nothing is trusted for where it lies: a line counts if its stage's ``key.json`` says what it was made with, and if it is
a whole record of the question as it is asked now. Lines are found by one pass and read again when they are taken, so
only their places are held.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, NamedTuple

from harness.pipeline.fingerprint import Keys
from harness.store.faults import FILE as FAULTS
from harness.store.records import Record
from harness.store.redact import clean_data
from harness.store.run_directory import read_json
from harness.tasks import Question

Wanted = tuple[str, int]
"""Question id and sample."""


class _Stage(NamedTuple):
    """A stage that has answers to give. ``seconds`` are those of a generated token, where they are known."""

    file: IO[bytes]
    run: str
    graded: bool
    faulty: bool
    seconds: float


class _Place(NamedTuple):
    stage: _Stage
    offset: int
    length: int


class Found(NamedTuple):
    """An answer that was given before. ``graded`` says that its grades are those that would be given now."""

    record: Record
    graded: bool


@dataclass
class Taken:
    """What was taken from elsewhere, and what it saved: ``kept`` of ``summary.json``. ``runs`` counts answers by the
    run directory that they were found in; ``seconds`` are what they took there, where that is known."""

    answers: int = 0
    tokens: int = 0
    seconds: float = 0.0
    runs: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, kept: Any) -> Taken:
        """What a file says was taken; nothing where it says nothing."""
        return cls(**kept) if isinstance(kept, dict) else cls()

    @property
    def most(self) -> str | None:
        """The run that gave most."""
        return max(self.runs, key=self.runs.__getitem__, default=None)

    def add(self, record: Record, run: str, seconds: float) -> None:
        self.answers += 1
        self.tokens += record.completion_tokens
        self.seconds += seconds * record.completion_tokens
        self.runs[run] = self.runs.get(run, 0) + 1


class KeptAnswers:
    """The wanted answers that some of ``stages`` hold. Their files stay open until :meth:`close`: one that is written
    anew meanwhile is read as it was found.

    Args:
        seed: the evaluation's; greedy answers are the same under any, and get this one.
        taken: what was taken is counted there.
    """

    def __init__(
        self, stages: Iterable[Path], keys: Keys, questions: Mapping[str, Question], seed: int, taken: Taken
    ) -> None:
        self._stages, self._keys, self._questions, self._seed = stages, keys, questions, seed
        self._places: dict[Wanted, _Place] = {}
        self._files = ExitStack()
        self._taken = taken

    def close(self) -> None:
        self._files.close()

    def find(self, wanted: Iterable[Wanted]) -> None:
        """Look for answers, until all are found or no stage is left."""
        missing = set(wanted)
        for path in self._stages:
            if not missing:
                return
            if (stage := self._open(path)) is not None:
                self._scan(stage, missing)

    def take(self, wanted: Iterable[Wanted]) -> Iterator[Found]:
        """Those of the wanted answers that were found, each once."""
        for each in wanted:
            place = self._places.pop(each, None)
            record = None if place is None else self._read(place, each)
            if place is None or record is None:
                continue
            stage = place.stage
            self._taken.add(record, stage.run, stage.seconds)
            complete = not stage.faulty or (
                record.status != "unscored" and None not in (record.reward, *record.rewards.values())
            )
            same_truth = record.ground_truth == self._questions[record.question_id].ground_truth
            # What a failing grader left open is asked again: only the stage as a whole knows what failed.
            yield Found(replace(record, seed=self._seed), stage.graded and complete and same_truth)

    def _open(self, path: Path) -> _Stage | None:
        """A stage with the same answers in it; its keys are read before and after the file is opened, since another
        process may be grading it again."""
        key = read_json(path / "key.json")
        if key is None or not self._same_answers(key):
            return None
        try:
            file = self._files.enter_context((path / "records.jsonl").open("rb"))
        except OSError:
            return None
        unchanged = read_json(path / "key.json") == key
        graded = unchanged and (key.get("grading") == self._keys.grading or self._same("grader", key))
        return _Stage(file, path.parent.name, graded, (path / FAULTS).exists(), _seconds_a_token(path))

    def _same_answers(self, key: Mapping[str, Any]) -> bool:
        return key.get("generation") == self._keys.generation or self._same("answer", key)

    def _same(self, name: str, key: Mapping[str, Any]) -> bool:
        own = getattr(self._keys, name)
        return bool(own) and key.get(name) == own

    def _scan(self, stage: _Stage, missing: set[Wanted]) -> None:
        offset = 0
        for line in stage.file:
            record = _parsed(line)
            if record is not None and self._is_wanted(record, missing):
                each = record.question_id, record.sample
                self._places[each] = _Place(stage, offset, len(line))
                missing.discard(each)
            offset += len(line)

    def _is_wanted(self, record: Record, missing: set[Wanted]) -> bool:
        if (record.question_id, record.sample) not in missing or record.error is not None:
            return False
        asked = self._questions[record.question_id].prompt
        return tuple(record.prompt) == tuple(asked) or list(record.prompt) == clean_data(asked)  # as a file keeps it

    def _read(self, place: _Place, wanted: Wanted) -> Record | None:
        place.stage.file.seek(place.offset)
        record = _parsed(place.stage.file.read(place.length))
        return record if record is not None and (record.question_id, record.sample) == wanted else None


def _parsed(line: bytes) -> Record | None:
    try:
        return Record.from_json(json.loads(line))
    except (ValueError, KeyError, TypeError):
        return None


def _seconds_a_token(stage: Path) -> float:
    """What a generated token of a stage took, also where the stage has its answers from elsewhere; 0 if unknown."""
    summary = read_json(stage / "summary.json") or {}
    seconds = (summary.get("seconds") or 0.0) + Taken.of(summary.get("kept")).seconds
    return float(seconds) / max(1, summary.get("completion_tokens") or 0)
