"""A small job of two processes on a CPU."""

from __future__ import annotations

from typing import Any

from harness.recipe import Recipe
from harness.recipe.catalog import find_recipe
from tests.small_recipes import GRPO

TWO: dict[str, Any] = GRPO | {
    "task.train_questions": 60,
    "train.per_device_train_batch_size": 12,  # 24 in all, 6 groups of 4: each process has whole groups
    "train.max_steps": 6,
    "train.save_steps": 2,
    "launch.nproc_per_node": 2,
}
# The step of each completion, in the order of completions.jsonl.
STEPS = [step for step in range(1, 7) for _ in range(24)]


def two(**changes: Any) -> Recipe:
    """The recipe, changed: ``two(train__max_steps=1)``."""
    return find_recipe("tiny-arithmetic").override(changed(**changes))


def changed(**changes: Any) -> dict[str, Any]:
    """What such a recipe overrides."""
    return TWO | {key.replace("__", "."): value for key, value in changes.items()}
