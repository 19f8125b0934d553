"""Files of the run directory by their types: each is read and written by one object, which says what does not fit.

    RECORDS = JsonLines("records.jsonl", Record)
    for record in RECORDS.read(stage): ...
    with RECORDS.writer(stage) as writer: writer.append(record)

A type is a dataclass over :class:`Stored`, or a ``TypedDict``. Values are strict: no key but the type's own, no number
for a text, no NaN. A field that has its default is not written. A file that is not there is ``None``, or no lines; the
last line without its end is what a kill left, and no line.

What verdicts come from is sealed: its last key, ``digest``, is a hash of what stands before it. What was changed since
then is not read. A file without a digest is read by who looks on, and believed by nobody who judges.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeGuard, TypeVar

from harness.store.errors import HarnessError
from harness.store.run_directory import LineWriter, as_json, digest, write_json, write_lines
from harness.store.secrets import redact_data, redact_tree, within_data

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")
_HALF = re.compile("[\ud800-\udfff]")
_DIGEST_FIELD = re.compile(rb',\s*"digest":\s*"[0-9a-f]*"')
_DIGEST, _DIGITS = ', "digest": "', 16
_KINDS = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}


class RecordError(HarnessError):
    """A file of a run directory that does not hold what its type says: what was ``found``, and what to do."""

    def __init__(self, found: str, remedy: str) -> None:
        super().__init__(f"{found}; {remedy}")
        self.found = found


class Stored:
    """Base of what a file holds."""

    __slots__ = ()
    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    def to_json(self) -> dict[str, Any]:
        """A dict as the file has it, for ``json.dumps``."""
        made: dict[str, Any] = as_json(self)
        return made


@dataclass(frozen=True)
class _File(Generic[T]):
    """``name`` in its folder; ``type`` is ``T``. What a file that is ``remade`` lacks is made again by whoever needs
    it; any other is made once, with its run or its training."""

    name: str
    type: Any
    remade: bool = field(default=False, kw_only=True)

    def path(self, folder: Path) -> Path:
        return folder / self.name

    @cached_property
    def _adapter(self) -> TypeAdapter[T]:
        from pydantic import TypeAdapter  # which a project that reads no run need not import

        if not hasattr(self.type, "__pydantic_config__"):
            self.type.__pydantic_config__ = Stored.__pydantic_config__
        return TypeAdapter(self.type)

    def _parsed(self, path: Path, raw: bytes, line: int | None = None) -> T:
        try:
            return self._adapter.validate_json(raw)
        except ValueError as error:
            if (whole := _without_halves(raw)) != raw:
                return self._parsed(path, whole, line)
            raise RecordError(_said(path, raw, line, error), self._remedy()) from None

    def _changed(self, path: Path, line: int | None = None) -> RecordError:
        where = f"{path}:{line}" if line else str(path)
        return RecordError(f"{where}: was changed after it was written (its digest is another)", self._remedy())

    def _remedy(self) -> str:
        if self.remade:
            return "run the recipe again, and what it held is made again"
        return "run again with --rl-fresh, which moves this run aside and makes it anew"

    def _unreadable(self, path: Path, error: OSError) -> RecordError:
        return RecordError(f"{path}: cannot be read ({error.strerror or error})", self._remedy())


@dataclass(frozen=True)
class JsonFile(_File[T]):
    """One JSON object. One that is ``derived`` is made again from what lies beside it: torn, it is missing."""

    derived: bool = False
    sealed: bool = False

    def read(self, folder: Path, *, hide: bool = False) -> T | None:
        """What the file holds, ``None`` where there is none; ``hide`` takes out secrets, in what others have written.

        Raises:
            RecordError: it cannot be read, or does not fit.
        """
        path = self.path(folder)
        try:
            raw = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._unreadable(path, error) from None
        if self.derived and not _is_json(raw):
            return None
        raw, whole = self._unsealed(raw)
        found = self._parsed(path, raw)
        if not whole:
            raise self._changed(path)
        if hide:
            tree = json.loads(raw)
            if (shown := redact_tree(tree)) != tree:
                return self._parsed(path, json.dumps(shown).encode())
        return found

    def fit(self, folder: Path) -> T | None:
        """The same of another run, which is of no use where it does not fit: that run's own tests and page say so."""
        try:
            return self.read(folder)
        except RecordError:
            return None

    def write(self, folder: Path, value: T, *, durable: bool = True) -> None:
        write_json(self.path(folder), value, durable=durable, seal=digest if self.sealed else None)

    def _unsealed(self, raw: bytes) -> tuple[bytes, bool]:
        """The file without its digest, and whether it is as it was written, as far as it says."""
        try:
            tree = json.loads(raw) if self.sealed else None
        except (ValueError, RecursionError):
            return raw, True  # what is wrong is said by its type
        if not isinstance(tree, dict):
            return raw, True
        if "digest" not in tree:  # it may be anyone's, unless it says what it is of
            return raw, not (self.sealed and (tree.get("records") or tree.get("policy")))
        said = tree.pop("digest")
        return _DIGEST_FIELD.sub(b"", raw, count=1), said == digest(tree)


class Line(NamedTuple):
    """A line of a sealed file: its object without the digests, and the parts of it that are as they were written,
    ``None`` where one is not."""

    content: bytes
    digest: str = ""
    first: bytes | None = None
    whole: bytes | None = None


@dataclass(frozen=True)
class JsonLines(_File[T]):
    """One JSON object a line. Where ``sealed`` names a key, each line has a digest of what stands before that key, and
    one of all of it."""

    sealed: str = ""

    def read(self, folder: Path, *, hide: bool = False) -> Iterator[T]:
        """Line by line, as in :meth:`JsonFile.read`."""
        for number, _, line in self.lines(folder):
            yield self.parse(folder, number, line, hide=hide)

    def lines(self, folder: Path, first: int = 1, start: int = 0) -> Iterator[tuple[int, int, bytes]]:
        """Number, place in bytes and bytes of each whole line, from line ``first`` on, which is at byte ``start``."""
        path = self.path(folder)
        try:
            with path.open("rb") as file:
                file.seek(start)
                for number, line in enumerate(file, first):
                    if line.endswith(b"\n"):
                        yield number, start, line
                    start += len(line)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise self._unreadable(path, error) from None

    def parse(self, folder: Path, number: int, line: bytes, *, hide: bool = False) -> T:
        """What one of :meth:`lines` holds."""
        path, changed = self.path(folder), False
        if self.sealed and b'"digest"' in line:
            line, _, _, whole = self.unsealed(line)
            changed = whole is None
        found = self._parsed(path, line, number)
        if changed:
            raise self._changed(path, number)
        if hide and redact_data(text := line.decode()) != text:
            return self._parsed(path, json.dumps(within_data(json.loads(line), redact_data)).encode(), number)
        return found

    def changed(self, folder: Path, number: int) -> RecordError:
        """What there is to say of a line that is not as it was written."""
        return self._changed(self.path(folder), number)

    def unsealed(self, line: bytes) -> Line:
        """What a line of a sealed file holds, and what of it is as it was written; its layout has no say."""
        head, _, tail = line.rpartition(_DIGEST.encode())
        content, said = head + b"}", tail.rstrip()[:-2]
        if said != (own := self._digests(content)):
            try:
                row = json.loads(line)
                said, content = row.pop("digest").encode(), json.dumps(row).encode()
            except (ValueError, RecursionError, KeyError, AttributeError, TypeError):
                return Line(line)
            own = self._digests(content)
        first = self._first_of(content) + b"}" if said[:_DIGITS] == own[:_DIGITS] else None
        return Line(content, own.decode(), first, content if said == own else None)

    def write(self, folder: Path, rows: Iterable[T]) -> None:
        """The whole file at once; the rows may come one by one, from the file itself too."""
        write_lines(self.path(folder), rows, self._seal)

    def writer(self, folder: Path) -> LineWriter:
        """Appends row by row."""
        return LineWriter(self.path(folder), self._seal)

    def _seal(self, line: str) -> str:
        return f'{line[:-1]}{_DIGEST}{self._digests(line.encode()).decode()}"}}' if self.sealed else line

    def _digests(self, content: bytes) -> bytes:
        at = len(self._first_of(content))
        first = blake2b(content[:at], digest_size=_DIGITS // 2)
        whole = first.copy()
        whole.update(content[at:])
        return f"{first.hexdigest()}{whole.hexdigest()}".encode()

    def _first_of(self, content: bytes) -> bytes:
        """What stands before the key; no text within the line can hold it, for there quotes are escaped."""
        return content[: content.find(f', "{self.sealed}": '.encode())]


def _is_json(raw: bytes) -> bool:
    from pydantic_core import from_json

    try:
        from_json(_without_halves(raw))
    except ValueError:
        return False
    return True


def _without_halves(raw: bytes) -> bytes:
    """JSON whose texts hold halves of surrogate pairs, which are no characters, with U+FFFD in their place."""
    if b"\\ud" not in raw:
        return raw
    try:
        return _HALF.sub("\ufffd", json.dumps(json.loads(raw.decode()), ensure_ascii=False)).encode()
    except (ValueError, RecursionError):
        return raw


def _said(path: Path, raw: bytes, line: int | None, error: ValueError) -> str:
    """The first thing that is wrong, in one sentence."""
    first = error.errors(include_url=False, include_context=False)[0] if _is_validation(error) else None
    what, keys = (str(error), ()) if first is None else (_wrong(first), first["loc"])
    named = [str(key) for key in keys]
    where = f"{path}:{line or _line_of(raw, named)}"
    field = f"{'.'.join(named)}: " if named else ""
    return f"{where}: {field}{what}"


def _is_validation(error: ValueError) -> TypeGuard[ValidationError]:
    from pydantic import ValidationError

    return isinstance(error, ValidationError)


def _wrong(first: Any) -> str:
    match first["type"]:
        case "json_invalid":
            return f"is no JSON ({first['msg'].removeprefix('Invalid JSON: ')})"
        case "missing":
            return "is missing"
        case "extra_forbidden" | "unexpected_keyword_argument":
            return "is no field of this file"
    text = first["msg"][:1].lower() + first["msg"][1:]
    return f"{text}, not {_KINDS.get(type(first['input']), 'a number')}" if " valid " in text else text


def _line_of(raw: bytes, keys: Iterable[str]) -> int:
    """The line of a key in a JSON object of several lines, as far as the keys on the way to it are found."""
    at = 0
    for key in keys:
        found = raw.find(json.dumps(key).encode() + b":", at)
        at = at if found < 0 else found
    return raw.count(b"\n", 0, at) + 1
