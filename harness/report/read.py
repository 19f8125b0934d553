"""A run directory as a ``views.Run``, both evaluations laid side by side. What is missing is left out; so is a file
that does not fit its type, with a note that says why."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from harness.report.views import FLIPS, Evaluation, Flip, Prompt, Question, Run, Since, Training, Versus
from harness.store.audit import AUDIT
from harness.store.changes import PARTS, Part, changes, changes_since
from harness.store.files import RecordError
from harness.store.methods import METHODS
from harness.store.outcome import outcome, shortfall
from harness.store.question import Question as Asked
from harness.store.records import FAULTS, SUMMARY, Record, Summary, read_records
from harness.store.redact import clean_tree
from harness.store.run_directory import run_directories
from harness.store.run_files import (
    ENVIRONMENT,
    EVALUATIONS,
    HEALTH,
    HELD_AGAINST,
    IDENTITY,
    METRICS,
    OVERRIDES,
    PROGRESS,
    QUESTIONS,
    SIGNAL,
    TRAINED,
    VERDICTS,
    Verdict,
)
from harness.store.secrets import redact, redact_tree
from harness.store.siblings import differences, name_of
from harness.store.stages import ASKED, STAGES

if TYPE_CHECKING:
    from harness.store.files import JsonFile, JsonLines
    from harness.store.run_files import Environment

T = TypeVar("T")

Answers = Mapping[str, Sequence[Record]]
"""The answers of one evaluation by question id."""
NAMES = {"before": "A", "after": "B"}
"""The sides of a comparison of two runs."""
_MOST, _LONGEST = 6, 60


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

    def recipe(self) -> tuple[str, dict[str, Any]]:
        """``recipe.toml`` as it stands, and parsed."""
        text = text_of(self.run / "recipe.toml", self.notes)
        try:
            return redact(text), redact_tree(tomllib.loads(text))
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            self.notes.append(f"recipe.toml is shown as it stands but does not parse: {error}.")
            return redact(text), {}


def read_run(path: Path) -> Run:
    """Read one run directory. Never raises for what lies in it: a run may have stopped anywhere."""
    reader = Reader(path)
    notes = reader.notes
    if not path.is_dir():
        notes.append("There is no such run directory.")
    recipe_text, recipe = reader.recipe()
    environment, judged = reader.file(ENVIRONMENT), reader.file(VERDICTS)
    for stage, where in STAGES.items():
        if faults := reader.file(FAULTS, stage):
            notes += [f"{each.sentence}, {where}." for each in faults.functions.values()]
    summaries = {stage: reader.file(SUMMARY, stage) for stage in ASKED}
    for stage, summary in summaries.items():
        start = f"{STAGES[stage][:1].upper()}{STAGES[stage][1:]}"
        notes += [f"{start} {doubt}." for doubt in (summary.doubts if summary else ())]
    before, after = reader.answers("before"), reader.answers("after")
    held = reader.file(HELD_AGAINST)
    apart = judged is not None and "INCOMPARABLE" in {each.verdict for each in judged.verdicts}
    training = _training(reader, path / "train")
    run = Run(
        path=path,
        name=name_of(path),
        recipe_text=recipe_text,
        recipe=recipe,
        environment=environment,
        identity=reader.file(IDENTITY),
        verdicts=judged.verdicts if judged else (),
        before=evaluation("before", before, summaries["before"]),
        after=evaluation("after", after, summaries["after"]),
        training=training,
        questions=pair(reader.lines(QUESTIONS), before, after, held.shares if held and not apart else {}),
        baseline=held,
        overrides=reader.file(OVERRIDES),
        notes=tuple(notes),
        audit=reader.file(AUDIT),
        methods=reader.file(METHODS),
        progress=reader.file(PROGRESS, "train") if training and not training.summary and not training.error else None,
    )
    return replace(run, since=_since(run))


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


def text_of(path: Path, notes: list[str]) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n")
    except FileNotFoundError:
        return ""
    except OSError as error:
        notes.append(f"{path.name} could not be read: {error.strerror or error}.")
        return ""


# Both evaluations


def share_correct(answers: Sequence[Record]) -> float | None:
    """Share of correct among the scored answers; ``None`` where none was scored."""
    scored = [answer.status == "correct" for answer in answers if answer.status != "unscored"]
    return sum(scored) / len(scored) if scored else None


def flip_of(before: Sequence[Record], after: Sequence[Record], two_sided: bool) -> Flip:
    """The class of one question: gained or lost where its share of right answers rose or fell, as the gate counts, and
    else right where more than half of them are. With one evaluation only, it is that one's word."""
    if (not before and not after) or (two_sided and not (before and after)):
        return "unasked"
    first, last = share_correct(before or after), share_correct(after or before)
    if first is None or last is None:
        return "unscored"
    if first == last:
        return "right" if last > 0.5 else "wrong"
    return "gained" if last > first else "lost"


def pair(
    listed: Iterable[Asked], before: Answers, after: Answers, baseline: Mapping[str, float] = MappingProxyType({})
) -> tuple[Question, ...]:
    """Every question with its answers, those first that were lost, to the ``baseline`` too, then the other flips, then
    in the fixed order of ``questions.jsonl``.

    A question that was answered but is not listed (the list is missing) comes after the listed ones.
    """
    questions = {each.id: (each.text or _last_user(each.prompt), each.ground_truth, each.prompt) for each in listed}
    for question, (first, *_) in (*before.items(), *after.items()):
        questions.setdefault(question, (_last_user(first.prompt), first.ground_truth, first.prompt))
    two_sided = bool(before and after)
    paired = []
    for place, (identity, (text, truth, prompt)) in enumerate(questions.items(), 1):
        was, is_now = tuple(before.get(identity, ())), tuple(after.get(identity, ()))
        flip, share = flip_of(was, is_now, two_sided), baseline.get(identity)
        now = share_correct(is_now if after else was)
        fell = share is not None and now is not None and now < share
        paired.append(Question(place, identity, text, truth, prompt, was, is_now, flip, share, fell))
    return tuple(sorted(paired, key=lambda each: (not each.fell and each.flip != "lost", FLIPS.index(each.flip))))


def _last_user(prompt: Prompt) -> str:
    return next((turn["content"] for turn in reversed(prompt) if turn["role"] == "user"), "")


def evaluation(name: str, answers: Answers, summary: Summary | None) -> Evaluation | None:
    """One evaluation in numbers: accuracy and interval from its summary, the counts from its records, or from the
    summary where no record is left. ``None`` where there is neither."""
    every = [answer for samples in answers.values() for answer in samples]
    if not every and summary is None:
        return None
    shares = [share for share in map(share_correct, answers.values()) if share is not None]
    functions = dict.fromkeys(function for answer in every for function in answer.rewards)
    counted: dict[str, Any] = {
        "answers": len(every),
        "questions": len(answers),
        "counts": Counter(answer.status for answer in every),
        "truncated": sum(answer.finish_reason == "length" for answer in every),
        "prompt_tokens": sum(answer.prompt_tokens for answer in every),
        "completion_tokens": sum(answer.completion_tokens for answer in every),
    }
    if not every and summary is not None:
        counted = {key: getattr(summary, key) for key in counted if key != "answers"}
        counted["answers"] = sum(summary.counts.values())
    return Evaluation(
        name=name,
        accuracy=summary.accuracy if summary else sum(shares) / len(shares) if shares else None,
        interval=summary.interval if summary else None,
        rewards={function: _mean(a.rewards.get(function) for a in every) for function in functions},
        mean_reward=_mean(answer.reward for answer in every),
        summary=summary,
        **counted,
    )


def _mean(values: Iterable[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None


# Runs held against each other


def green_before(path: Path, environment: Environment | None) -> Path | None:
    """The last run beside this one, of the same recipe and seed, that was made before it and passed every gate."""
    if environment is None:
        return None
    found: list[tuple[str, Path]] = []
    for other in run_directories(path.parent):
        reader = Reader(other)
        there, judged = reader.file(ENVIRONMENT), reader.file(VERDICTS)
        same = there is not None and (there.recipe, there.seed) == (environment.recipe, environment.seed)
        earlier = there and same and there.created < environment.created
        if there and earlier and judged and outcome(judged.verdicts, shortfall(other)):
            found.append((there.created, other))
    return max(found)[1] if found else None


def _since(run: Run) -> tuple[Since, ...]:
    """What a run is held against besides its base model, as far as all that is compared can be read."""
    found: list[Since] = []
    reader = Reader(run.path)  # what of this run does not fit is said already
    if green := green_before(run.path, run.environment):
        there = Reader(green)
        environment, after = there.file(ENVIRONMENT), there.file(SUMMARY, "after") or there.file(SUMMARY, "before")
        told = reader.tried(lambda: changes(green, run.path), None)
        date, accuracy = environment.created if environment else "", after.accuracy if after else None
        found += [] if told is None else [Since("the last green run", date, accuracy, PARTS, told, green)]
    if held := run.baseline:
        told = reader.tried(lambda: changes_since(held, run.path), None)
        parts: tuple[Part, ...] = ("recipe", "versions", "commit") if held.recipe_toml else ("versions", "commit")
        found += [] if told is None else [Since("the baseline", held.date, held.accuracy, parts, told)]
    return tuple(found)


def compare_runs(a: Path, b: Path, verdict: Verdict) -> Run:
    """Two runs as one whose "before" is A's latest evaluation and whose "after" is B's; ``verdict`` is made by who can
    judge. What is wrong with either directory stands in the notes, as on its own page."""
    first, second = read_run(a), read_run(b)
    sides = [_latest(run) for run in (first, second)]
    asked = {
        each.id: Asked(each.id, each.text, each.ground_truth, "test", None, each.prompt)
        for run in (first, second)
        for each in run.questions
    }
    answers = [_answers(run, side) for run, side in zip((first, second), sides, strict=True)]
    before, after = (
        None if side is None else replace(side, name=name) for side, name in zip(sides, NAMES, strict=True)
    )
    return replace(
        second,
        name=f"{first.name} → {second.name}",
        recipe={key: value for key, value in second.recipe.items() if key not in ("gate", "description", "train")},
        verdicts=(Verdict(**clean_tree(replace(verdict, gate="B against A").to_json())),),
        before=before,
        after=after,
        training=None,
        questions=pair(asked.values(), answers[0], answers[1]),
        baseline=None,
        notes=tuple(f"{name}: {note}" for name, run in (("A", first), ("B", second)) for note in run.notes),
        versus=Versus(
            words=NAMES,
            names=(first.path.name, second.path.name),
            stages=tuple("" if side is None else side.name for side in sides),
            changes=Reader(a).tried(lambda: changes(a, b), None),
        ),
        audit=None,
        methods=None,
        progress=None,
        since=(),
    )


def _latest(run: Run) -> Evaluation | None:
    """The evaluation that a comparison looks at: after training, or before it where there is no other."""
    sides = [side for side in (run.after, run.before) if side is not None]
    return next((side for side in sides if side.summary), sides[0] if sides else None)


def _answers(run: Run, side: Evaluation | None) -> dict[str, tuple[Record, ...]]:
    if side is None:
        return {}
    every = {question.id: question.after if side.name == "after" else question.before for question in run.questions}
    return {question: answers for question, answers in every.items() if answers}


def told_apart(runs: Sequence[Path]) -> list[tuple[tuple[str, str], ...]]:
    """``(key, value)`` of what differs between a run and the others of its recipe, beyond its name, for each run."""
    return [tuple((each.key, _short(each.value)) for each in told[:_MOST]) for told in differences(runs)]


def _short(value: str) -> str:
    return value if len(value) <= _LONGEST else value[: _LONGEST - 1] + "…"
