r"""From the rows of a table to questions: which rows are meant, and which column is what.

[task]
name = "questions.jsonl"
fields = { question = "{problem}\n{choices}", answer = "final", solution = "worked" }
where = { level = 3, subject = ["algebra", "number theory"] }
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from string import Formatter
from typing import Any, NoReturn

from harness.store.errors import TaskError, nearest
from harness.store.question import GIVEN, Question
from harness.store.run_directory import as_json
from harness.tasks.files import Row
from harness.tasks.forms import last_boxed
from harness.tasks.gsm8k import final_answer

ReadRow = Callable[[Row, str, int], Question]
"""``read(row, split, index)`` is the question of a row, without its columns, or a ``TaskError``."""

_BARE_BOX = re.compile(r"\\(?:boxed|fbox)\s+([^\s${}][^${}]*)\$")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MOST_BYTES = 1 << 20  # of a question's columns: they stand in questions.jsonl
_MOST_SHOWN = 30  # fields, in a sentence
FIELDS = {"question": "question", "answer": "answer", "solution": "solution", "id": "id"}


def row_reader(stem: str, fields: Mapping[str, str]) -> ReadRow:
    r"""A reader of rows whose fields carry the recipe's names, or are made of columns by a template. An answer with
    GSM8K's ``####`` is what follows it.

    Without an answer field it is the last ``\boxed{}`` of the solution, as in MATH. ``answer = ""`` is none, and
    ``id = ""`` numbers the rows.
    """
    names = {**FIELDS, **fields}
    columns = {field: columns_in(name) for field, name in names.items()}
    made = {field for field, name in names.items() if columns[field] not in ((), (name,))}

    def to_question(row: Row, split: str, index: int) -> Question:
        found = {
            field: _filled(names[field], row) if field in made else row[names[field]]
            for field, needs in columns.items()
            if needs and all(name in row for name in needs)
        }
        boxed = "answer" not in fields and "answer" not in found and "solution" in found
        needed = ("question", "solution" if boxed else "answer") if names["answer"] else ("question",)
        if not found.keys() >= {*needed, *made}:
            _say_missing(row, names, columns, needed)
        for field in needed:
            _check_value(names[field], found[field])
        solution, name = found.get("solution"), found.get("id")
        answer = _boxed_answer(names["solution"], str(solution)) if boxed else str(found.get("answer", "")).strip()
        return Question(
            id=f"{stem}/{split}/{index if name is None else name}",
            text=str(found["question"]),
            ground_truth=final_answer(answer) if "####" in answer else answer,
            split=split,
            solution=None if solution is None else str(solution),
        )

    return to_question


# Templates


def columns_in(name: str) -> tuple[str, ...]:
    """The columns that a field is made of: those that a template names in braces, or the one of this name.

    Raises:
        TaskError: the template is none.
    """
    if "{" not in name and "}" not in name:
        return (name,) if name else ()
    twice = "a brace that is meant is written twice, {{ }}"
    try:
        parts = list(Formatter().parse(name))
    except ValueError as error:
        raise TaskError(f"is no template ({error}); {twice}") from None
    for _, column, layout, conversion in parts:
        if column is not None and (not column.strip() or layout or conversion):
            raise TaskError(f"a template names columns in braces and no more, as in {{problem}}; {twice}")
    found = tuple(column for _, column, _, _ in parts if column is not None)
    if not found:
        raise TaskError(f"a template names no column; {twice}")
    return found


def _filled(template: str, row: Row) -> str:
    """A template with the columns in their places. Whatever a column's name is, nothing but the column is looked up."""
    written = []
    for text, column, _, _ in Formatter().parse(template):
        written.append(text)
        if column is not None:
            if row[column] is None:
                raise TaskError(f"the field {column!r} is empty")
            written.append(as_lines(row[column]))
    return "".join(written)


def as_lines(value: Any) -> str:
    """A column's value as a question shows it: text as it is, choices as lines with a letter or with their own labels.

    >>> print(as_lines(["red", "blue"]))
    A. red
    B. blue
    >>> print(as_lines({"text": ["red", "blue"], "label": ["1", "2"]}))
    1. red
    2. blue
    """
    if isinstance(value, str):
        return value
    labels: Sequence[Any] = _LETTERS
    if isinstance(value, Mapping) and all(isinstance(value.get(each), list) for each in ("text", "label")):
        labels, value = value["label"], value["text"]
    if isinstance(value, list) and len(value) <= len(labels) and all(isinstance(each, str | int) for each in value):
        return "\n".join(f"{label}. {text}" for label, text in zip(labels, value, strict=False))
    return json.dumps(as_json(value), ensure_ascii=False)


# Which rows are meant


def is_meant(row: Row, where: Mapping[str, Any]) -> bool:
    """Whether a row has the values that ``where`` names, of a list one of them."""
    return all(
        any(_same(row.get(name), each) for each in (wanted if isinstance(wanted, list | tuple) else [wanted]))
        for name, wanted in where.items()
    )


def _same(value: Any, wanted: Any) -> bool:
    """Text is compared with a number or a truth value as TOML writes it: all values of a CSV file are text."""
    if isinstance(value, str) and not isinstance(wanted, str):
        return value.strip().lower() == str(wanted).lower()
    return isinstance(value, bool) == isinstance(wanted, bool) and bool(value == wanted)


def check_where(where: Mapping[str, Any], columns: Iterable[str], rows: int, left: int) -> None:
    """Raise ``TaskError`` where ``where`` names what is no column, or leaves none of so many rows."""
    for name in where:
        if name not in columns:
            raise TaskError(f"[task] where: no row has the column {name!r}; {nearest(name, list(columns))}")
    if rows and not left:
        values = ", ".join(f"{name} = {json.dumps(value)}" for name, value in where.items())
        raise TaskError(f"[task] where: none of {rows:,} rows has {values}")


# Columns for the reward functions


def columns_of(row: Row, asked: Set[str] | None) -> dict[str, Any]:
    """The columns of a row that are kept, as JSON has them: those that are ``asked`` by name, or with ``None`` all.

    Raises:
        TaskError: they are too large to be kept with every question.
    """
    found = {
        name: as_json(value) for name, value in row.items() if name not in GIVEN and (asked is None or name in asked)
    }
    if found and (size := len(json.dumps(found, ensure_ascii=False).encode())) > MOST_BYTES:
        raise TaskError(
            f"the columns that the rewards take are {size:,} bytes, and at most {MOST_BYTES:,} a question are kept: "
            "have the reward functions name the columns that they need in place of **"
        )
    return found


# What is wrong with a row


def _say_missing(
    row: Row, names: Mapping[str, str], columns: Mapping[str, Sequence[str]], needed: Sequence[str]
) -> NoReturn:
    have = ", ".join([*row][:_MOST_SHOWN]) or "none"
    have += f" and {len(row) - _MOST_SHOWN} more" if len(row) > _MOST_SHOWN else ""
    for field, name in names.items():
        lacks = [column for column in columns[field] if column not in row]
        if lacks and lacks != [name]:
            raise TaskError(f"no field {lacks[0]!r}, which [task] fields.{field} names (fields here: {have})")
    missing = [field for field in needed if names[field] not in row]
    yours = ", ".join(f'{field} = "..."' for field in missing)
    raise TaskError(
        f"no field {' and none '.join(repr(names[field]) for field in missing)} (fields here: {have}); "
        f"name yours in the recipe: [task] fields = {{ {yours} }}"
    )


def _check_value(field: str, value: Any) -> None:
    if isinstance(value, (list, dict, bool, bytes)) or (isinstance(value, float) and not math.isfinite(value)):
        found = f"a {type(value).__name__}" if isinstance(value, (list, dict, bytes)) else json.dumps(value)
        raise TaskError(f"the field {field!r} must be text or a finite number, not {found}")
    if value is None or not str(value).strip():
        raise TaskError(f"the field {field!r} is empty")


def _boxed_answer(field: str, solution: str) -> str:
    r"""The last box of a solution; some of MATH's are written ``\fbox{7}`` or ``$\boxed 7$``."""
    answer = last_boxed(solution.replace(r"\fbox", r"\boxed"))
    if answer is None and (bare := _BARE_BOX.findall(solution)):
        answer = bare[-1]
    if answer is None:
        raise TaskError(
            f"there is no field 'answer', and the field {field!r} has no \\boxed{{}} with one; "
            'name the field that holds the answer: [task] fields = { answer = "..." }'
        )
    return answer.strip()
