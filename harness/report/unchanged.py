"""Whether a run's page shows what its directory holds now: then it need not be drawn again.

A page ends in a comment with a hash of all that it was drawn from: every file of the run directory that a page may
show, the code of this room and of the store, the libraries that draw, and what the session says of the run. Whatever
changes, the hash does.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.report import TEMPLATES
from harness.store.stages import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHOWN = (".json", ".jsonl", ".toml", ".txt")
_MARK = "<!-- drawn from {} -->\n"


def stamp_of(run: Path, *told: Any) -> str:
    """The end of a page of this run directory; ``told`` is what decides the page beside it, as plain values."""
    digest = hashlib.sha256(f"{_drawn_by()}\0{told!r}".encode())
    for folder in (run, *(run / stage for stage in STAGES)):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.suffix in _SHOWN and not path.name.startswith(".") and path.is_file():
                _add(digest, str(path.relative_to(run)), path)
    return _MARK.format(digest.hexdigest())


def is_drawn(page: Path, stamp: str, others: Iterable[Path]) -> bool:
    """Whether a page ends in this stamp, and the pages that belong to it are there. They are written before it."""
    end = stamp.encode()
    try:
        with page.open("rb") as file:
            file.seek(-len(end), 2)
            same = file.read() == end
    except OSError:
        return False
    return same and all(other.is_file() for other in others)


@functools.cache
def _drawn_by() -> str:
    digest = hashlib.sha256()
    package = Path(__file__).parents[1]
    code = (path for room in ("report", "store") for path in (package / room).glob("*.py"))
    for path in sorted((*code, *TEMPLATES.iterdir())):
        if path.is_file():
            _add(digest, path.name, path)
    libraries = (importlib.metadata.version(name) for name in ("jinja2", "markupsafe", "matplotlib", "numpy"))
    return " ".join([digest.hexdigest(), platform.python_version(), *libraries])


def _add(digest: hashlib._Hash, name: str, path: Path) -> None:
    try:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:  # the page says so
        content = f"unreadable {error.errno}"
    digest.update(f"{name}\0{content}\0".encode("utf-8", "surrogateescape"))
