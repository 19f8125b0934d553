"""Questions from JSON Lines and CSV files: one object or row a line, with fields named by the recipe.

    [task]
    name = "questions.jsonl"
    fields = { question = "problem", answer = "final", solution = "worked" }

A folder holds ``train.jsonl`` and ``test.jsonl``. A single file, which may be a ``.csv`` with a heading, serves both
splits: its rows are shuffled by the task's seed, the test questions are taken first and the training questions from the
rest. What is said of CSV holds for ``.parquet`` too.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from harness.store.errors import TaskError
from harness.store.question import GIVEN, Question
from harness.store.run_directory import as_json
from harness.tasks.forms import last_boxed
from harness.tasks.gsm8k import final_answer

Row = Mapping[str, Any]
_BARE_BOX = re.compile(r"\\(?:boxed|fbox)\s+([^\s${}][^${}]*)\$")
MOST_BYTES = 1 << 20  # of a question's columns: they stand in questions.jsonl
FIELDS = {"question": "question", "answer": "answer", "solution": "solution", "id": "id"}


def read_rows(path: Path, what: str = "questions") -> list[tuple[int, Row]]:
    """Every object of a JSONL file, row of a CSV file by its heading, or row of a Parquet file, with its 1-based line
    number; blank lines are passed over. ``what`` they are goes into the error of an empty file.

    Raises:
        TaskError: the file cannot be read, or a line is not a JSON object.
    """
    rows = list(_parquet_rows(path) if path.suffix.lower() == ".parquet" else _text_rows(path))
    if not rows:
        raise TaskError(f"{path}: holds no {what}")
    return rows


def _parquet_rows(path: Path) -> Iterable[tuple[int, Row]]:
    import pyarrow  # which takes its time, and comes with datasets
    import pyarrow.parquet

    try:
        with path.open("rb") as file:
            return enumerate(pyarrow.parquet.ParquetFile(file).read().to_pylist(), 1)
    except (OSError, ValueError, OverflowError, pyarrow.ArrowException) as error:  # a date that Python has not, say
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise TaskError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or said}") from None


def _text_rows(path: Path) -> Iterable[tuple[int, Row]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise TaskError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        number = error.object[: error.start].count(b"\n") + 1
        raise TaskError(f"{path}:{number}: not UTF-8 text; save the file as UTF-8") from None
    return _csv_rows(path, text) if path.suffix.lower() == ".csv" else _json_rows(path, text)


def _json_rows(path: Path, text: str) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise TaskError(f"{path}:{number}: not valid JSON: {error.msg} at column {error.colno}") from None
        except ValueError:  # Python's limit on digits
            raise TaskError(f"{path}:{number}: a number has too many digits; write it in quotes") from None
        except RecursionError:
            raise TaskError(f"{path}:{number}: lists or objects lie too deep in each other") from None
        if not isinstance(row, dict):
            raise TaskError(f"{path}:{number}: a line must be one JSON object, not {type(row).__name__}")
        yield number, row


def _csv_rows(path: Path, text: str) -> Iterator[tuple[int, Row]]:
    """Rows with the line that each ends in."""
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if None in row:
                heading = ", ".join(reader.fieldnames or ())
                raise TaskError(f"{path}:{reader.line_num}: more fields than the heading has ({heading})")
            yield reader.line_num, row
    except csv.Error as error:
        raise TaskError(f"{path}:{reader.line_num}: not valid CSV: {error}") from None


def read_split(paths: Sequence[Path], split: str, to_question: Callable[[Row, str, int], Question]) -> list[Question]:
    """The questions of the files of a split; ``to_question(row, split, index)`` may raise ``TaskError``, which gains
    the place."""
    questions = []
    lines: dict[str, int] = {}
    rows = ((path, number, row) for path in paths for number, row in read_rows(path))
    for index, (path, number, row) in enumerate(rows):
        try:
            question = to_question(row, split, index)
        except TaskError as error:
            raise TaskError(f"{path}:{number}: {error}") from None
        if question.id in lines:
            raise TaskError(
                f"{path}:{number}: the id {question.id!r} is that of line {lines[question.id]}; ids are unique: under "
                '[task], fields = { id = "..." } names another field, and fields = { id = "" } numbers the rows'
            )
        lines[question.id] = number
        questions.append(question)
    return questions


def row_reader(stem: str, fields: Mapping[str, str]) -> Callable[[Row, str, int], Question]:
    r"""A reader of rows whose fields carry the recipe's names. An answer with GSM8K's ``####`` is what follows it.

    Without an answer field it is the last ``\boxed{}`` of the solution, as in MATH. ``id = ""`` numbers the rows.
    """
    names = {**FIELDS, **fields}

    def to_question(row: Row, split: str, index: int) -> Question:
        boxed = "answer" not in fields and names["answer"] not in row and names["solution"] in row
        needed = ("question", "solution" if boxed else "answer")
        if missing := [field for field in needed if names[field] not in row]:
            have, yours = ", ".join(row) or "none", ", ".join(f'{field} = "..."' for field in missing)
            raise TaskError(
                f"no field {' and none '.join(repr(names[field]) for field in missing)} (fields here: {have}); "
                f"name yours in the recipe: [task] fields = {{ {yours} }}"
            )
        try:
            json.dumps(row, ensure_ascii=False, default=str).encode()
        except UnicodeEncodeError:
            raise TaskError("holds half of a character (a lone surrogate), which no file can keep") from None
        for field in needed:
            _check_value(names[field], row[names[field]])
        solution = row.get(names["solution"])
        answer = _boxed_answer(names["solution"], str(solution)) if boxed else str(row[names["answer"]]).strip()
        name = row.get(names["id"]) if names["id"] else None
        return Question(
            id=f"{stem}/{split}/{index if name is None else name}",
            text=str(row[names["question"]]),
            ground_truth=final_answer(answer) if "####" in answer else answer,
            split=split,
            solution=None if solution is None else str(solution),
        )

    return to_question


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
