"""The files of a dataset on a Hub, by its id.

    [task]
    name = "openai/gsm8k"
    subset = "main"             # the folder of its files, where there are several
    revision = "main"           # a branch, a tag or a commit

Which file is of the split ``train`` or ``test`` is told as in a folder here (:func:`harness.tasks.tables.files_of`): by
its name, as in ``test.jsonl`` and ``main/train-00000-of-00001.parquet``, or by that of its folder. Where there is one
split alone, or no such names, its files serve both, as a single file does. ``[task] split`` says other names.
"""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path

from harness.store.errors import TaskError
from harness.store.hub import announced, damaged, names_of, snapshot
from harness.store.names import as_file, is_there
from harness.tasks.files import KINDS, NO_ROWS
from harness.tasks.tables import SPLITS, files_of, folders_of, with_rows


def is_dataset_id(name: str) -> bool:
    """Whether a task's name is that of a dataset on the Hub: it looks like one, and nothing here has that name."""
    looks = re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name) is not None and not name.lower().endswith(KINDS)
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
    wanted = {"all": split} if isinstance(split, str) else split or dict(zip(SPLITS, SPLITS, strict=True))

    def choose(names: Iterable[str]) -> dict[str, list[Path]]:
        within = with_rows(Path(each.removeprefix(at)) for each in names if each.startswith(at))
        if not within:
            where = f" in the folder {subset!r}" if subset else ""
            raise TaskError(f"{name}: has no file of {', '.join(KINDS)}{where} at revision {revision!r}")
        splits = files_of(within, wanted)
        if split is None and not all(splits.values()):
            splits = {"all": next(filter(None, splits.values()), within)}
        if missing := [wanted[own] for own, paths in splits.items() if not paths]:
            have = ", ".join(f"{at}{path.as_posix()}" for path in within[:8])
            raise TaskError(f"{name}: has no file of a split {missing[0]!r}; it has {have}")
        if several := folders_of(splits):
            own, folders = several
            named, one = "" if own == "all" else f" of {own}", f"{at}{folders[-1]}"
            there = ", ".join(f"{at}{each}" for each in folders)
            raise TaskError(f'{name}: has files{named} in {there}; name one under [task], as in subset = "{one}"')
        return splits

    if (listed := names_of(name, revision, kind="dataset")) is not None:
        choose(listed)  # before anything is fetched
    patterns = [f"{glob.escape(at)}*{suffix}" for suffix in KINDS]
    folder = snapshot(name, revision, TaskError, kind="dataset", patterns=patterns, skipped=NO_ROWS)
    found = choose(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    splits = {own: [folder / at / path for path in paths] for own, paths in found.items()}
    for path in chain.from_iterable(splits.values()):
        with path.open("rb") as file:
            if (said := announced(path)) and hashlib.file_digest(file, "sha256").hexdigest() != said:
                raise TaskError(damaged(name, path))
    return f"{name}@{folder.name}", splits
