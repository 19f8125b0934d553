"""Questions from JSON Lines files: one object a line, with fields named by the recipe.

    [task]
    name = "questions.jsonl"
    fields = { question = "problem", answer = "final", solution = "worked" }

A folder holds ``train.jsonl`` and ``test.jsonl``. A single file serves both splits: its rows are shuffled by the task's
seed, the test questions are taken first and the training questions from the rest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.errors import TaskError
from harness.tasks.gsm8k import final_answer
from harness.tasks.question import Question

Row = Mapping[str, Any]
FIELDS = {"question": "question", "answer": "answer", "solution": "solution", "id": "id"}


def read_rows(path: Path, what: str = "questions") -> list[tuple[int, Row]]:
    """Every object of a JSONL file with its 1-based line number; blank lines are passed over. ``what``
    they are goes into the error of an empty file.

    Raises:
        TaskError: the file cannot be read, or a line is not a JSON object.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise TaskError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        number = error.object[: error.start].count(b"\n") + 1
        raise TaskError(f"{path}:{number}: not UTF-8 text; save the file as UTF-8") from None
    rows: list[tuple[int, Row]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise TaskError(f"{path}:{number}: not valid JSON: {error.msg} at column {error.colno}") from None
        if not isinstance(row, dict):
            raise TaskError(f"{path}:{number}: a line must be one JSON object, not {type(row).__name__}")
        rows.append((number, row))
    if not rows:
        raise TaskError(f"{path}: holds no {what}")
    return rows


def read_split(path: Path, split: str, to_question: Callable[[Row, str, int], Question]) -> list[Question]:
    """The questions of one file; ``to_question(row, split, index)`` may raise ``TaskError``, which gains the place."""
    questions = []
    lines: dict[str, int] = {}
    for index, (number, row) in enumerate(read_rows(path)):
        try:
            question = to_question(row, split, index)
        except TaskError as error:
            raise TaskError(f"{path}:{number}: {error}") from None
        if question.id in lines:
            raise TaskError(
                f"{path}:{number}: the id {question.id!r} is that of line {lines[question.id]}; ids are unique"
            )
        lines[question.id] = number
        questions.append(question)
    return questions


def row_reader(stem: str, fields: Mapping[str, str]) -> Callable[[Row, str, int], Question]:
    """A reader of rows whose fields carry the recipe's names. An answer with GSM8K's ``####`` is what follows it."""
    names = {**FIELDS, **fields}

    def to_question(row: Row, split: str, index: int) -> Question:
        for field in ("question", "answer"):
            if names[field] not in row:
                have = ", ".join(row) or "none"
                raise TaskError(
                    f"no field {names[field]!r} (fields here: {have}); "
                    f'name yours in the recipe: [task] fields = {{ {field} = "..." }}'
                )
            value = row[names[field]]
            if isinstance(value, (list, dict)):
                raise TaskError(f"the field {names[field]!r} must be text or a number, not a {type(value).__name__}")
            if value is None or not str(value).strip():
                raise TaskError(f"the field {names[field]!r} is empty")
        answer = str(row[names["answer"]]).strip()
        solution, name = row.get(names["solution"]), row.get(names["id"])
        return Question(
            id=f"{stem}/{split}/{index if name is None else name}",
            text=str(row[names["question"]]),
            ground_truth=final_answer(answer) if "####" in answer else answer,
            split=split,
            solution=None if solution is None else str(solution),
        )

    return to_question
