"""Files that a recipe names: each is looked for beside the recipe first, then in the working directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.store.names import as_path

if TYPE_CHECKING:
    from harness.recipe import Recipe
    from harness.tasks.section import TaskSection


def located(recipe: Recipe, name: str) -> str:
    """The path that a name in a recipe stands for; a name that is found nowhere stays as it is."""
    name = as_path(name)
    if recipe.source is not None and name not in ("", "tiny", "arithmetic", "gsm8k"):
        beside = recipe.source.parent / name
        if beside.exists():
            return str(beside.resolve())
    return name


def located_task(recipe: Recipe) -> TaskSection:
    """``[task]`` with the path of its questions."""
    return recipe.task.model_copy(update={"name": located(recipe, recipe.task.name)})


def given_file(recipe: Recipe) -> Path | None:
    """The file of ``[data] source``, where that names one."""
    data = recipe.data
    if data is None or data.source in ("completions", "solutions"):
        return None
    return Path(located(recipe, data.source)).expanduser()
