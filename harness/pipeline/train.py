"""From a run to its training job: what the job is told, and what is said while it works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.models.adapter import base_json
from harness.pipeline.fingerprint import training_dtype
from harness.pipeline.learning import learning_of, rows_of
from harness.recipe.launching import located_arguments, require_processes, shares_weights
from harness.recipe.needs import check_needs
from harness.store.run_directory import write_lines

if TYPE_CHECKING:
    from harness.pipeline.run import Run


def train(run: Run, directory: Path) -> dict[str, Any]:
    """Run a run's training job to its end in ``directory``; returns ``train/summary.json``.

    Raises:
        RecipeError: a file, a folder or a package is missing that the training takes.
        TrainingError: there is nothing to learn from, or the job failed.
    """
    from harness.training.job import run_job
    from harness.training.spec import Job

    recipe = run.recipe
    check_needs(recipe, data=run.settings.data)  # whoever asks rl_run, or a Run of their own, has not been told
    require_processes(recipe, run.device, in_process=run.settings.in_process)
    learning = learning_of(run)
    if recipe.data is not None:
        write_lines(directory / "data.jsonl", learning.rows)
    run.release()
    job = Job(
        method=run.recipe.train.method,
        model=str(run.base.path.resolve()),
        device=run.device,
        dtype=training_dtype(run.recipe.model.dtype),
        seed=run.seed,
        rewards=run.recipe.rewards,
        arguments=located_arguments(recipe),
        rows=learning.rows,
        lora=None if recipe.lora is None else recipe.lora.model_dump(),
        base=None if recipe.lora is None else base_json(run.base, run.fingerprint(run.base)),
        sampled=dict(learning.sampled),
        health=recipe.health.model_dump(),
        during=_during(run),
        key=run.training_key,
        sampling=run.recipe.engine.sampling,
        launch=recipe.launch.model_dump(),
        shares_weights=shares_weights(recipe) is not None,
        chat_template_kwargs=dict(recipe.model.chat_template_kwargs),
    )

    run.settings.announce(f"{run.id} train", "starting")

    def progress(state: Mapping[str, Any]) -> None:
        if state.get("activity"):
            run.settings.announce(f"{run.id} train", state["activity"])
            return
        if state["total"] is None:
            return
        done = state["step"] - (state["first_step"] or 0)
        left = state["seconds"] / max(1, done) * (state["total"] - state["step"])
        reward = "" if state["reward"] is None else f", reward {state['reward']:.3f}"
        run.settings.announce(f"{run.id} train", f"step {state['step']}/{state['total']}{reward}, {left:.0f} s left")

    def finding(found: Mapping[str, Any]) -> None:
        run.settings.say(f"{run.id} health", f"{found['level']}: step {found['step']}, {found['sentence']}")

    return run_job(job, directory, in_process=run.settings.in_process, progress=progress, finding=finding)


def _during(run: Run) -> dict[str, Any] | None:
    asked = run.recipe.evaluate
    if asked.every_steps is None:
        return None
    return {
        "every_steps": asked.every_steps,
        "keep_best": asked.keep_best,
        "decoding": asdict(asked.sampling),
        "rows": rows_of(run.questions.held_out),
    }
