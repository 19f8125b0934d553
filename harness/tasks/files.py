"""Rows of a file, one at a time with the place of each, whatever the size of the file: JSON Lines, JSON, CSV, parquet.

A JSON file is a list of objects, or JSON Lines. A CSV file has a heading, and values that are text. Of a parquet file,
columns that hold bytes, as pictures do, are passed over.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from harness.store.errors import TaskError

if TYPE_CHECKING:
    import pyarrow as pa

Row = Mapping[str, Any]
Placed = tuple[str, Row]
"""A row and where it stands, as ``questions.jsonl:7``."""

KINDS = (".jsonl", ".json", ".csv", ".parquet")
NO_ROWS = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
"""Files that lie beside those with rows, and say what these are."""
_CHARACTERS, _ROWS = 1 << 20, 1000  # that are read at once
_BLANKS = re.compile(r"[ \t\r\n]*")


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
        if text.lstrip().startswith("["):
            yield from _list_rows(path, file, text)
            return
    if text.strip():
        _object_first(path)
    yield from _lines(path)


def _object_first(path: Path) -> None:
    """Raise ``TaskError`` where the first line of a JSON file that is no list is not JSON by itself."""
    with path.open(encoding="utf-8-sig") as file:
        number, line = next((number, line) for number, line in enumerate(file, 1) if line.strip())
    try:
        json.loads(line)
    except json.JSONDecodeError as error:
        raise TaskError(
            f"{path}:{number}: not valid JSON by itself: {error.msg} at column {error.colno}; a JSON file must be a "
            "list of objects, [{...}, {...}], or have one object a line"
        ) from None
    except (ValueError, RecursionError):
        return  # _lines says it


def _list_rows(path: Path, file: IO[str], text: str, most: int = _CHARACTERS) -> Iterator[Placed]:
    """The objects of a list, of whose file ``text`` was read already; ``most`` characters are read at once."""
    decoder, at, number = json.JSONDecoder(), text.index("[") + 1, 0

    def mark() -> str:
        """The next character that is no blank; none at the end."""
        nonlocal text, at
        while (at := _BLANKS.match(text, at).end()) == len(text):  # type: ignore[union-attr]  # it matches nothing, too
            if not (more := file.read(most)):
                return ""
            text, at = more, 0
        return text[at]

    ends = mark() == "]"
    while not ends:
        number += 1
        place, start = f"{path}, row {number}", at
        while True:
            try:
                row, at = _parsed(place, partial(decoder.raw_decode, text, start))
                break
            except TaskError:
                if not (more := file.read(max(most, len(text) - start))):
                    raise
                text, start = text[start:] + more, 0  # a row may go on there
        yield place, _object(place, "a row", row, text[start:at])
        ends = mark() == "]"
        if not ends:
            if mark() != ",":
                raise TaskError(f"{place}: neither a comma nor the ] that ends the list follows it")
            at += 1
            mark()
    at += 1
    if mark():
        raise TaskError(f"{path}: something follows the ] that ends the list; a JSON file is one list of objects")


def _csv_rows(path: Path) -> Iterator[Placed]:
    """Rows with the line that each ends in."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            _check_names(reader.fieldnames or (), f"{path}:{reader.line_num}")
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
            names = _of_text(file.schema_arrow, str(path))
            yield from arrow_rows(file.iter_batches(_ROWS, columns=names), str(path))
    except (ValueError, pyarrow.ArrowException) as error:
        raise _unreadable(str(path), error) from None


def arrow_rows(batches: Iterable[Any], name: str) -> Iterator[Placed]:
    """The rows of batches, or tables, of Arrow, of what is called ``name``."""
    import pyarrow

    number = 0
    try:
        for batch in batches:
            for row in batch.select(_of_text(batch.schema, name)).to_pylist():
                number += 1
                yield f"{name}, row {number}", row
    except (ValueError, OverflowError, pyarrow.ArrowException) as error:  # a date that Python has not, say
        raise _unreadable(name, error) from None


def _unreadable(name: str, error: Exception) -> TaskError:
    return TaskError(f"{name}: cannot be read: {next(iter(str(error).splitlines()), type(error).__name__)}")


def _of_text(schema: Any, name: str) -> list[str]:
    """The columns that hold no bytes."""
    _check_names(schema.names, name)
    return [field.name for field in schema if not holds_bytes(field.type)]


def _check_names(columns: Sequence[str], place: str) -> None:
    if len(set(columns)) < len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        raise TaskError(f"{place}: two columns are called {twice!r}; rename one")


def holds_bytes(kind: pa.DataType) -> bool:
    """Whether values of a type of Arrow are bytes, or hold any."""
    import pyarrow as pa

    within = [kind.field(each).type for each in range(kind.num_fields)]
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind)) or any(map(holds_bytes, within))
