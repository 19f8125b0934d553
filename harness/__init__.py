"""Post-training expressed as pytest: load a model, train it, judge it before and after, and gate on the difference.

import harness

result = harness.run("tiny-arithmetic")
print(result.before().accuracy, "->", result.after().accuracy)
frame = result.after().frame()          # one row a completion, a pandas DataFrame
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.pipeline.run import Run
    from harness.recipe import Recipe

__version__ = "0.1.0"
__all__ = ["load_recipe", "run"]


def run(recipe: str | Path | Recipe, *, seed: int | None = None, **settings: Any) -> Run:
    """Run a recipe to its verdicts without pytest and return the finished ``Run``.

    Args:
        recipe: the name of a shipped recipe, a TOML file, or a ``Recipe`` built in Python.
        seed: the training seed; the recipe's first one if not given.
        settings: fields of ``Settings``: ``runs_dir``, ``data``, ``device``, ``fresh`` ...

    Raises:
        HarnessError: a mistake in the recipe, the data or the model, or a training job that failed.
    """
    from harness.pipeline.judge import count_gates
    from harness.pipeline.run import Run, Settings
    from harness.recipe.needs import check_needs

    asked, folder = load_recipe(recipe), settings.setdefault("baselines_dir", Path("suites/baselines"))
    # Alpha is shared as in pytest's session of this recipe, so that the verdicts are the same.
    gates = sum(count_gates(asked, each, folder and Path(folder)) for each in asked.seeds)
    settings.setdefault("gates", gates)
    finished = Run(asked, seed, Settings(**settings))
    check_needs(asked, data=finished.settings.data)
    finished.verdicts()
    return finished


def load_recipe(recipe: str | Path | Recipe) -> Recipe:
    """A recipe from its shipped name or its file; a recipe object is given back as it is."""
    from harness.recipe.catalog import find_recipe

    return find_recipe(recipe)
