"""What of a folder of runs may go: checkpoints of finished trainings, replaced runs, and whole runs.

A run under way is never touched, nor one that a baseline was recorded from, nor anything that no run of ours makes.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from harness.store import audit, methods, run_files
from harness.store.files import JsonFile, JsonLines
from harness.store.records import SUMMARY
from harness.store.run_directory import all_locked, locked, place_aside, run_directories
from harness.store.run_files import ENVIRONMENT, TRAINED
from harness.store.siblings import distinct_names, name_of
from harness.store.stages import STAGES

Kind = Literal["replaced", "checkpoints", "run"]
KINDS: tuple[Kind, ...] = ("replaced", "checkpoints", "run")  # in the order in which they go
_REPLACED = re.compile(r".+-\d{8}-\d{6}-[0-9a-f]{8}")
_CHECKPOINT = re.compile(r"checkpoint-\d+|\.final-\d+")  # the second: weights that were torn, set aside
_FILES = (each for part in (run_files, audit, methods) for each in vars(part).values())
_OURS = {each.name for each in _FILES if isinstance(each, JsonFile | JsonLines)} | {*STAGES, "gate-check"}
_OURS |= {"recipe.toml", ".lock", ".locks"}
_OLD_ANSWERS = re.compile(rf"\.({'|'.join(STAGES)})-\d+")
_OF_TRAINING = {"final", "runs", "completions"}  # folders beside the checkpoints; the last two are loggers'


@dataclass(frozen=True, slots=True)
class Piece:
    """What may go: ``paths`` of a run (in whose ``directory`` they lie), when it was ``used`` last, and the bytes that
    the disk gains."""

    kind: Kind
    name: str
    directory: Path
    paths: tuple[Path, ...]
    used: float
    size: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """``pieces`` that may go, in that order, ``kept`` sentences on what stays though it was asked for, and the size of
    the folder."""

    pieces: tuple[Piece, ...]
    kept: tuple[str, ...]
    size: int


def find(runs_dir: Path, *, runs: bool = False, older_than: float | None = None, max_size: int | None = None) -> Found:
    """Checkpoints and replaced runs, with ``runs`` whole runs too: those that were not used for ``older_than`` seconds,
    and no more than bring the folder down to ``max_size`` bytes, what was used last being the last to go."""
    pieces, kept = [*_replaced(runs_dir)], []
    directories = run_directories(runs_dir)
    for directory, name in zip(directories, distinct_names(directories), strict=True):
        untouched = _why_untouched(directory)
        if why := untouched or (runs and _why_whole(directory)):
            kept.append(f"{name}: {why}")
        if runs and not why:
            pieces.append(Piece("run", name, directory, (directory,), _used(directory)))
        if not untouched:
            pieces += _checkpoints(directory, name)
    total, removed = sum(_sizes([runs_dir], Counter())), Counter[tuple[int, int]]()
    chosen: list[Piece] = []
    left, before = total, time.time() - (older_than or 0.0)
    for piece in sorted(pieces, key=lambda piece: (KINDS.index(piece.kind), piece.used)):
        if (max_size is not None and left <= max_size) or (older_than is not None and piece.used > before):
            continue
        size = sum(_sizes(piece.paths, removed))
        left -= size
        if piece.kind == "run":  # its checkpoints go with it
            size += sum(each.size for each in chosen if each.directory == piece.directory)
            chosen = [each for each in chosen if each.directory != piece.directory]
        chosen.append(replace(piece, size=size))
    return Found(tuple(chosen), tuple(kept), total)


def remove(piece: Piece, runs_dir: Path) -> bool:
    """Free a piece; false where somebody began to work there meanwhile."""
    if piece.kind == "replaced":
        shutil.rmtree(piece.directory)
        return True
    with locked(runs_dir / ".locks" / "names"), all_locked(piece.directory) as idle:
        if not idle:
            return False
        if piece.kind == "run":  # at once: what a kill leaves is a replaced run
            aside = place_aside(piece.directory)
            piece.directory.rename(aside)
        else:
            for path in piece.paths:
                shutil.rmtree(path)
    if piece.kind == "run":
        shutil.rmtree(aside)
    return True


def _replaced(runs_dir: Path) -> Iterator[Piece]:
    attic = runs_dir / ".replaced"
    for path in sorted(attic.iterdir()) if attic.is_dir() and not attic.is_symlink() else ():
        if _REPLACED.fullmatch(path.name) and not path.is_symlink() and (path / "identity.json").is_file():
            yield Piece("replaced", name_of(path), path, (path,), path.stat().st_mtime)


def _checkpoints(directory: Path, name: str) -> list[Piece]:
    train = directory / "train"
    if TRAINED.fit(train) is None or not (train / "final").is_dir() or train.is_symlink():
        return []  # a training that has not ended goes on from them
    found = sorted(path for path in train.iterdir() if _CHECKPOINT.fullmatch(path.name) and _is_folder(path))
    return [Piece("checkpoints", name, directory, tuple(found), _used(directory))] if found else []


def _why_untouched(directory: Path) -> str | None:
    if directory.is_symlink() or ENVIRONMENT.fit(directory) is None:
        return "is a link, or no run that can be read"
    with all_locked(directory) as idle:
        return None if idle else "somebody is at work there"


def _why_whole(directory: Path) -> str | None:
    """Why a run is not removed."""
    if SUMMARY.path(directory / "baseline").exists():
        return "a baseline was recorded from it"
    train = directory / "train"
    names = [entry.name for entry in directory.iterdir()]
    strange = [name for name in names if name not in _OURS and not _OLD_ANSWERS.fullmatch(name)]
    for entry in train.iterdir() if train.is_dir() else ():
        known = entry.name in _OF_TRAINING or _CHECKPOINT.fullmatch(entry.name) or entry.name.startswith(".")
        strange += [f"train/{entry.name}"] if entry.is_dir() and not known else []
    return f"it holds {', '.join(sorted(strange))}, which is not ours" if strange else None


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _used(directory: Path) -> float:
    """When a file of a run was written last; a session writes some each time that it opens the run."""
    return max((found.st_mtime for found in _files(directory)), default=0.0)


def _files(path: Path) -> Iterator[os.stat_result]:
    for folder, _, names in os.walk(path):
        for name in names:
            found = os.lstat(Path(folder, name))
            if stat.S_ISREG(found.st_mode):
                yield found


def _sizes(paths: Sequence[Path], removed: Counter[tuple[int, int]]) -> Iterator[int]:
    """Bytes on the disk of files whose last name is among those of ``paths`` and what was ``removed``: weights that
    several runs share are one file. Other names of it, elsewhere, keep it."""
    for path in paths:
        for found in _files(path):
            key = (found.st_dev, found.st_ino)
            removed[key] += 1
            if removed[key] == found.st_nlink:
                yield found.st_blocks * 512
