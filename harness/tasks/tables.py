"""Where the rows of ``[task] name`` are: a file, a folder with files of each split, a folder that ``datasets`` saved,
or a dataset on the Hub (:mod:`harness.tasks.hub`). ``datasets`` is imported for what it saved alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.store.errors import TaskError
from harness.store.names import is_there
from harness.tasks.files import KINDS, NO_ROWS, Placed, arrow_rows, read_rows

Table = Callable[[], Iterator[Placed]]
"""The rows of one split with their places, from the first on whenever it is called."""

SPLITS = ("train", "test")
_ROWS = 1000  # that are read at once
_SAY = '; [task] split = { train = "...", test = "..." } names others, and split = "..." one for both'


def tables(path: Path, split: str | Mapping[str, str] | None) -> Mapping[str, Table]:
    """The splits ``"train"`` and ``"test"`` of a file or folder; ``"all"`` alone where one table serves both. ``split``
    says what they are called there, or the one that is meant.

    Raises:
        TaskError: there is nothing of this name, or no such split.
    """
    if not is_there(path):
        raise TaskError(
            f"{path}: no such file or folder; [task] name is 'arithmetic', 'gsm8k', a JSONL, JSON, CSV or parquet "
            "file, a folder with train.jsonl and test.jsonl, or the id of a dataset on the Hub"
        )
    if path.is_file():
        _check_one(path, split)
        return {"all": rows_of([path])}
    if not path.is_dir():
        raise TaskError(f"{path}: is neither a file nor a folder")
    wanted = {"all": split} if isinstance(split, str) else split or dict(zip(SPLITS, SPLITS, strict=True))
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        return _saved(path, wanted, split)
    return _folder(path, wanted)


def rows_of(files: Sequence[Path]) -> Table:
    """The rows of several files, one after the other."""

    def rows() -> Iterator[Placed]:
        for path in files:
            yield from read_rows(path)

    return rows


def _folder(folder: Path, wanted: Mapping[str, str]) -> Mapping[str, Table]:
    there: list[Path] = []
    found: Mapping[str, Sequence[Path]] = {}
    for depth in ("*",), ("*", "*/*", "*/*/*"):  # a copy of a dataset on the Hub has folders; "/" has many
        paths = (path for each in depth for path in folder.glob(each) if path.is_file())
        there = with_rows(path.relative_to(folder) for path in paths)
        found = files_of(there, wanted)
        if all(found.values()):
            break
    if missing := [wanted[own] for own, paths in found.items() if not paths]:
        names = ", ".join(path.as_posix() for path in there[:8])
        have = f"it has {names}" if names else "it has no JSONL, JSON, CSV or parquet file at all"
        raise TaskError(f"{folder}: has no {missing[0]}.jsonl, nor .json, .csv or .parquet; {have}{_SAY}")
    if several := folders_of(found):
        own, folders = several
        one = folder / folders[-1]
        raise TaskError(f"{folder}: has files of {wanted[own]} in {', '.join(folders)}; name one, as in {str(one)!r}")
    if lacking := _shard_missing(path for paths in found.values() for path in paths):
        raise TaskError(f"{folder}: {lacking} is not there: the table is not whole; fetch it again")
    return {own: rows_of([folder / path for path in paths]) for own, paths in found.items()}


def _shard_missing(paths: Iterable[Path]) -> str | None:
    """The first file that others count with, ``train-00001-of-00003.parquet``, and that is not among them."""
    there = {path.as_posix() for path in paths}
    for path in sorted(there):
        if shard := re.fullmatch(r"(.*-)(\d+)-of-(\d+)(\.\w+)", path):
            before, number, of, suffix = shard.groups()
            every = (f"{before}{n:0{len(number)}}-of-{of}{suffix}" for n in range(min(int(of), len(there) + 1)))
            if lacking := next((each for each in every if each not in there), None):
                return lacking
    return None


def _check_one(path: Path, split: str | Mapping[str, str] | None) -> None:
    if split is not None:
        raise not_read("split", f"{path} is one table, which serves both; drop this key")


def not_read(key: str, sentence: str) -> TaskError:
    """The error of a key of ``[task]`` that would change nothing."""
    error = TaskError(sentence)
    error.key = ("task", key)
    return error


def _saved(path: Path, wanted: Mapping[str, str], split: str | Mapping[str, str] | None) -> Mapping[str, Table]:
    from datasets import Dataset, load_from_disk

    try:
        found = load_from_disk(str(path))
    except (OSError, ValueError, KeyError, TypeError) as error:
        said = ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])
        raise TaskError(f"{path}: cannot be read as what datasets saved ({said})") from None
    if isinstance(found, Dataset):
        _check_one(path, split)
        return {"all": _loaded(found, str(path))}
    if missing := [theirs for theirs in wanted.values() if theirs not in found]:
        raise TaskError(f"{path}: has no split {missing[0]!r}; it has {', '.join(found)}{_SAY}")
    return {own: _loaded(found[theirs], f"{path} {theirs}") for own, theirs in wanted.items()}


def _loaded(dataset: Any, name: str) -> Table:
    """The rows of a ``datasets.Dataset``, which lie on the disk."""
    return lambda: arrow_rows(dataset.with_format("arrow").iter(_ROWS), name)


# Which files are of which split, here and on the Hub

_KNOWN = ("train", "test", "validation", "valid", "val", "dev")  # that the name of a file may tell


def with_rows(paths: Iterable[Path]) -> list[Path]:
    """The files of a dataset that hold rows, the second before the tenth."""
    there = (path for path in paths if path.suffix.lower() in KINDS and path.name not in NO_ROWS)
    return sorted(there, key=lambda path: [int(part) if n % 2 else part for n, part in enumerate(_parts(path))])


def _parts(path: Path) -> list[str]:
    return re.split(r"([0-9]+)", path.as_posix())


def files_of(paths: Sequence[Path], wanted: Mapping[str, str]) -> dict[str, list[Path]]:
    """Of files with rows, by their paths within a dataset, those of each split that is ``wanted``: at the top, or else
    anywhere. They are the file of this name, or else its shards, or else those with the split as a word in their
    names; or else, of the files whose names tell no split, those in a folder whose name does."""
    splits: dict[str, list[Path]] = {}
    for found in [path for path in paths if len(path.parts) == 1], paths:
        silent = [path for path in found if not any(_is_in(path.name, each) for each in (*_KNOWN, *wanted.values()))]
        splits = {own: _of_split(found, silent, theirs.lower()) for own, theirs in wanted.items()}
        if all(splits.values()):
            break
    return splits


def _of_split(paths: Sequence[Path], silent: Sequence[Path], split: str) -> list[Path]:
    shard = re.compile(rf"{re.escape(split)}-\d+(?:-of-\d+)?")
    named = [path for path in paths if path.stem.lower() == split]
    kind = min((KINDS.index(path.suffix.lower()) for path in named), default=0)  # of one table in several kinds
    return (
        [path for path in named if path.suffix.lower() == KINDS[kind]]
        or [path for path in paths if shard.fullmatch(path.stem.lower())]
        or [path for path in paths if _is_in(path.name, split)]
        or [path for path in silent if _is_in(path.parent.as_posix(), split)]
    )


def _is_in(name: str, split: str) -> bool:
    """Whether a split stands as a word in a name."""
    return re.search(rf"(?<![a-z0-9]){re.escape(split.lower())}(?![a-z0-9])", name.lower()) is not None


def folders_of(splits: Mapping[str, Sequence[Path]]) -> tuple[str, list[str]] | None:
    """The first split whose files lie in several folders, and these."""
    for own, paths in splits.items():
        if len(folders := sorted({path.parent.as_posix() for path in paths})) > 1:
            return own, folders
    return None
