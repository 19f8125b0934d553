"""From the arguments of a call to a recipe and its settings; questions and functions that live in memory get names.

    recipe_of(None, {"model": "tiny", "task": [{"question": "2 + 3?", "answer": "5"}, ...]}, {}, None)

Questions are written to a file under the runs directory, named by their content: whatever reads a recipe finds them
there, and the same questions are the same run.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.notebook.progress import Progress
from harness.pipeline.settings import Settings
from harness.recipe import Recipe
from harness.recipe.catalog import find_recipe
from harness.recipe.trl_arguments import CONFIGS, argument_defaults
from harness.rewards.cells import is_of_cell
from harness.rewards.registry import reward_name
from harness.store.errors import HarnessError, RecipeError, TaskError, nearest
from harness.store.names import as_file, as_text, is_there
from harness.store.run_directory import digest, own_folder
from harness.store.siblings import slug
from harness.tasks import TaskSection
from harness.tasks.files import KINDS
from harness.tasks.load import count_texts

Rows = Iterable[Mapping[str, Any]]
Task = str | Path | Rows | Mapping[str, Any]
Model = str | Path | Mapping[str, Any]
Reward = str | Callable[..., Any]
RewardsGiven = Reward | Iterable[Reward] | Mapping[Any, Any]

_SUFFIX = re.compile(rf"(?:{'|'.join(map(re.escape, (*KINDS, '.gguf')))})$")
_SPLITS = ("train", "test")
# Training and test questions of tasks that have more than anyone asks, as the shipped recipes have it.
_COUNTS = {"arithmetic": (320, 400), "gsm8k": (100, 200)}


def recipe_of(
    recipe: str | Path | Recipe | None,
    given: Mapping[str, Any],
    settings: Mapping[str, Any],
    limit: int | None,
    *,
    trains: bool = True,
) -> Recipe:
    """The recipe that the arguments mean: ``recipe`` with the tables of ``given`` in it, or one made of these alone.

    Raises:
        RecipeError: as a recipe's file would; also where there is neither a recipe nor a model and a task.
        TaskError: questions that are no rows.
        RewardError: a function that no result could be matched to.
    """
    tables = {name: value for name, value in given.items() if value is not None}
    runs_dir = Path(settings.get("runs_dir", Settings.runs_dir))
    if recipe is None and (missing := [name for name in ("model", "task") if name not in tables]):
        raise RecipeError(
            f'{" and ".join(missing)} missing; name a recipe, as in run("tiny-arithmetic"), or give '
            'model and task, as in run(model="tiny", task="arithmetic")'
        )
    if "model" in tables:
        tables["model"] = _named("model", tables["model"])
    if "task" in tables:
        tables["task"] = _task(tables["task"], runs_dir, trains=trains, counts=recipe is None)
    if "rewards" in tables:
        tables["rewards"] = _rewards(tables["rewards"])
    for name, table in tables.items():
        if not isinstance(table, Mapping):
            raise RecipeError(f"{name}: must be a dict of the keys of [{name}], not a {type(table).__name__}")
    if recipe is None:
        words = (as_text(Path(str(tables[each].get("name", ""))).name) for each in ("task", "model"))
        made = Recipe(name=slug("-".join(_SUFFIX.sub("", word) for word in words)).lstrip("_") or "run", **tables)
    else:
        whole = {"rewards": tables.pop("rewards")} if "rewards" in tables else {}
        changes = {f"{name}.{key}": value for name, table in tables.items() for key, value in table.items()}
        made = find_recipe(recipe).override(whole | changes)
    return made if limit is None else made.limited(limit)


def settings_of(recipe: Recipe, given: Mapping[str, Any], progress: Progress) -> Settings:
    """The session's settings; functions of a cell are known to this process alone, and so train in it.

    Raises:
        HarnessError: there is no such setting.
    """
    known = [field.name for field in fields(Settings)]
    for name in given:
        if name not in known:
            train = any(name in argument_defaults(method) for method in CONFIGS)
            hint = f"write train={{{name!r}: ...}}" if train else nearest(name, known)
            raise HarnessError(f"{name}: no such argument; {hint}")
    here = {"in_process": True} if any(map(is_of_cell, recipe.rewards)) else {}
    return Settings(**{"announce": progress.announce, "say": progress.say, **given, **here})


def _named(table: str, given: Any) -> Any:
    return {"name": str(given)} if isinstance(given, str | os.PathLike) else given


def _rewards(given: Any) -> dict[str, Any]:
    if isinstance(given, str) or callable(given):
        given = [given]
    if not isinstance(given, Iterable) or isinstance(given, bytes):
        raise RecipeError(
            'rewards: must be functions and names, as in ["boxed_numeric", my_reward], or a dict of them and their '
            f"weights, not a {type(given).__name__}"
        )
    pairs = given.items() if isinstance(given, Mapping) else ((each, 1.0) for each in given)
    named: dict[str, Any] = {}
    for each, weight in pairs:
        name = each if isinstance(each, str) else reward_name(each)
        if name in named:
            raise RecipeError(f"rewards: {name} is given twice; give the functions different names")
        named[name] = weight
    return named


def _task(given: Any, runs_dir: Path, *, trains: bool, counts: bool) -> dict[str, Any]:
    """The table ``[task]``; ``counts`` says to fill in how many questions are trained on and asked."""
    table = dict(given) if isinstance(given, Mapping) and not _is_split(given) else {"name": given}
    name = table.get("name")
    if name is not None and not isinstance(name, str):
        table["name"] = str(name) if isinstance(name, os.PathLike) else str(_written(name, runs_dir))
    if counts and isinstance(table.get("name"), str):
        train, test = _most(table, trains=trains)
        table = {"train_questions": train, "test_questions": test, **table}
    return {key: value for key, value in table.items() if value is not None}


def _is_split(given: Mapping[str, Any]) -> bool:
    """Whether these are the rows of both splits, as a ``datasets.DatasetDict`` has them, and no table ``[task]``."""
    return "name" not in given and all(split in given for split in _SPLITS)


def _written(rows: Any, runs_dir: Path) -> Path:
    """The file, or the folder of two, that the rows now lie in."""
    splits = {each: rows[each] for each in _SPLITS} if isinstance(rows, Mapping) else {"questions": rows}
    texts = {split: _lines(split, each) for split, each in splits.items()}
    own_folder(runs_dir)
    folder = runs_dir.resolve() / ".questions" / digest(texts)[:16] / "questions"
    for split, text in texts.items():
        path = folder.with_suffix(".jsonl") if split == "questions" else folder / f"{split}.jsonl"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            torn = path.with_name(f".{path.name}-{os.getpid()}")
            torn.write_text(text, encoding="utf-8")
            torn.replace(path)
    return folder if "train" in texts else folder.with_suffix(".jsonl")


def _lines(split: str, rows: Any) -> str:
    if isinstance(rows, str | bytes) or not isinstance(rows, Iterable):
        raise TaskError(f"task: {split} must be a list of dicts or a datasets.Dataset, not a {type(rows).__name__}")
    lines = []
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise TaskError(
                f"task: row {number} of {split} is a {type(row).__name__}, not a dict such as "
                '{"question": "2 + 3?", "answer": "5"}'
            )
        try:
            lines.append(json.dumps(dict(row), default=str))
        except (TypeError, ValueError, RecursionError) as error:  # a key that is no text, what holds itself
            raise TaskError(
                f'task: row {number} of {split} cannot be kept as JSON ({error}); write it as {{"question": ...}}'
            ) from None
    if not lines:
        raise TaskError(f"task: {split} holds no questions")
    return "".join(f"{line}\n" for line in lines)


def _most(table: Mapping[str, Any], *, trains: bool) -> tuple[int | None, int | None]:
    """How many training and test questions there are; of one file, half each (or what the table leaves of them), or
    where nothing is trained all of them are asked. ``None`` where that is not known: then the recipe has to say it."""
    name = table["name"]
    if name in _COUNTS:
        train, test = _COUNTS[name]
    elif not is_there(as_file(name)):
        return None, None
    else:
        try:
            task = TaskSection(**{**table, "train_questions": 1, "test_questions": 1})
        except ValidationError:
            return 1, 1  # the recipe says what is wrong with the table
        found = count_texts(task)
        if "all" in found:
            every = found["all"]
            given = {key: value for key, value in table.items() if isinstance(value, int)}
            rest = max(1, every - given["train_questions"]) if "train_questions" in given else every // 2
            test = given.get("test_questions", rest if trains else every)
            train = max(1, every - test)
        else:
            train, test = found["train"], found["test"]
    return train if trains else 0, test
