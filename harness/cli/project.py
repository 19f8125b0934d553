"""Where a project keeps what: pytest's settings, read without pytest, so that the command finds what pytest left."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import iniconfig

from harness.store.errors import HarnessError

# In pytest's order; of a folder the first that holds settings counts.
SETTINGS = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")


@dataclass(frozen=True)
class Project:
    """pytest's root directory, and its settings with the file that they are in, if there is one."""

    root: Path
    file: Path | None
    settings: Mapping[str, Any]

    def folder(self, key: str, default: str) -> Path:
        """The folder that an ini key names, or its default; both lie in the root directory.

        Raises:
            HarnessError: the key's value is no path.
        """
        given = self.settings.get(key) or default
        if not isinstance(given, str):
            raise HarnessError(f"{self.file}: {key} must be a folder in quotes, not {given!r}")
        return self.root / Path(given).expanduser()


def find_project(start: Path) -> Project:
    """The project that a folder lies in, found as pytest finds its root directory when it is called there.

    Raises:
        HarnessError: a file on the way cannot be read.
    """
    start = start.absolute()
    bare = None  # a pyproject.toml without settings of pytest's
    for folder in (start, *start.parents):
        if found := settings_in(folder):
            return found
        if bare is None and (folder / "pyproject.toml").is_file():
            bare = folder
    setup = (folder for folder in (start, *start.parents) if (folder / "setup.py").is_file())
    return Project(bare or next(setup, start), None, {})


def settings_in(folder: Path) -> Project | None:
    """What a folder's own files set of pytest; ``None`` where none of them does.

    Raises:
        HarnessError: one of them cannot be read.
    """
    for file in (folder / name for name in SETTINGS):
        if file.is_file() and (settings := _read(file)) is not None:
            return Project(folder, file, settings)
    return None


def _read(file: Path) -> Mapping[str, Any] | None:
    try:
        if file.suffix == ".toml":
            tables = tomllib.loads(file.read_text(encoding="utf-8"))
            if file.name != "pyproject.toml":
                return dict(tables.get("pytest", {}))
            table = dict(tables.get("tool", {}).get("pytest", {}))
            as_ini = table.pop("ini_options", None)
            return table or as_ini
        sections = iniconfig.IniConfig(str(file))
    except (OSError, ValueError, AttributeError, iniconfig.ParseError) as error:
        raise HarnessError(f"{file}: cannot be read: {error}") from None
    name = "tool:pytest" if file.suffix == ".cfg" else "pytest"
    if name in sections:
        return dict(sections[name].items())
    return {} if file.name.endswith("pytest.ini") else None


def near(path: Path) -> Path:
    """A path as a person would write it here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else Path(os.path.relpath(path))
