"""Files that a recipe names: each is looked for beside the recipe first, then in the working directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.rewards import answer_form
from harness.store.names import as_path
from harness.tasks import load_questions

if TYPE_CHECKING:
    from harness.recipe import Recipe
    from harness.tasks import Questions
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


def questions_of(recipe: Recipe, data: Path | None) -> Questions:
    """The recipe's questions, or those of ``data`` in their place; raises as :func:`load_questions` does."""
    held_out = recipe.evaluate.during_questions if recipe.evaluate.every_steps else 0
    return load_questions(located_task(recipe), data=data, held_out=held_out, form=answer_form(recipe.rewards))


def given_file(recipe: Recipe) -> Path | None:
    """The file of ``[data] source``, where that names one."""
    data = recipe.data
    if data is None or data.source in ("completions", "solutions"):
        return None
    return Path(located(recipe, data.source)).expanduser()
