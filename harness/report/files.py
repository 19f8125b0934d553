"""Files of a report: named so that any file system and URL takes them, and written so that nobody meets half of one."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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


def remove_stale(folder: Path, kept: Sequence[str]) -> None:
    """Remove the question pages of an earlier rendering that this one did not write again, and an empty folder."""
    if not folder.is_dir():
        return
    for page in folder.glob("questions-*.html"):
        if page.name not in kept and re.fullmatch(r"questions-\d+\.html", page.name):
            page.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


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
    from urllib.parse import quote

    return quote(Path(os.path.relpath(target, folder)).as_posix(), errors="replace")
