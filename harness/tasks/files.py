"""Rows of a file, one at a time with the place of each, whatever the size of the file: JSON Lines, JSON, CSV, parquet.

A JSON file is a list of objects, or JSON Lines. A CSV file has a heading, and values that are text. Of a parquet file,
columns that hold bytes, as pictures do, are passed over.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.store.errors import TaskError

if TYPE_CHECKING:
    import pyarrow as pa

Row = Mapping[str, Any]
Placed = tuple[str, Row]
"""A row and where it stands, as ``questions.jsonl:7``."""

KINDS = (".jsonl", ".json", ".csv", ".parquet")
_CHARACTERS, _ROWS = 1 << 20, 1000  # that are read at once
_BETWEEN = re.compile(r"[\s,]*")


def read_rows(path: Path, what: str = "questions") -> Iterator[Placed]:
    """Every row of a file by its ending, JSON Lines where that is none of :data:`KINDS`; blank lines are passed over.
    ``what`` they are goes into the error of an empty file.

    Raises:
        TaskError: the file cannot be read, or a row is no object.
    """
    read = {".csv": _csv_rows, ".json": _json_rows, ".parquet": _parquet_rows}.get(path.suffix.lower(), _lines)
    number = 0
    try:
        for number, placed in enumerate(read(path), 1):  # noqa: B007 (whether there is any)
            yield placed
    except OSError as error:
        raise TaskError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise TaskError(f"{path}:{_not_text(path)}: not UTF-8 text; save the file as UTF-8") from None
    if not number:
        raise TaskError(f"{path}: holds no {what}")


def _not_text(path: Path) -> int:
    """The first line that is not UTF-8."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1


def _lines(path: Path) -> Iterator[Placed]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if text := line.decode("utf-8-sig" if number == 1 else "utf-8").strip():
                place = f"{path}:{number}"
                yield place, _object(place, "a line", _parsed(place, partial(json.loads, text)), text)


def _parsed(place: str, parse: Callable[[], Any]) -> Any:
    try:
        return parse()
    except json.JSONDecodeError as error:
        raise TaskError(f"{place}: not valid JSON: {error.msg} at column {error.colno}") from None
    except ValueError:  # Python's limit on digits
        raise TaskError(f"{place}: a number has too many digits; write it in quotes") from None
    except RecursionError:
        raise TaskError(f"{place}: lists or objects lie too deep in each other") from None


def _object(place: str, what: str, row: Any, text: str) -> Row:
    if not isinstance(row, dict):
        raise TaskError(f"{place}: {what} must be one JSON object, not {type(row).__name__}")
    if "\\u" in text:
        try:
            json.dumps(row, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise TaskError(f"{place}: holds half of a character (a lone surrogate), which no file can keep") from None
    return row


def _json_rows(path: Path) -> Iterator[Placed]:
    with path.open(encoding="utf-8-sig") as file:
        text = file.read(_CHARACTERS)
        opening = _BETWEEN.match(text)
        if opening is None or not text.startswith("[", opening.end()):
            yield from _lines(path)
            return
        decoder, at, number = json.JSONDecoder(), opening.end() + 1, 1
        while True:
            at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]  # it matches nothing, too
            if text.startswith("]", at):
                return
            place = f"{path}, row {number}"
            try:
                start, (row, at) = at, _parsed(place, partial(decoder.raw_decode, text, at))
            except TaskError:
                if not (more := file.read(max(_CHARACTERS, len(text) - at))):
                    raise
                text, at = text[at:] + more, 0  # a row may go on there
                continue
            yield place, _object(place, "a row", row, text[start:at])
            number += 1


def _csv_rows(path: Path) -> Iterator[Placed]:
    """Rows with the line that each ends in."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            for row in reader:
                if None in row:
                    heading = ", ".join(reader.fieldnames or ())
                    raise TaskError(f"{path}:{reader.line_num}: more fields than the heading has ({heading})")
                yield f"{path}:{reader.line_num}", row
        except csv.Error as error:
            raise TaskError(f"{path}:{reader.line_num}: not valid CSV: {error}") from None


def _parquet_rows(path: Path) -> Iterator[Placed]:
    import pyarrow  # which takes its time, and comes with datasets
    import pyarrow.parquet as parquet

    try:
        with parquet.ParquetFile(path) as file:
            names = [field.name for field in file.schema_arrow if not holds_bytes(field.type)]
            yield from arrow_rows(file.iter_batches(_ROWS, columns=names), str(path))
    except (ValueError, OverflowError, pyarrow.ArrowException) as error:  # a date that Python has not, say
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise TaskError(f"{path}: cannot be read: {said}") from None


def arrow_rows(batches: Iterable[Any], name: str) -> Iterator[Placed]:
    """The rows of batches, or tables, of Arrow, of what is called ``name``."""
    number = 0
    for batch in batches:
        names = [field.name for field in batch.schema if not holds_bytes(field.type)]
        for row in batch.select(names).to_pylist():
            number += 1
            yield f"{name}, row {number}", row


def holds_bytes(kind: pa.DataType) -> bool:
    """Whether values of a type of Arrow are bytes, or hold any."""
    import pyarrow as pa

    within = [kind.field(each).type for each in range(kind.num_fields)]
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind)) or any(map(holds_bytes, within))
