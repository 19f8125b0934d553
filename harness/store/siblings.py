"""Runs beside one another: what each is called, what tells it from the others, and which one a word means."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from harness.store.errors import HarnessError, nearest
from harness.store.files import RecordError
from harness.store.run_directory import run_directories
from harness.store.run_files import ENVIRONMENT, IDENTITY, NAME
from harness.store.secrets import redact_tree

# What people write for a key whose own last word is long, or says little by itself.
LABELS = {
    "train.learning_rate": "lr",
    "train.num_train_epochs": "epochs",
    "train.max_steps": "steps",
    "task.train_questions": "train",
    "task.test_questions": "test",
    "lora.r": "rank",
}
NOT_SET = "not set"
# Keys of a recipe that are no part of what a run is: its text, where it runs, and which other runs are asked for.
_APART = frozenset({"description", "requires", "seeds"})
_LONGEST = 80  # characters of a folder's name


@dataclass(frozen=True, slots=True)
class Difference:
    """A dotted ``key`` and its ``value`` in this run, as text; ``label`` is the key in short."""

    key: str
    label: str
    value: str

    def __str__(self) -> str:
        return f"{self.label}={self.value}"


def name_of(directory: Path) -> str:
    """What a person calls a run: its folder where no file that fits says more."""
    if named := NAME.fit(directory):
        return named.name
    environment = ENVIRONMENT.fit(directory)
    if environment is None:
        return directory.name
    return f"{environment.recipe} seed {environment.seed}" if environment.seed else environment.recipe


def distinct_names(runs: Sequence[Path]) -> list[str]:
    """What a person calls each of these runs, and behind it the folder where that does not follow from the name:
    several are called the same, or one was given another name later."""
    names = {path: name_of(path) for path in runs}
    times = Counter({path.resolve(): name for path, name in names.items()}.values())  # one run may stand there twice
    plain = {path for path, name in names.items() if times[name] == 1 and _folder_follows(name, path.name)}
    return [names[path] if path in plain else f"{names[path]} ({path.name})" for path in runs]


def _folder_follows(name: str, folder: str) -> bool:
    return re.fullmatch(rf"{re.escape(slug(name))}(-[0-9a-f]{{12,}})?", folder) is not None


def label(key: str) -> str:
    """A dotted key in short: ``lr`` for ``train.learning_rate``, ``model`` for ``model.name``."""
    *tables, last = key.split(".")
    return LABELS.get(key) or (tables[-1] if tables and last in ("name", "weight") else last)


def worded(value: Any) -> str:
    """A value of a recipe as one writes it on the command line: ``2e-6``, ``true``, ``[1, 2]``."""
    match value:
        case None:
            return NOT_SET
        case bool():
            return str(value).lower()
        case float():
            return re.sub(r"e([+-]?)0*(\d)", r"e\1\2", repr(value)).replace("e+", "e")
        case list() | tuple():
            return f"[{', '.join(map(worded, value))}]"
    text = str(value)
    return text[:8] if re.fullmatch("[0-9a-f]{16,}", text) else text  # a hash


def slug(name: str) -> str:
    """A name as that of a folder: ``units lr=2e-6`` is ``units-lr-2e-6``."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", name)[:_LONGEST].strip("-.") or "run"


def leaves(tables: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Nested tables as ``{"train.learning_rate": 1e-4}``; an empty table has no leaf."""
    found: dict[str, Any] = {}
    for key, value in tables.items():
        name = f"{path}.{key}" if path else key
        found |= leaves(value, name) if isinstance(value, Mapping) else {name: value}
    return found


def differences(runs: Sequence[Path], *, beyond_names: bool = True) -> list[tuple[Difference, ...]]:
    """What tells each run from the others of its recipe; ``beyond_names`` leaves out what its name says.

    First what the recipes say; where they say the same, what decided the results beside them (a library's version, a
    grader, the model's weights). A value that most of them share is not said.
    """
    heads = {path: _head(path) for path in runs}
    found: dict[Path, tuple[Difference, ...]] = {}
    for alike in _grouped({path: head.recipe for path, head in heads.items()}):
        told = _told({path: heads[path].keys for path in alike})
        own = {path: tuple(each for each in told[path] if str(each) not in heads[path].words) for path in alike}
        for same in _grouped({path: (*heads[path].words, own[path]) for path in alike}):
            beside = _told({path: heads[path].decided for path in same})
            for path in same:
                found[path] = (*told[path], *beside[path]) if not beyond_names else beside[path] or own[path]
    return [found[path] for path in runs]


def _grouped(keys: Mapping[Path, Any]) -> Iterable[list[Path]]:
    groups: dict[Any, list[Path]] = {}
    for path, key in keys.items():
        groups.setdefault(key, []).append(path)
    return groups.values()


def _told(heads: Mapping[Path, Mapping[str, Any]]) -> dict[Path, tuple[Difference, ...]]:
    """What differs, and what most of them share left out."""
    keys = [key for key in dict.fromkeys(chain.from_iterable(heads.values())) if key not in _APART]
    found: dict[Path, list[Difference]] = {path: [] for path in heads}
    for key in keys:
        values = {path: worded(head.get(key)) for path, head in heads.items()}
        (usual, times), *others = Counter(values.values()).most_common()
        for path, value in values.items():
            if others and (value != usual or 2 * times <= len(values)):
                found[path].append(Difference(key, label(key), value))
    return {path: tuple(each) for path, each in found.items()}


@dataclass(frozen=True, slots=True)
class _Head:
    """``words`` of a run's name, the ``keys`` of its recipe, and those of all that ``decided`` the result."""

    recipe: str
    words: list[str]
    keys: Mapping[str, Any]
    decided: Mapping[str, Any]


def _head(directory: Path) -> _Head:
    environment, identity = ENVIRONMENT.fit(directory), IDENTITY.fit(directory)
    recipe = environment.recipe if environment else directory.name
    decided = leaves({part: value for part, value in (identity or {}).items() if part != "key"})
    try:
        keys = recipe_leaves(directory)
    except RecordError:  # nothing can be said of it beside others; who asks for this run alone is told
        keys = {}
    return _Head(recipe, name_of(directory).split(" "), keys, decided)


def recipe_leaves(directory: Path) -> dict[str, Any]:
    """The keys of the recipe that a run was made by, without secrets; none where there is no such file.

    Raises:
        RecordError: the file cannot be read.
    """
    path = directory / "recipe.toml"
    try:
        return leaves(redact_tree(tomllib.loads(path.read_text(encoding="utf-8"))))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{path}: cannot be read ({error})", "run again, which writes it anew") from None


def toml_leaves(text: str) -> dict[str, Any]:
    """The keys of a recipe without secrets; none where it does not parse."""
    try:
        return leaves(redact_tree(tomllib.loads(text)))
    except (ValueError, RecursionError):
        return {}


def find_run(word: str, runs_dir: Path) -> Path:
    """The run that a word means: the path of its directory, its name, or the beginning of one that no other has.

    Raises:
        HarnessError: there is none, or there are several.
    """
    if not word.strip():
        raise HarnessError(f"{word!r} names no run; write a run's name, the beginning of one, or its directory")
    path = Path(word)
    if (path / "environment.json").is_file():
        return path
    names = {directory: (name_of(directory), directory.name) for directory in run_directories(runs_dir)}
    whole = [directory for directory in names if directory.name == word]  # no two have the same
    whole = whole or [directory for directory, called in names.items() if word in called]
    begun = [directory for directory, called in names.items() if any(each.startswith(word) for each in called)]
    if found := whole or begun:
        if len(found) > 1:
            several = ", ".join(directory.name for directory in found)
            raise HarnessError(f"{word} may be any of {several}; write more of the one that is meant")
        return found[0]
    if path.is_dir():
        raise HarnessError(f"{path}: not a run directory (it has no {ENVIRONMENT.name})")
    hint = f"; {nearest(word, [name for name, _ in names.values()])}" if names else ""
    raise HarnessError(f"{word}: no such run directory, and no run in {runs_dir} has that name{hint}")
