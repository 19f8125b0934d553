"""A run's baseline: finding the file that it is held against, and recording a new one from fresh answers."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.gate.baseline import (
    Baseline,
    find_baseline,
    own_path,
    prompt_fingerprint,
    question_content,
    read_baseline,
    write_baseline,
)
from harness.gate.ungraded import UNGRADED
from harness.gate.wording import counted
from harness.pipeline.fingerprint import COMPARED, effective_decoding
from harness.pipeline.manifest import recipe_text
from harness.recipe.lineage import base_name
from harness.rewards import resolve_reward
from harness.rewards.score import grader_versions, primary_grader
from harness.store.errors import HarnessError
from harness.store.manifest import git_state, versions
from harness.store.records import correct_counts

if TYPE_CHECKING:
    from harness.pipeline.run import Run
    from harness.recipe import Recipe

SAMPLED = 8  # answers a question where decoding is sampled; one is enough where it is greedy


@dataclass(frozen=True)
class RecordedBaseline:
    """A baseline and the file it came from."""

    path: Path
    baseline: Baseline


def find(folder: Path | None, recipe: str, seed: int) -> RecordedBaseline | None:
    """The baseline of a recipe and seed, or of its lowest seed that has one.

    Raises:
        BaselineError: the file is there and cannot be used.
    """
    if folder is None:
        return None
    path = find_baseline(folder, recipe, seed)
    try:
        return RecordedBaseline(path, read_baseline(path, recipe))
    except FileNotFoundError:
        return None


def is_recorded(folder: Path | None, recipe: str, seed: int, update: Literal["new", "all"] | None) -> bool:
    """Whether ``update`` asks for the baseline of a recipe and seed: ``"new"`` where that seed has none of its own."""
    return update == "all" or (update == "new" and not (folder and own_path(folder, recipe, seed).exists()))


def unused(folder: Path, known: Iterable[tuple[str, int]]) -> list[Path]:
    """Baseline files in ``folder`` that none of the ``known`` (recipe, seed) pairs would be held against."""
    used = {find_baseline(folder, recipe, seed) for recipe, seed in known}
    return sorted(path for path in folder.glob("*.toml") if path not in used)


def run_as_baseline(run: Run, correct: Mapping[str, int], samples: int) -> Baseline:
    """What a run would be recorded as: also what a recorded baseline is compared with."""
    recipe, questions = run.recipe, run.questions.test
    decoding = effective_decoding(recipe.evaluate.sampling)
    return Baseline(
        recipe=recipe.name,
        seed=run.seed,
        samples=samples,
        prompt=prompt_fingerprint(questions),
        chat_template_kwargs=recipe.model.chat_template_kwargs,
        grader=grader_fingerprint(recipe.rewards, grader_versions(recipe.rewards)),
        engine=recipe.engine.name,
        decoding={key: decoding[key] for key in COMPARED if key in decoding},
        versions=versions("torch", "transformers", "trl"),
        commit=run.commit,
        date=datetime.date.today().isoformat(),
        model=_model_name(recipe),
        correct=correct,
        content={question.id: question_content(question) for question in questions},
        recipe_toml=recipe_text(recipe),
    )


def _model_name(recipe: Recipe) -> str:
    name, revision = base_name(recipe), recipe.model.revision
    if recipe.model.from_recipe is not None:
        return f"{name}, trained by {recipe.model.from_recipe}"
    return name if revision == "main" else f"{name}@{revision}"


def grader_fingerprint(rewards: Mapping[str, float], graders: Mapping[str, str]) -> str:
    """Name and version of the grader that decides statuses. Weights are no part: they train, they do not judge."""
    grader, _ = primary_grader({name: resolve_reward(name) for name in rewards})
    return f"{grader} {graders[grader]}"


def record(run: Run) -> tuple[Path, Baseline]:
    """Ask the trained policy anew and write the baseline of this recipe and seed.

    Raises:
        HarnessError: there is no folder for baselines, tracked files differ from the commit that would be named, or
            more than 2 % of the answers have no grade.
    """
    folder = run.settings.baselines_dir
    if folder is None:
        raise HarnessError("there is no folder to record baselines in; give --rl-baselines-dir")
    state = git_state(Path.cwd(), ignoring=folder)
    if state and state["dirty"] and not run.settings.allow_dirty:
        raise HarnessError(
            "the working tree differs from its commit, so a baseline could not say what it was recorded from; "
            "commit first, or give --rl-allow-dirty"
        )
    samples = 1 if run.recipe.evaluate.temperature == 0 else SAMPLED
    decoding = run.recipe.evaluate.sampling
    anew = replace(decoding, samples_per_question=samples, seed=decoding.seed + 1)
    evaluation = run.ask("baseline", anew, trained=True)
    ungraded, answers = evaluation.summary["counts"]["unscored"], sum(evaluation.summary["counts"].values())
    if ungraded > UNGRADED * answers:
        raise HarnessError(
            f"{run.id}: {ungraded} of {counted(answers, 'answer')} could not be graded, and a baseline of the others "
            "would be no bar for all; mend the grader and record again"
        )
    correct = correct_counts(evaluation.records, (question.id for question in run.questions.test))
    baseline = run_as_baseline(run, correct, samples)
    path = own_path(folder, run.recipe.name, run.seed)
    write_baseline(path, baseline)
    return path, baseline
