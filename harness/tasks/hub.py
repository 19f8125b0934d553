"""The files of a dataset on a Hub, by its id.

    [task]
    name = "openai/gsm8k"
    subset = "main"             # the folder of its files, where there are several
    revision = "main"           # a branch, a tag or a commit

A file belongs to the split ``train`` or ``test`` whose name stands in its path, as in ``test.jsonl`` and in
``main/train-00000-of-00001.parquet``. Where there is one split alone, or no such names, its files serve both, as a
single file does. ``[task] split`` says other names.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from harness.store.errors import TaskError
from harness.store.hub import announced, damaged, snapshot
from harness.store.names import as_file, is_there

SUFFIXES = (".parquet", ".jsonl", ".csv")


def is_dataset_id(name: str) -> bool:
    """Whether a task's name is that of a dataset on the Hub: it looks like one, and nothing here has that name."""
    looks = re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name) is not None and not name.lower().endswith(SUFFIXES)
    return looks and not is_there(as_file(name))


def dataset_files(
    name: str, revision: str, subset: str | None, split: str | Mapping[str, str] | None
) -> tuple[str, dict[str, list[Path]]]:
    """The commit, as ``"organisation/name@commit"``, and the files of ``train`` and ``test``, or of ``all``; ``split``
    names the splits that these are there, or the one that serves both.

    Raises:
        TaskError: they cannot be had, are not what the Hub announced, or it is not clear which are meant.
    """
    at = f"{subset.strip('/')}/" if subset else ""
    patterns = [f"{at}*{suffix}" for suffix in SUFFIXES]
    folder = snapshot(name, revision, TaskError, kind="dataset", patterns=patterns)
    there = sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES)
    found = [path for path in there if path.relative_to(folder).as_posix().startswith(at)]
    if not found:
        where = f" in the folder {subset!r}" if subset else ""
        raise TaskError(f"{name}: has no file of {', '.join(SUFFIXES)}{where} at revision {revision!r}")
    wanted = {"all": split} if isinstance(split, str) else split or {"train": "train", "test": "test"}
    splits = {
        own: [path for path in found if _is_of(path.relative_to(folder), theirs)] for own, theirs in wanted.items()
    }
    if split is None and not all(splits.values()):
        splits = {"all": next(filter(None, splits.values()), found)}
    if missing := [wanted[own] for own, paths in splits.items() if not paths]:
        have = ", ".join(path.relative_to(folder).as_posix() for path in found[:8])
        raise TaskError(f"{name}: has no file of a split {missing[0]!r}; it has {have}")
    for own, files in splits.items():
        subsets = sorted({str(path.parent.relative_to(folder)) for path in files})
        if len(subsets) > 1:
            named = "" if own == "all" else f" of {own}"
            several, one = ", ".join(subsets), subsets[-1]
            raise TaskError(f'{name}: has files{named} in {several}; name one under [task], as in subset = "{one}"')
    for path in found:
        with path.open("rb") as file:
            if (said := announced(path)) and hashlib.file_digest(file, "sha256").hexdigest() != said:
                raise TaskError(damaged(name, path))
    return f"{name}@{folder.name}", splits


def _is_of(path: Path, split: str) -> bool:
    return re.search(rf"(?:^|[^a-z0-9]){split}(?:[^a-z0-9]|$)", path.as_posix().lower()) is not None
