"""A finished run's base and trained model, asked whatever a person wants to know."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from harness.models import Policy, generate, load_policy
from harness.models.device import choose_device, choose_dtype, settle_threads
from harness.pipeline.manifest import require_run
from harness.recipe import EvaluateSection
from harness.store.errors import HarnessError
from harness.store.question import Message, Question
from harness.store.run_directory import digest
from harness.store.run_files import QUESTIONS, TRAINED
from harness.training.job import Job

Ask = Callable[[str], tuple[str, str]]


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
    trained = directory if summary.source is None else directory.with_name(summary.source)
    job = Job.read(trained / "train")  # a training that was found elsewhere has it there
    try:
        recipe = tomllib.loads((directory / "recipe.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HarnessError(f"{directory / 'recipe.toml'}: cannot be read ({error})") from None
    sampling = replace(EvaluateSection(**recipe.get("evaluate", {})).sampling, samples_per_question=1)
    first = next(iter(QUESTIONS.read(directory)), None)
    shown = first.prompt[:-1] if first else ()
    device = choose_device(device)
    settle_threads()

    def load(model: Path) -> Policy:
        dtype = choose_dtype(recipe["model"].get("dtype", "auto"), device)
        return load_policy(str(model), device=device, dtype=dtype, chat_template_kwargs=job.chat_template_kwargs)

    before, after = load(Path(job.model)), load((directory / "train/final").resolve())

    def ask(text: str) -> tuple[str, str]:
        turns: tuple[Message, ...] = (*shown, {"role": "user", "content": text})
        question = Question(digest(text), text, "", "chat", prompt=turns)
        answers = (next(iter(generate(policy, [question], sampling)))[0] for policy in (before, after))
        told = [each.completion + (" [cut off]" if each.finish_reason == "length" else "") for each in answers]
        return told[0], told[1]

    return ask
