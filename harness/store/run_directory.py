"""The run directory: content-addressed, append-only, resumable.

    <runs-dir>/<name>/

``identity.json`` in it holds everything that decides the result and the hash of that (``key``), so the same inputs find
the same directory and what lies there is not made again. The name is for people; where another run has it, the first
hex digits of the key stand behind it. JSON lines are appended and flushed; a torn line is dropped
and its work redone. Every other file is written to a temporary name and renamed. One lock file lets many processes
share a directory: the first makes a stage, the others wait and read it. No writer here writes a secret
(:mod:`harness.store.redact`).
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from harness.store.errors import HarnessError, WriteError
from harness.store.redact import clean_line, clean_tree, escaped_toml, safe_text

WAIT_IN_SILENCE_SECONDS = 1.0
PRIVATE = 0o600  # the mode of a file that holds a secret
_OF_A_RUN = ("identity.json", "environment.json")  # either has the key


def digest(value: Any) -> str:
    """sha256 (hex) of a JSON value in canonical form."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def as_json(value: Any) -> Any:
    """A JSON value with what JSON cannot hold made plain: NaN and infinities are null, a dataclass is its fields that
    have not their defaults, other objects their text."""
    if is_dataclass(value) and not isinstance(value, type):
        return {
            name: as_json(own) for name, default in _defaults(type(value)) if (own := getattr(value, name)) != default
        }
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (str, int, bool)) else str(value)


@cache
def _defaults(of: type) -> list[tuple[str, Any]]:
    """The fields of a dataclass with their defaults; one without any has ``MISSING``, which equals no value."""
    return [
        (each.name, each.default if each.default_factory is MISSING else each.default_factory()) for each in fields(of)
    ]


def write_text(path: Path, text: str) -> None:
    """Write a text for people, whole or not at all (temporary name, then rename)."""
    _write(path, (safe_text(text),))


def write_toml(path: Path, text: str) -> None:
    """Write TOML that tomli_w made of tables without secrets; its keys are read again, and stay as they are."""
    _write(path, (escaped_toml(text),))


def write_private(path: Path, value: Any) -> None:
    """Write JSON as it is, for a process of ours to read: nobody else may, and whoever wrote it takes it away."""
    _write(path, (json.dumps(as_json(value), indent=2) + "\n",), mode=PRIVATE)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Says in a sentence why ``path`` cannot be written.

    Raises:
        WriteError: so it is.
    """
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "make room there, and the same command goes on" if full else "choose another folder, or mend that one"
        raise WriteError(f"{path}: cannot be written ({error.strerror or error}); {remedy}") from None


def _write(path: Path, parts: Iterable[str], *, durable: bool = True, mode: int | None = None) -> None:
    temporary = path.with_name(f".{uuid.uuid4().hex}")  # not tempfile's, which no one else may read
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("x", encoding="utf-8", errors="surrogateescape") as file:
                if mode is not None:
                    temporary.chmod(mode)
                file.writelines(parts)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise


def write_json(
    path: Path, value: Any, *, durable: bool = True, seal: Callable[[dict[str, Any]], str] | None = None
) -> None:
    """``durable`` as in :func:`write_text`; what ``seal`` makes of the object stands in it as ``digest``."""
    tree = clean_tree(as_json(value))
    sealed = {**tree, "digest": seal(tree)} if seal else tree
    _write(path, (json.dumps(sealed, indent=2) + "\n",), durable=durable)


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file, or ``None`` where the file is missing or torn: then its stage is done again."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def write_lines(path: Path, rows: Iterable[Any], seal: Callable[[str], str] = str) -> None:
    """Write a whole JSONL file at once; the rows may come one by one, from the file itself too. ``seal`` has the last
    word on each line."""
    _write(path, (_line(row, seal) for row in rows))


def count_lines(path: Path) -> int:
    """Line ends in a file; 0 where there is none."""
    try:
        with path.open("rb") as file:
            return sum(part.count(b"\n") for part in iter(lambda: file.read(1 << 20), b""))
    except OSError:
        return 0


class LineWriter:
    """Appends JSON lines and flushes each, so that a kill loses at most the line being written.

    Opening it cuts off the line without an end that an earlier kill left, since an append after it would spoil both.
    Closing it puts the lines on the disk itself: what is written next may say that they are there.
    """

    def __init__(self, path: Path, seal: Callable[[str], str] = str) -> None:
        self._path, self._seal = path, seal
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _cut_torn(path)
            self._file = path.open("a", encoding="utf-8")

    def append(self, row: Any) -> None:
        line = _line(row, self._seal)
        with writing(self._path):
            self._file.write(line)
            self._file.flush()

    def close(self) -> None:
        with writing(self._path):
            try:
                if not self._file.closed:
                    os.fsync(self._file.fileno())
            finally:
                self._file.close()

    def __enter__(self) -> LineWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _cut_torn(path: Path) -> None:
    """Cut a file off behind its last line end."""
    try:
        with path.open("r+b") as file:
            end = size = file.seek(0, os.SEEK_END)
            while end > 0:
                start = max(0, end - (1 << 16))
                file.seek(start)
                if (last := file.read(end - start).rfind(b"\n")) >= 0:
                    end = start + last + 1
                    break
                end = start
            if end < size:
                file.truncate(end)
    except FileNotFoundError:
        pass


def _line(row: Any, seal: Callable[[str], str]) -> str:
    return seal(clean_line(as_json(row))) + "\n"


@contextmanager
def locked(directory: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold a run directory's lock; it is released by the system when the holder dies. ``waiting`` is called once
    where another process has held it for a second."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = FileLock(directory / ".lock")
        try:
            lock.acquire(timeout=WAIT_IN_SILENCE_SECONDS)
        except Timeout:
            waiting()
            lock.acquire()
    except OSError as error:
        raise HarnessError(f"{directory}: cannot be locked ({error}); choose another with --rl-runs-dir") from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def all_locked(directory: Path, *, but: Path | None = None) -> Iterator[bool]:
    """Hold every lock of a run and of its stages, ``but`` one; false where somebody is at work in one of them."""
    with ExitStack() as held:
        try:
            for path in sorted(chain.from_iterable(directory.glob(f"{deep}.lock") for deep in ("", "*/", "*/*/"))):
                if path != but:
                    held.enter_context(FileLock(path).acquire(timeout=0))
        except Timeout:
            held.close()
            yield False
        else:
            yield True


def set_aside(directory: Path) -> None:
    """Move what a run directory holds into ``.replaced`` beside it: nothing of a user's is deleted.

    Raises:
        HarnessError: another process is at work there.
    """
    with all_locked(directory, but=directory / ".lock") as idle:
        if not idle:
            raise HarnessError(f"{directory}: another process is at work there; wait for it to end")
        attic = place_aside(directory)
        attic.mkdir()
        for entry in directory.iterdir():
            if entry.name != ".lock":
                entry.rename(attic / entry.name)


def place_aside(directory: Path) -> Path:
    """Where a run that is replaced goes: beside it, in a folder that is there."""
    name = f"{directory.name}-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:8]}"
    (directory.parent / ".replaced").mkdir(exist_ok=True)
    return directory.parent / ".replaced" / name


def own_folder(folder: Path) -> None:
    """Make a folder of ours, with a ``.gitignore`` so that nobody commits what is in it. One that is there is left as
    it is; where none can be made, whoever writes there says so."""
    with suppress(OSError):
        folder.mkdir(parents=True)
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")


def place_of(runs_dir: Path, stem: str, key: str) -> Path:
    """The run directory with this key, or else where it is to be made: named ``stem``, unless that is taken.

    Whoever makes one there holds a lock until its ``identity.json`` says the key.
    """
    likely = [runs_dir / name for name in (stem, f"{stem}-{key[:12]}", f"{stem}-{key}")]
    made = (path for path in chain(likely, run_directories(runs_dir)) if _key_of(path) == key)
    return next(made, None) or next(path for path in likely if _is_free(path) or path == likely[-1])


def _key_of(directory: Path) -> str | None:
    """By ``identity.json``, or where that was lost, by ``environment.json``."""
    return next((each["key"] for name in _OF_A_RUN if (each := read_json(directory / name)) and "key" in each), None)


def _is_free(path: Path) -> bool:
    """Nothing is there, or what was has been set aside."""
    return not os.path.lexists(path) or (path.is_dir() and all(entry.name == ".lock" for entry in path.iterdir()))


def run_directories(runs_dir: Path) -> list[Path]:
    """Every run directory, oldest first."""
    found: dict[Path, float] = {}
    for path in chain.from_iterable(runs_dir.glob(f"*/{name}") for name in _OF_A_RUN):
        with suppress(FileNotFoundError):  # it was moved away meanwhile, see set_aside
            found.setdefault(path.parent, path.stat().st_mtime)
    return sorted(found, key=found.__getitem__)
