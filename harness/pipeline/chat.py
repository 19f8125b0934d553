"""A finished run's base and trained model, asked whatever a person wants to know."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from harness.models import Policy, generate, load_policy
from harness.models.device import choose_device, choose_dtype, settle_threads
from harness.models.source import fingerprint, resolve_model
from harness.pipeline.manifest import require_run
from harness.recipe import EvaluateSection
from harness.recipe.catalog import read_toml
from harness.recipe.messages import explain
from harness.recipe.schema import ModelSection
from harness.store.errors import HarnessError, ModelError
from harness.store.question import Message, Question
from harness.store.run_directory import digest
from harness.store.run_files import IDENTITY, QUESTIONS, TRAINED, TrainingSummary
from harness.training.job import Job

Ask = Callable[[str], tuple[str, str]]


class _Asked(BaseModel):
    """What a run's ``recipe.toml`` says of how it is asked."""

    model: ModelSection
    evaluate: EvaluateSection = Field(default_factory=EvaluateSection)


def open_chat(directory: Path, device: str | None = None) -> Ask:
    """``ask(text)`` answers as the run did before and after its training: the same turns stand before the question, and
    answers are sampled as in its evaluation.

    Raises:
        HarnessError: the run has no trained model, or a model cannot be loaded.
    """
    require_run(directory)
    summary = TRAINED.read(directory / "train")
    if summary is None or not (directory / "train/final").is_dir():
        raise HarnessError(f"{directory}: has no trained model (train/final); run its recipe to the end")
    path = directory / "recipe.toml"
    try:
        recipe = _Asked(**read_toml(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise HarnessError(explain(error, path)) from None
    except (OSError, ValueError) as error:
        raise HarnessError(f"{path}: cannot be read ({error})") from None
    base = _base(directory, summary, recipe.model)
    sampling = replace(recipe.evaluate.sampling, samples_per_question=1)
    first = next(iter(QUESTIONS.read(directory)), None)
    shown = first.prompt[:-1] if first else ()
    device = choose_device(device)
    settle_threads()

    def load(model: Path) -> Policy:
        dtype, told = choose_dtype(recipe.model.dtype, device), recipe.model.chat_template_kwargs
        return load_policy(str(model), device=device, dtype=dtype, chat_template_kwargs=told)

    before, after = load(base), load((directory / "train/final").resolve())

    def ask(text: str) -> tuple[str, str]:
        turns: tuple[Message, ...] = (*shown, {"role": "user", "content": text})
        question = Question(digest(text), text, "", "chat", prompt=turns)
        answers = (next(chain.from_iterable(generate(policy, [question], sampling))) for policy in (before, after))
        told = [each.completion + (" [cut off]" if each.finish_reason == "length" else "") for each in answers]
        return told[0], told[1]

    return ask


def _base(directory: Path, summary: TrainingSummary, asked: ModelSection) -> Path:
    """The model that training started from: where its job lies, which is with the run that trained, or where that is
    gone the one that the recipe names."""
    trained = directory if summary.source is None else directory.with_name(summary.source)
    with suppress(HarnessError, KeyError, TypeError):  # gone, or not as it was written
        job = Job.read(trained / "train")
        if job.key == summary.training_key:
            return Path(job.model)
    try:
        if asked.from_recipe is not None:
            raise ModelError(f"it was trained by {asked.from_recipe}")
        found, identity = resolve_model(asked.name, asked.revision), IDENTITY.fit(directory)
        if identity is not None and fingerprint(found) == identity["generation"]["model"]:
            return found.path
        why = f"{asked.name!r} is another model than it was"
    except ModelError as error:
        why = str(error)
    raise HarnessError(
        f"{directory}: the model before training is not known: {trained / 'train/job.json'} is gone, and {why}; "
        "run its recipe with --rl-fresh (in Python fresh=True), which trains again"
    )
