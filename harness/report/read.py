"""A run directory as a ``views.Run``. What is missing is left out; so is a file that does not fit its type, with a note
that says why."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, TypeVar

from harness.report.pairs import evaluation, pair
from harness.report.views import Run, Training
from harness.store.audit import AUDIT
from harness.store.files import RecordError
from harness.store.methods import METHODS
from harness.store.records import FAULTS, SUMMARY, read_records
from harness.store.run_files import (
    ENVIRONMENT,
    EVALUATIONS,
    HEALTH,
    HELD_AGAINST,
    IDENTITY,
    METRICS,
    OVERRIDES,
    QUESTIONS,
    SIGNAL,
    TRAINED,
    VERDICTS,
)
from harness.store.secrets import redact, redact_tree
from harness.store.stages import ASKED, STAGES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.store.files import JsonFile, JsonLines
    from harness.store.records import Record

T = TypeVar("T")


class Reader:
    """Reads the files of a run directory, without secrets unless ``hide`` is false; ``notes`` say why some do not
    fit."""

    def __init__(self, run: Path, *, hide: bool = True) -> None:
        self.run, self.hide = run, hide
        self.notes: list[str] = []

    def tried(self, read: Callable[[], T], otherwise: T) -> T:
        try:
            return read()
        except RecordError as error:
            self.notes.append(f"{str(error).replace(f'{self.run}/', '')}.")
            return otherwise

    def file(self, file: JsonFile[T], stage: str = "") -> T | None:
        return self.tried(lambda: file.read(self.run / stage, hide=self.hide), None)

    def lines(self, file: JsonLines[T], stage: str = "") -> tuple[T, ...]:
        return self.tried(lambda: tuple(file.read(self.run / stage, hide=self.hide)), ())

    def answers(self, stage: str) -> dict[str, list[Record]]:
        """One evaluation's answers by question id, in order of sample."""
        found: dict[str, list[Record]] = {}
        nothing: list[Record] = []
        for record in self.tried(lambda: read_records(self.run / stage, hide=self.hide), nothing):
            found.setdefault(record.question_id, []).append(record)
        for records in found.values():
            records.sort(key=lambda record: record.sample)
        return found


def read_run(path: Path) -> Run:
    """Read one run directory. Never raises for what lies in it: a run may have stopped anywhere."""
    reader = Reader(path)
    notes = reader.notes
    if not path.is_dir():
        notes.append("There is no such run directory.")
    recipe_text = text_of(path / "recipe.toml", notes)
    environment, judged = reader.file(ENVIRONMENT), reader.file(VERDICTS)
    name, seed, key = name_parts(path.name)
    told = judged or environment
    for stage, where in STAGES.items():
        if faults := reader.file(FAULTS, stage):
            notes += [f"{each.sentence}, {where}." for each in faults.functions.values()]
    summaries = {stage: reader.file(SUMMARY, stage) for stage in ASKED}
    for stage, summary in summaries.items():
        start = f"{STAGES[stage][:1].upper()}{STAGES[stage][1:]}"
        notes += [f"{start} {doubt}." for doubt in (summary.doubts if summary else ())]
    before, after = reader.answers("before"), reader.answers("after")
    return Run(
        path=path,
        name=told.recipe if told else name,
        seed=told.seed if told else seed,
        key=key,
        recipe_text=redact(recipe_text),
        recipe=redact_tree(_toml(recipe_text, notes)),
        environment=environment,
        identity=reader.file(IDENTITY),
        verdicts=judged.verdicts if judged else (),
        before=evaluation("before", before, summaries["before"]),
        after=evaluation("after", after, summaries["after"]),
        training=_training(reader, path / "train"),
        questions=pair(reader.lines(QUESTIONS), before, after),
        baseline=reader.file(HELD_AGAINST),
        overrides=reader.file(OVERRIDES),
        notes=tuple(notes),
        audit=reader.file(AUDIT),
        methods=reader.file(METHODS),
    )


def _training(reader: Reader, folder: Path) -> Training | None:
    if not folder.is_dir():
        return None
    error = redact(text_of(folder / "error.txt", reader.notes))
    if not error and (folder / "error.txt").exists():
        error = "Training failed and left no message."
    return Training(
        steps=reader.lines(METRICS, "train"),
        summary=reader.file(TRAINED, "train"),
        error=error,
        health=reader.lines(HEALTH, "train") if HEALTH.path(folder).exists() else None,
        evaluations=reader.lines(EVALUATIONS, "train"),
        signal=reader.file(SIGNAL),
    )


def name_parts(folder: str) -> tuple[str, int | None, str]:
    match = re.fullmatch(r"(.+)-(\d{1,18})-([0-9a-f]{12})", folder)
    return (match[1], int(match[2]), match[3]) if match else (folder, None, "")


def text_of(path: Path, notes: list[str]) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n")
    except FileNotFoundError:
        return ""
    except OSError as error:
        notes.append(f"{path.name} could not be read: {error.strerror or error}.")
        return ""


def _toml(text: str, notes: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        notes.append(f"recipe.toml is shown as it stands but does not parse: {error}.")
        return {}
