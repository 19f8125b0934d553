"""Recipes that start from what another recipe trained: ``[model] from_recipe``.

The other recipe is found beside this one, or else among the shipped ones. It trains with the same seed, as its file
says: what the command line overrides is meant for the recipe that was asked for.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

from harness.store.errors import RecipeError

if TYPE_CHECKING:
    from harness.recipe import Recipe


def parent_of(recipe: Recipe) -> Recipe | None:
    """The recipe that this one starts from, read; ``None`` where it starts from a model.

    Raises:
        RecipeError: there is no such recipe, or its file is wrong.
    """
    from harness.recipe.catalog import find_recipe

    if recipe.model.from_recipe is None:
        return None
    return find_recipe(recipe.model.from_recipe, recipe.source.parent if recipe.source else None)


def base_name(recipe: Recipe) -> str:
    """The model at the root of a recipe's lineage, as it is written there."""
    while (parent := parent_of(recipe)) is not None:
        recipe = parent
    return recipe.model.name


def check_lineage(recipe: Recipe) -> None:
    """Raise ``RecipeError`` where the recipes that this one starts from lead back to themselves or to none, where the
    root's model is not the one that this recipe names, or where one of them would ask another prompt."""
    from harness.recipe.catalog import recipe_files

    if str(recipe.model.from_recipe).endswith(".toml"):
        raise RecipeError(f"{recipe.model.from_recipe!r} is a file; write the recipe's name, without .toml")
    files = recipe_files(recipe.source.parent if recipe.source else None)
    seen, name = [recipe.name], recipe.model.from_recipe
    while name is not None:
        if name in seen:
            raise RecipeError(f"{' starts from '.join([*seen, name])}: no recipe can start from itself")
        if name not in files:
            break  # parent_of says so, with the nearest name
        seen.append(name)
        try:
            model = tomllib.loads(files[name].read_text(encoding="utf-8-sig")).get("model", {})
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
            break  # as above
        name = model.get("from_recipe") if isinstance(model, dict) else None
    root = base_name(recipe)  # reads every recipe on the way, and so checks it
    if (parent := parent_of(recipe)) is not None:
        asked, taught = (dict(each.model.chat_template_kwargs) for each in (recipe, parent))
        if asked != taught:
            raise RecipeError(
                f"{parent.name} is trained with chat_template_kwargs = {taught}, and this recipe says {asked}; "
                "write the same under [model] of both, so that every stage asks the same prompt"
            )
    if recipe.model.name and recipe.model.name != root:
        raise RecipeError(
            f"{recipe.model.from_recipe} starts from the model {root!r}, and name says {recipe.model.name!r}; "
            "drop name, or one of the two"
        )
