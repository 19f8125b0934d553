"""A run directory as a ``views.Run``. What is missing or torn is left out and, where it matters, noted."""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Any

from harness.report.audit import audit_of
from harness.report.loose import dicts, number, string, whole
from harness.report.once import Once
from harness.report.pairs import evaluation, pair
from harness.report.views import Answer, Finding, Grade, HeldOut, Run, Training, Verdict, turns
from harness.store.secrets import redact, redact_data, redact_tree, within_data
from harness.store.stages import ASKED, STAGES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def read_run(path: Path) -> Run:
    """Read one run directory. Never raises for what lies in it: a run may have stopped anywhere."""
    notes: list[str] = []
    if not path.is_dir():
        notes.append("There is no such run directory.")
    recipe_text = _text(path / "recipe.toml", notes)
    environment = _json(path / "environment.json", notes)
    judged = _json(path / "verdicts.json", notes)
    name, seed, key = _name_parts(path.name)
    audit = audit_of(_json(path / "audit.json", notes))
    for stage, where in STAGES.items():
        notes += _reward_notes(where, _json(path / stage / "rewards.json", notes))
        if stage in ASKED:
            notes += _answer_notes(where, _json(path / stage / "summary.json", []))
    once = Once()
    before = _answers(path / "before" / "records.jsonl", notes, once)
    after = _answers(path / "after" / "records.jsonl", notes, once)
    return Run(
        path=path,
        name=str(judged.get("recipe") or environment.get("recipe") or name),
        seed=whole(judged.get("seed"), environment.get("seed"), seed),
        key=key,
        recipe_text=redact(recipe_text),
        recipe=redact_tree(_toml(recipe_text, notes)),
        environment=environment,
        identity=_json(path / "identity.json", notes),
        verdicts=tuple(_verdict(row) for row in dicts(judged.get("verdicts"))),
        before=evaluation("before", before, _json(path / "before" / "summary.json", notes)),
        after=evaluation("after", after, _json(path / "after" / "summary.json", notes)),
        training=_training(path / "train", notes),
        questions=pair(_rows(path / "questions.jsonl", notes), before, after, once),
        baseline=_json(path / "baseline.json", notes),
        overrides=_json(path / "overrides.json", notes),
        notes=tuple(notes),
        audit=audit,
        methods=_json(path / "methods.json", notes),
    )


def read_head(path: Path) -> tuple[tuple[str, int | None], dict[str, Any], dict[str, Any]]:
    """``((recipe, seed), recipe, identity)`` of a run directory, without its records."""
    notes: list[str] = []
    environment, judged = _json(path / "environment.json", notes), _json(path / "verdicts.json", notes)
    name, seed, _ = _name_parts(path.name)
    return (
        (
            str(judged.get("recipe") or environment.get("recipe") or name),
            whole(judged.get("seed"), environment.get("seed"), seed),
        ),
        redact_tree(_toml(_text(path / "recipe.toml", notes), notes)),
        _json(path / "identity.json", notes),
    )


def _reward_notes(where: str, kept: dict[str, Any]) -> list[str]:
    """What went wrong in reward functions, a sentence each."""
    functions = kept.get("functions")
    rows = dicts(list(functions.values())) if isinstance(functions, dict) else []
    return [f"{string(row.get('sentence'))}, {where}." for row in rows]


def _answer_notes(where: str, summary: dict[str, Any]) -> list[str]:
    """What speaks against the answers of an evaluation: some could not be had, were cut off before they began, or they
    depend on the batch."""
    doubts = (summary.get(key) for key in ("unanswered", "unfinished"))
    start = f"{where[:1].upper()}{where[1:]}"
    return [f"{start} {string(each.get('sentence'))}." for each in doubts if isinstance(each, dict)]


def _training(folder: Path, notes: list[str]) -> Training | None:
    if not folder.is_dir():
        return None
    error = redact(_text(folder / "error.txt", notes))
    if not error and (folder / "error.txt").exists():
        error = "Training failed and left no message."
    return Training(
        steps=tuple(row for row in _lines(folder / "metrics.jsonl", notes) if number(row.get("step")) is not None),
        summary=_json(folder / "summary.json", notes),
        error=error,
        health=_health(folder / "health.jsonl", notes),
        evaluations=tuple(map(_held_out, _lines(folder / "evaluations.jsonl", notes))),
        signal=_json(folder.parent / "signal.json", notes),
    )


def _health(path: Path, notes: list[str]) -> tuple[Finding, ...] | None:
    if not path.exists():
        return None
    return tuple(
        Finding(
            check=string(row.get("check")),
            key=string(row.get("key")),
            step=whole(row.get("step")) or 0,
            level="fatal" if row.get("level") == "fatal" else "warning",
            sentence=redact(string(row.get("sentence"))) or f"{string(row.get('check'))}: no sentence",
        )
        for row in _lines(path, notes)
    )


def _held_out(row: dict[str, Any]) -> HeldOut:
    interval = row.get("interval")
    low, high = map(number, interval) if isinstance(interval, list) and len(interval) == 2 else (None, None)
    return HeldOut(
        step=whole(row.get("step")) or 0,
        accuracy=number(row.get("accuracy")),
        interval=None if low is None or high is None else (low, high),
        questions=whole(row.get("questions")),
        best=row.get("best") is True,
    )


def _answers(path: Path, notes: list[str], once: Once) -> dict[str, list[Answer]]:
    """One evaluation's answers by question id, in order of sample. A sample met twice counts once, as last seen."""
    found: dict[str, dict[int, Answer]] = {}
    for row in _rows(path, notes):
        answer = _answer(row, once)
        found.setdefault(once(str(row.get("question_id", ""))), {})[answer.sample] = answer
    return {question: [samples[index] for index in sorted(samples)] for question, samples in found.items()}


def _answer(row: dict[str, Any], once: Once) -> Answer:
    rewards = row.get("rewards")
    grades = row.get("grades")
    values = tuple((str(k), number(v)) for k, v in rewards.items()) if isinstance(rewards, dict) else ()
    return Answer(
        sample=whole(row.get("sample")) or 0,
        seed=whole(row.get("seed")),
        prompt=once.prompt(turns(row.get("prompt"))),
        completion=string(row.get("completion")),
        ground_truth=once(string(row.get("ground_truth"))),
        finish_reason=once(string(row.get("finish_reason")) or "unknown"),
        status=once(string(row.get("status")) or "unscored"),
        extracted=None if row.get("extracted") is None else once(string(row.get("extracted"))),
        reward=number(row.get("reward")),
        rewards=once.rewards(values),
        grades=once(tuple(_grade(str(k), v) for k, v in grades.items()) if isinstance(grades, dict) else ()),
        prompt_tokens=whole(row.get("prompt_tokens")),
        completion_tokens=whole(row.get("completion_tokens")),
        error=once(redact(string(row.get("error")))) or None,
    )


def _grade(grader: str, value: Any) -> Grade:
    value = value if isinstance(value, dict) else {}
    extracted, correct = value.get("extracted"), value.get("correct")
    return Grade(
        grader, None if extracted is None else string(extracted), correct if isinstance(correct, bool) else None
    )


def _verdict(row: dict[str, Any]) -> Verdict:
    passed, numbers = row.get("passed"), row.get("numbers")
    return Verdict(
        gate=string(row.get("gate")) or "gate",
        word=string(row.get("verdict")) or "NO VERDICT",
        passed=passed if isinstance(passed, bool) else None,
        sentence=string(row.get("sentence")),
        numbers=numbers if isinstance(numbers, dict) else {},
    )


def _name_parts(folder: str) -> tuple[str, int | None, str]:
    match = re.fullmatch(r"(.+)-(\d{1,18})-([0-9a-f]{12})", folder)
    return (match[1], int(match[2]), match[3]) if match else (folder, None, "")


def _text(path: Path, notes: list[str]) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n")
    except FileNotFoundError:
        return ""
    except OSError as error:
        notes.append(f"{_where(path)} could not be read: {error.strerror or error}.")
        return ""


def _json(path: Path, notes: list[str]) -> dict[str, Any]:
    text = _text(path, notes)
    if not text:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        hidden: dict[str, Any] = redact_tree(value)
        return hidden
    notes.append(f"{_where(path)} is not a JSON object and was left out.")
    return {}


def _toml(text: str, notes: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        notes.append(f"recipe.toml is shown as it stands but does not parse: {error}.")
        return {}


def _lines(path: Path, notes: list[str]) -> list[dict[str, Any]]:
    """The objects of a JSONL file."""
    return list(_rows(path, notes))


def _rows(path: Path, notes: list[str]) -> Iterator[dict[str, Any]]:
    """The objects of a JSONL file, one at a time. Lines that do not parse are dropped and counted in one note."""
    dropped = 0
    try:
        # Only "\n" ends a line: JSON text may hold U+2028 and others that str.splitlines would split at.
        with path.open("rb") as file:
            for line in file:
                if not line.strip():
                    continue
                row = parsed(line)
                if isinstance(row, dict):
                    yield row
                else:
                    dropped += 1
    except FileNotFoundError:
        return
    except OSError as error:
        notes.append(f"{_where(path)} could not be read: {error.strerror or error}.")
    if dropped:
        lines = "1 torn line was" if dropped == 1 else f"{dropped} torn lines were"
        notes.append(f"{_where(path)}: {lines} left out.")


def parsed(line: bytes) -> Any:
    """The value of a JSONL file's line, without secrets; ``None`` where it is torn."""
    text = line.decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if redact_data(text) == text else within_data(value, redact_data)


def _where(path: Path) -> str:
    return f"{path.parent.name}/{path.name}" if path.parent.name in STAGES else path.name
