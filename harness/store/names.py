"""File names and command lines are bytes. Under a locale that knows ASCII alone Python gives them as lone surrogates,
while what is read from a file is text: one must not be taken for the other."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def as_text(name: str) -> str:
    """A file's name, or a word of the command line, as the text that a recipe would hold."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def as_path(text: str) -> str:
    """The text of a recipe as the name of a file, as this locale has it."""
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


def as_file(name: str) -> Path:
    """The path that a name is, from the home folder where it begins with that of a user."""
    with suppress(RuntimeError):  # ~nobody
        return Path(name).expanduser()
    return Path(name)


def is_there(path: Path) -> bool:
    """Whether a file or folder exists; a name that the system does not take (too long, a NUL) names none."""
    with suppress(OSError, ValueError):
        return path.exists()
    return False
