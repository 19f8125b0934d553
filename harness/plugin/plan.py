"""``--rl-plan``: what a session would run and what it would cost. Nothing is loaded, downloaded or run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.recipe_checks import completions_per_batch
from harness.training.arguments import argument_defaults

if TYPE_CHECKING:
    from harness.plugin.session import Session
    from harness.recipe import Recipe


def write_plan(session: Session, parameters: list[tuple[Recipe, int]]) -> None:
    """Print the plan of (recipe, seed) pairs to the terminal."""
    terminal = session.config.pluginmanager.getplugin("terminalreporter")
    terminal.section("rl-harness plan", sep="=")
    for recipe, seed in parameters:
        terminal.write_line(f"{recipe.name}, seed {seed}: {recipe.description}", bold=True)
        if reason := session.unmet(recipe):
            terminal.write_line(f"  skipped: {reason}")
            continue
        for line in plan_lines(recipe):
            terminal.write_line(f"  {line}")
    terminal.write_line("nothing was run")


def plan_lines(recipe: Recipe) -> list[str]:
    """One line a stage: model, answers to ask, optimizer steps, completions to sample, and what the gate will ask."""
    asked = recipe.task.test_questions * recipe.evaluate.samples_per_question
    steps, per_step = training_steps(recipe)
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


def training_steps(recipe: Recipe) -> tuple[int, int]:
    """(optimizer steps, completions a step) of a GRPO recipe in one process, by TRL's keys."""
    arguments = {**argument_defaults(recipe.train.method), **recipe.train.arguments}
    per_step = int(arguments["per_device_train_batch_size"] * arguments["gradient_accumulation_steps"])
    max_steps = arguments.get("max_steps")
    if max_steps is not None and max_steps > 0:
        return int(max_steps), per_step
    batch = completions_per_batch(arguments)
    batches = recipe.task.train_questions // (batch // arguments["num_generations"])
    epochs = arguments["num_train_epochs"]
    return int(batches * epochs * arguments["num_iterations"] * batch // per_step), per_step
