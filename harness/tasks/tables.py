"""Where the rows of ``[task] name`` are: a file, a folder with files of each split, a folder that ``datasets`` saved,
or a dataset on the Hub (:mod:`harness.tasks.hub`). ``datasets`` is imported for what it saved alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.store.errors import TaskError
from harness.store.names import is_there
from harness.tasks.files import KINDS, Placed, arrow_rows, read_rows

Table = Callable[[], Iterator[Placed]]
"""The rows of one split with their places, from the first on whenever it is called."""

SPLITS = ("train", "test")
_ROWS = 1000  # that are read at once


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
        return {"all": rows_of([path])}
    wanted = {"all": split} if isinstance(split, str) else split or dict(zip(SPLITS, SPLITS, strict=True))
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        return _saved(path, wanted)
    return {own: _files(path, theirs) for own, theirs in wanted.items()}


def rows_of(files: Sequence[Path]) -> Table:
    """The rows of several files, one after the other."""

    def rows() -> Iterator[Placed]:
        for path in files:
            yield from read_rows(path)

    return rows


def _files(folder: Path, split: str) -> Table:
    """The file of a split, or its shards (``train-00000-of-00002.parquet``), in their order."""
    whole = [path for kind in KINDS if (path := folder / f"{split}{kind}").is_file()]
    shard = re.compile(rf"{re.escape(split)}-\d+(?:-of-\d+)?")
    shards = sorted(each for each in folder.iterdir() if each.suffix in KINDS and shard.fullmatch(each.stem))
    if not (whole or shards):
        there = sorted(each.name for each in folder.iterdir() if each.suffix in KINDS)
        have = f"it has {', '.join(there[:8])}" if there else "it has no JSONL, JSON, CSV or parquet file at all"
        raise TaskError(f"{folder}: has no {split}.jsonl, nor .json, .csv or .parquet; {have}{_SAY}")
    return rows_of(whole[:1] or shards)


_SAY = '; [task] split = { train = "...", test = "..." } names others, and split = "..." one for both'


def _saved(path: Path, wanted: Mapping[str, str]) -> Mapping[str, Table]:
    from datasets import Dataset, load_from_disk

    try:
        found = load_from_disk(str(path))
    except (OSError, ValueError, KeyError, TypeError) as error:
        said = ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])
        raise TaskError(f"{path}: cannot be read as what datasets saved ({said})") from None
    if isinstance(found, Dataset):
        return {"all": _loaded(found, str(path))}
    if missing := [theirs for theirs in wanted.values() if theirs not in found]:
        raise TaskError(f"{path}: has no split {missing[0]!r}; it has {', '.join(found)}{_SAY}")
    return {own: _loaded(found[theirs], f"{path} {theirs}") for own, theirs in wanted.items()}


def _loaded(dataset: Any, name: str) -> Table:
    """The rows of a ``datasets.Dataset``, which lie on the disk."""
    return lambda: arrow_rows(dataset.with_format("arrow").iter(_ROWS), name)
