"""What a recipe would run and cost, and what its gates could see: told from the recipe and its baseline file alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.judging import plans
from harness.training.arguments import argument_defaults, completions_per_step, optimizer_steps

if TYPE_CHECKING:
    from harness.recipe import Recipe


def plan_lines(recipe: Recipe) -> list[str]:
    """One line a stage: model, answers to ask, optimizer steps, completions to sample, and what the gate will ask."""
    asked = recipe.task.test_questions * recipe.evaluate.samples_per_question
    arguments = {**argument_defaults(recipe.train.method), **recipe.train.arguments}
    steps, per_step = optimizer_steps(arguments, recipe.task.train_questions), completions_per_step(arguments)
    gate = ", ".join(
        f"{key} {value:g}"
        for key in ("min_accuracy", "min_improvement", "alpha")
        if (value := getattr(recipe.gate, key)) is not None
    )
    return [
        f"model: {recipe.model.name}; task: {recipe.task.name}",
        f"before and after: {asked} answers each, at most {recipe.evaluate.max_new_tokens} tokens an answer",
        f"train: {recipe.train.method}, {steps} optimizer steps of {per_step} completions "
        f"({steps * per_step} to sample) over {recipe.task.train_questions} questions",
        f"gate: {gate}",
    ]


def gate_lines(recipe: Recipe, seed: int, baselines_dir: Path | None, gates: int) -> list[str]:
    """One line a gate that is planned: whether its questions are enough, and for what. ``gates`` share alpha."""
    return [
        f"{gate} gate: {'' if each.enough else 'UNDERPOWERED: '}{each.sentence}"
        for gate, each in plans(recipe, seed, baselines_dir, gates).items()
    ]
