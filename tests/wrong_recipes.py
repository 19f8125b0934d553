"""What a recipe is told that is wrong in one place."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.recipe import load_recipe
from harness.store.errors import RecipeError


def told(folder: Path, right: str, old: str, new: str) -> str:
    """What is said of the text ``right`` with ``new`` in the place of ``old``, behind the file's name."""
    assert right.count(old) == 1
    path = folder / "wrong.toml"
    path.write_text(right.replace(old, new))
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    return str(caught.value).removeprefix(f"{path}:")
