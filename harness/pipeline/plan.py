"""What a recipe would run and cost, and what its gates could see: told from files alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.models.engines.base import server_url
from harness.pipeline.judge import plans
from harness.pipeline.manifest import recipe_text, short
from harness.recipe.catalog import base_name
from harness.recipe.schema import data_sampling, located_task, questions_of
from harness.recipe.trl_arguments import argument_defaults, completions_per_step, optimizer_steps, supervised_steps
from harness.store.records import SUMMARY
from harness.store.run_directory import run_directories
from harness.store.run_files import ENVIRONMENT, TRAINED
from harness.store.stages import STAGES
from harness.store.words import counted, duration
from harness.tasks import is_from_hub

if TYPE_CHECKING:
    from harness.recipe import Recipe
    from harness.tasks import Questions


def plan_lines(recipe: Recipe, data: Path | None = None) -> list[str]:
    """One line a stage: model, answers to ask, optimizer steps, completions to sample, and what the gate will ask;
    before the gate's, all of it together.

    Raises:
        TaskError: the questions that lie here (those of ``data`` in place of the recipe's) are not as many, or torn.
    """
    questions: list[str] = []
    if data is not None or not is_from_hub(located_task(recipe)):  # nothing is downloaded
        questions = _questions(questions_of(recipe, data))
    asked = recipe.task.test_questions * recipe.evaluate.samples_per_question
    most = recipe.evaluate.max_new_tokens
    if recipe.model.endpoint is not None:
        url = server_url(recipe.model.endpoint)
        return [
            f"model: {recipe.model.name or 'what is served'} at {url}; task: {recipe.task.name}",
            *questions,
            f"evaluation: {counted(asked, 'answer')}, at most {counted(most, 'token')} an answer; nothing is trained",
        ]
    gate = ", ".join(
        f"{key} {value:g}"
        for key in ("min_accuracy", "min_improvement", "alpha")
        if (value := getattr(recipe.gate, key)) is not None
    )
    return [
        f"model: {_model(recipe)}; task: {recipe.task.name}",
        *questions,
        f"before and after: {counted(asked, 'answer')} each, at most {counted(most, 'token')} an answer",
        *_training(recipe),
        f"in all: {takes(recipe)}",
        f"gate: {gate}",
    ]


def _questions(found: Questions) -> list[str]:
    """How many questions a file or folder has, and how many of them are of no use."""
    if (counts := found.counts) is None:
        return []
    uses = {"asked": found.test, "trained on": found.train, "held out": found.held_out}
    parts = [", ".join([f"{counts.rows:,} there", *(f"{len(each):,} {use}" for use, each in uses.items() if each)])]
    if counts.same:
        parts.append(f"{counts.same:,} more have the text of a test question and are not trained on")
    if counts.again:
        parts.append(f"{counts.again:,} more have the text of another and are asked once")
    return [f"questions: {'; '.join(parts)}"]


def _model(recipe: Recipe) -> str:
    if recipe.model.from_recipe is None:
        return recipe.model.name
    return f"{base_name(recipe)}, as {recipe.model.from_recipe} trains it with the same seed (made first if need be)"


class _Work(NamedTuple):
    """What a training takes: optimizer steps (of SFT and DPO the most there can be), the completions of each (in SFT
    examples, in DPO pairs), answers sampled in training or for it, answers to find what can be learnt, and the most
    tokens of an answer."""

    steps: int
    per_step: int
    samples: int = 0
    signal: int = 0
    tokens: int = 0


def _work(recipe: Recipe) -> _Work:
    method, questions, processes = recipe.train.method, recipe.task.train_questions, recipe.launch.processes
    arguments, data = {**argument_defaults(method), **recipe.train.arguments}, recipe.data
    per_step = completions_per_step(arguments, processes)
    if data is None:
        learnable = recipe.task.learnable
        steps = optimizer_steps(arguments, questions if isinstance(learnable, bool) else learnable, processes)
        samples = steps * per_step // max(1, int(arguments["num_iterations"]))
        signal = questions * arguments["num_generations"] if learnable else 0
        tokens = arguments["max_completion_length"] or recipe.evaluate.max_new_tokens
        return _Work(steps, per_step, samples, signal, tokens)
    if data.source not in ("completions", "solutions"):
        return _Work(max(0, arguments["max_steps"] or 0), per_step)
    if (sampling := data_sampling(recipe, seed=0)) is None:
        return _Work(supervised_steps(arguments, questions, processes), per_step)
    steps, samples = (questions * each for each in (data.per_question, data.samples_per_question))
    return _Work(supervised_steps(arguments, steps, processes), per_step, samples, tokens=sampling.max_new_tokens)


def takes(recipe: Recipe) -> str:
    """All that a recipe samples and learns, wherever it runs: ``800 answers, at most 409,600 tokens, 50 optimizer
    steps``. The signal check and evaluations during training come on top."""
    work, evaluate = _work(recipe), recipe.evaluate
    asked, sampled = 2 * recipe.task.test_questions * evaluate.samples_per_question, work.samples + work.signal
    tokens = asked * evaluate.max_new_tokens + sampled * work.tokens
    answers = f"{'at most ' if work.signal else ''}{asked + sampled:,} answers"
    steps = f"{'at most ' if recipe.data is not None else ''}{counted(work.steps, 'optimizer step')}"
    return ", ".join([answers, f"at most {tokens:,} tokens", *([steps] if work.steps else [])])


def requires_gpu(recipe: Recipe, why: str, options: str | None = None) -> str:
    """That a recipe waits for a GPU; where it was asked for, how it runs all the same and what that takes. ``options``
    is how these begin: ``--rl-`` or ``--``."""
    how = ""
    if options:
        with_vllm = f" {options}set train.use_vllm=false" if recipe.train.arguments.get("use_vllm") else ""
        how = f"; {options}device cpu{with_vllm} runs it all the same: {takes(recipe)}"
    return f"recipe {recipe.name} requires a GPU {why}{how}"


def _training(recipe: Recipe) -> list[str]:
    method, questions, processes = recipe.train.method, recipe.task.train_questions, recipe.launch.processes
    how = f", LoRA of rank {recipe.lora.r}" if recipe.lora else ""
    how += f" in {processes} processes" if processes > 1 else ""
    data, work = recipe.data, _work(recipe)
    steps = counted(work.steps, "optimizer step")
    if data is None:
        learnable = recipe.task.learnable
        questions = questions if isinstance(learnable, bool) else learnable
        signal = f"signal: at most {counted(work.signal, 'answer')} to find what can be learnt"
        upto = "at most " if learnable is True else ""
        return [
            *([signal] if learnable else []),
            f"train: {method}{how}, {steps} of {counted(work.per_step, 'completion')} "
            f"({work.samples} to sample) over {upto}{counted(questions, 'question')}",
        ]
    learnt = counted(work.per_step, "example" if method == "sft" else "pair")
    if data.source not in ("completions", "solutions"):
        return [f"train: {method}{how}{f', {steps}' if work.steps else ''} of {learnt} each, from {data.source}"]
    first, most = [], questions
    if data.source == "completions":
        asked = counted(work.samples, "answer")
        first = [f"samples: {asked} to {counted(questions, 'training question')}, to learn from"]
        most = questions * data.per_question
    return [*first, f"train: {method}{how}, at most {steps} of {learnt} (at most {most})"]


def gate_lines(recipe: Recipe, seed: int, baselines_dir: Path | None, gates: int) -> list[str]:
    """One line a gate that is planned: whether its questions are enough, and for what. ``gates`` share alpha."""
    if recipe.model.endpoint is not None:
        return []
    there = plans(recipe, seed, baselines_dir, gates)
    every = plans(recipe, seed, baselines_dir, gates, to_come=True)
    return [
        f"{gate} gate{'' if gate in there else ', once one is recorded'}: {each.sentence}"
        for gate, each in every.items()
    ]


def kept_lines(recipe: Recipe, seed: int, runs_dir: Path) -> list[str]:
    """One line where the same recipe ran before: which of its stages are kept, and how long those took when they were
    made. Whether model, questions and code are still the same is known when they are read, and not said here."""
    text = recipe_text(recipe)
    stages = {stage: "training" if stage == "train" else stage for stage in STAGES if stage != "baseline"}
    for directory in reversed(run_directories(runs_dir)):
        made = ENVIRONMENT.fit(directory)
        if made is None or (made.recipe, made.seed) != (recipe.name, seed) or _text(directory / "recipe.toml") != text:
            continue
        found = {name: (TRAINED if name == "train" else SUMMARY).fit(directory / name) for name in stages}
        kept = {stages[name]: summary for name, summary in found.items() if summary is not None}
        if kept:
            took = sum(each.seconds or 0 for each in kept.values())
            return [
                f"kept: {', '.join(kept)} in {short(directory)}, made in {duration(took)}; "
                "used again where model, questions and code are the same"
            ]
    return []


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
