"""A recipe: one TOML file that says what to train, on what, how it is judged, and what is asked of it.

    recipe = load_recipe("suites/recipes/tiny-arithmetic.toml")
    recipe.train.arguments["num_generations"]

The same object can be built in Python (``Recipe(name=..., task=TaskSection(...), ...)``); every rule holds there too.
All sections are frozen: a changed recipe is a new object (:meth:`Recipe.override`). Nothing here loads a model, or
knows a run.
"""

from harness.recipe.catalog import Recipe, load_recipe, parse_changes
from harness.recipe.schema import (
    DataSection,
    EngineSection,
    EvaluateSection,
    GateSection,
    HealthSection,
    LaunchSection,
    LoraSection,
    ModelSection,
    TrainSection,
)
from harness.recipe.sweeps import sweep
from harness.tasks.load import TaskSection

__all__ = [
    "DataSection",
    "EngineSection",
    "EvaluateSection",
    "GateSection",
    "HealthSection",
    "LaunchSection",
    "LoraSection",
    "ModelSection",
    "Recipe",
    "TaskSection",
    "TrainSection",
    "load_recipe",
    "parse_changes",
    "sweep",
]
