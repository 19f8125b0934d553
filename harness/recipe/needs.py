"""What a recipe needs beside itself: files, reward functions of the user's, and packages that are optional."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import ModelError, RecipeError, RewardError, TaskError
from harness.policy.source import check_there
from harness.recipe.files import given_file, located, located_task
from harness.recipe.messages import where
from harness.rewards import SHIPPED, resolve_reward
from harness.rewards.parameters import check_parameters
from harness.tasks import local_path, reads_data

if TYPE_CHECKING:
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


def check_needs(recipe: Recipe, *, data: Path | None = None, trains: bool = True) -> None:
    """Look for all that is needed, before anything is made; with ``trains``, for training too. ``data`` stands in for
    the recipe's questions.

    Raises:
        RecipeError: as :func:`check_rewards` does, or a file or folder of the recipe's is not there, or a package is
            missing that the training takes.
    """
    check_rewards(recipe)
    trains = trains and recipe.model.endpoint is None
    try:
        if data is None:
            local_path(located_task(recipe))
    except TaskError as error:
        raise RecipeError(f"{where(recipe.source, ('task', 'name'))}: {error}") from None
    try:
        if recipe.model.endpoint is None:
            check_there(located(recipe, recipe.model.name))
    except ModelError as error:
        raise RecipeError(f"{where(recipe.source, ('model', 'name'))}: {error}") from None
    if trains and (given := given_file(recipe)) is not None and not given.is_file():
        raise RecipeError(f"{where(recipe.source, ('data', 'source'))}: {given}: no such file")
    if trains and recipe.lora is not None and importlib.util.find_spec("peft") is None:
        raise RecipeError(f"{where(recipe.source, ('lora',))}: takes the peft package: pip install 'rl-harness[lora]'")


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


def check_model(name: str, option: str) -> None:
    """Raise ``RecipeError`` where the model that an option gives is a path that leads nowhere."""
    try:
        check_there(name)
    except ModelError as error:
        raise RecipeError(f"{option} {error}") from None


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
