"""What a recipe needs beside itself: files, reward functions of the user's, and packages that are optional."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import RecipeError, RewardError
from harness.policy.source import looks_like_path
from harness.recipe import load_recipe
from harness.recipe.engine_checks import check_endpoint_keys
from harness.recipe.files import given_file, located
from harness.recipe.lineage import parent_of
from harness.recipe.messages import where
from harness.rewards import SHIPPED, resolve_reward
from harness.rewards.parameters import check_parameters
from harness.tasks import reads_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.recipe import Recipe


def look_beside(source: Path | None) -> None:
    """From now on reward functions are found beside a recipe's file as well, and in the working directory."""
    folders = [Path.cwd(), *([source.parent.resolve()] if source else [])]
    sys.path += [str(folder) for folder in folders if str(folder) not in sys.path]


def look_beside_recipe_of(directory: Path) -> None:
    """The same for the recipe that a run directory is of: it holds a copy, and says where the file was."""
    from harness.runs import read_json

    changed = read_json(directory / "overrides.json") or {}
    look_beside(Path(changed.get("folder", ""), changed["file"]) if "file" in changed else None)


def check_needs(
    recipe: Recipe,
    *,
    data: Path | None = None,
    questions: bool = True,
    model: bool = True,
    trains: bool = True,
    given: Sequence[str] = (),
) -> None:
    """Look for all that is needed, before anything is made: reward functions, and as asked for the questions (``data``
    stands in for the recipe's), the model, and what the training takes. ``given`` are the options that changed the
    recipe.

    Raises:
        RecipeError: as :func:`check_rewards` does, or a file, a folder or a package is not there.
    """
    check_rewards(recipe)
    check_endpoint_keys(recipe, given)
    trains = trains and recipe.model.endpoint is None
    if questions and data is None and reads_data(recipe.task) and recipe.task.name != "gsm8k":
        _check_file(recipe, "task", "name", given)
    if model and recipe.model.endpoint is None and looks_like_path(recipe.model.name):
        _check_file(recipe, "model", "name", given)
    if trains and given_file(recipe) is not None:
        _check_file(recipe, "data", "source", given)
    if trains and recipe.lora is not None and importlib.util.find_spec("peft") is None:
        raise RecipeError(f"{where(recipe.source, ('lora',))}: takes the peft package: pip install 'rl-harness[lora]'")
    if model and (parent := parent_of(recipe)) is not None:
        check_needs(parent, data=data)


def _check_file(recipe: Recipe, table: str, key: str, given: Sequence[str]) -> None:
    def value(of: Recipe) -> object:
        return getattr(getattr(of, table), key, None)

    name = str(value(recipe))
    with contextlib.suppress(OSError, RuntimeError):  # not ours to read; ~nobody
        if Path(located(recipe, name)).expanduser().exists():
            return
    words = f"{name}: no such file or folder; it is looked for beside the recipe, then in the working directory"
    if recipe.source is None or value(load_recipe(recipe.source)) == name:
        raise RecipeError(f"{where(recipe.source, (table, key))}: {words}")
    raise RecipeError(f"[{table}] {key}: {words}" + (f" (under {' '.join(given)})" if given else ""))


def check_data(recipe: Recipe, data: Path | None, option: str) -> None:
    """Look for the questions that are to stand in for the recipe's own; ``option`` is what they were given by.

    Raises:
        RecipeError: they are not there, or the recipe would not read them.
    """
    if data is None:
        return
    if not reads_data(recipe.task):
        raise RecipeError(
            f"{option} {data}: recipe {recipe.name} makes its own questions and would not read it; leave {option} out, "
            "or name a recipe that reads questions"
        )
    if not data.exists():
        raise RecipeError(
            f"{option} {data}: no such file or folder; give a folder with train.jsonl and test.jsonl, or one JSONL file"
        )


def check_rewards(recipe: Recipe) -> None:
    """Look for the user's reward functions.

    Raises:
        RecipeError: one is not found, or does not take what it is given.
    """
    look_beside(recipe.source)
    for name in recipe.rewards:
        if name in SHIPPED:
            continue  # these are known to be there
        try:
            check_parameters(name, resolve_reward(name), recipe.rewards.parameters.get(name, {}), shipped=False)
        except RewardError as error:
            raise RecipeError(f"{where(recipe.source, ('rewards', name))}: {error}") from None
