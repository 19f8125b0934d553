"""Which recipes there are: a folder of the user's own, and the shipped ones."""

from __future__ import annotations

from pathlib import Path

from harness.recipe import Recipe, load_recipe
from harness.store.errors import RecipeError, nearest

_PACKAGE = Path(__file__).parents[1]
# An installed package carries a copy; in a checkout they lie where users edit them.
SHIPPED_RECIPES = next(
    (folder for folder in (_PACKAGE / "recipes", _PACKAGE.parent / "suites" / "recipes") if folder.is_dir()),
    _PACKAGE / "recipes",
)


def find_recipe(recipe: str | Path | Recipe, folder: Path | None = None) -> Recipe:
    """A recipe by name (in ``folder`` first, then among the shipped ones) or by the path of its file.

    Raises:
        RecipeError: there is no such recipe; the message names the nearest one.
    """
    if isinstance(recipe, Recipe):
        return recipe
    path = Path(recipe)
    if path.suffix == ".toml":
        if not path.is_file():
            raise RecipeError(f"{path}: no such recipe file")
        return load_recipe(path)
    files = recipe_files(folder)
    if str(recipe) not in files:
        raise RecipeError(
            f"no recipe named {str(recipe)!r}; {nearest(str(recipe), list(files))} (or give a .toml file)"
        )
    return load_recipe(files[str(recipe)])


def recipe_files(folder: Path | None = None) -> dict[str, Path]:
    """Recipe files by name: the shipped ones, and those in ``folder`` before them."""
    shipped = {path.stem: path for path in sorted(SHIPPED_RECIPES.glob("*.toml"))}
    own = {path.stem: path for path in sorted(folder.glob("*.toml"))} if folder else {}
    return {**shipped, **own}
