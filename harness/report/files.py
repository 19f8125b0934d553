"""Files of a report: named so that any file system and URL takes them, written so that nobody meets half of one, and
left alone where they show what their run directory holds.

A page ends in a comment with a hash of all that it was drawn from: every file of the run directory that a page may
show, the code of this room and of the store, the libraries that draw, and what the session says of the run. Whatever
changes, the hash does.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import platform
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from harness.report import TEMPLATES
from harness.store.stages import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHOWN = (".json", ".jsonl", ".toml", ".txt")
_MARK = "<!-- drawn from {} -->\n"
_LONGEST = 120
_RESERVED = frozenset({"index", "con", "prn", "aux", "nul"})


def write(path: Path, text: str) -> None:
    """Write a page under another name, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        unfinished.write_bytes(text.encode("utf-8", "replace"))
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def stems(names: Iterable[str]) -> list[str]:
    """A file name for each run directory's name: letters, digits, ``.``, ``_`` and ``-``, distinct even where case is
    not told apart.

    >>> stems(["tiny-0-ab", "a b/<c>", "A B/<C>"])
    ['tiny-0-ab', 'a-b-c', 'A-B-C-2']
    """
    taken: set[str] = set(_RESERVED)
    found = []
    for name in names:
        base = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:_LONGEST].strip(".-") or "run"
        stem, number = base, 1
        while stem.lower() in taken:
            number += 1
            stem = f"{base}-{number}"
        taken.add(stem.lower())
        found.append(stem)
    return found


def relative(target: Path, folder: Path) -> str | None:
    """A relative URL path from a page in ``folder``; ``None`` where they have only the root of the file system in
    common, since the path would then tell how somebody's machine is laid out."""
    target, folder = target.resolve(), folder.resolve()
    try:
        common = Path(os.path.commonpath([target, folder]))
    except ValueError:  # two drives
        return None
    if common == common.parent:
        return None
    return quote(Path(os.path.relpath(target, folder)).as_posix(), errors="replace")


def stamp_of(run: Path, *told: Any) -> str:
    """The end of a page of this run directory; ``told`` is what decides the page beside it, as plain values."""
    digest = hashlib.sha256(f"{_drawn_by()}\0{told!r}".encode())
    for folder in (run, *(run / stage for stage in STAGES)):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.suffix in _SHOWN and not path.name.startswith(".") and path.is_file():
                _add(digest, str(path.relative_to(run)), path)
    return _MARK.format(digest.hexdigest())


def is_drawn(page: Path, stamp: str) -> bool:
    """Whether a page ends in this stamp."""
    end = stamp.encode()
    try:
        with page.open("rb") as file:
            file.seek(-len(end), 2)
            return file.read() == end
    except OSError:
        return False


@functools.cache
def _drawn_by() -> str:
    digest = hashlib.sha256()
    package = Path(__file__).parents[1]
    code = (path for room in ("report", "store") for path in (package / room).glob("*.py"))
    for path in sorted((*code, *TEMPLATES.rglob("*"))):
        if path.is_file():
            _add(digest, path.name, path)
    libraries = (importlib.metadata.version(name) for name in ("jinja2", "markupsafe"))
    return " ".join([digest.hexdigest(), platform.python_version(), *libraries])


def _add(digest: hashlib._Hash, name: str, path: Path) -> None:
    try:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:  # the page says so
        content = f"unreadable {error.errno}"
    digest.update(f"{name}\0{content}\0".encode("utf-8", "surrogateescape"))
