"""A run's baseline: finding the file that it is held against, and recording a new one from fresh answers."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from harness.gate.baseline import (
    Baseline,
    differences,
    find_baseline,
    own_path,
    prompt_fingerprint,
    question_content,
    read_baseline,
    write_baseline,
)
from harness.gate.verdicts import UNGRADED, judged
from harness.pipeline.fingerprint import COMPARED, effective_decoding
from harness.pipeline.manifest import recipe_text, short
from harness.recipe.catalog import base_name
from harness.rewards import functions_of
from harness.rewards.score import grader_versions, primary_grader
from harness.store.errors import HarnessError
from harness.store.manifest import git_state, versions
from harness.store.records import correct_counts
from harness.store.run_files import HELD_AGAINST, HeldAgainst, Verdict

if TYPE_CHECKING:
    from harness.pipeline.evaluate import Evaluation
    from harness.recipe import Recipe
    from harness.store.records import SamplingParams
    from harness.tasks import Question

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


def as_baseline(
    recipe: Recipe,
    seed: int,
    questions: Sequence[Question],
    commit: str,
    correct: Mapping[str, int] = MappingProxyType({}),
    samples: int = 1,
) -> Baseline:
    """What a run would be recorded as: also what a recorded baseline is compared with."""
    decoding = effective_decoding(recipe.evaluate.sampling)
    return Baseline(
        recipe=recipe.name,
        seed=seed,
        samples=samples,
        prompt=prompt_fingerprint(questions),
        chat_template_kwargs=recipe.model.chat_template_kwargs,
        grader=grader_fingerprint(recipe.rewards, grader_versions(recipe.rewards)),
        engine=recipe.engine.name,
        decoding={key: decoding[key] for key in COMPARED if key in decoding},
        versions=versions("torch", "transformers", "trl"),
        commit=commit,
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
    grader, _ = primary_grader(functions_of(rewards))
    return f"{grader} {graders[grader]}"


def comparable(found: RecordedBaseline | None, folder: Path | None, now: Baseline) -> RecordedBaseline | Verdict:
    """The baseline that a run which would be recorded as ``now`` can be held against, or the verdict that says why
    there is none."""
    if found is None:
        return judged("baseline", "NO_BASELINE", "none", {"folder": str(folder or "")})
    if changed := differences(found.baseline, now):
        numbers = {"run": "this run", "against": found.path.name, "changed": changed}
        return judged("baseline", "INCOMPARABLE", "changed", numbers)
    return found


def recordable(folder: Path | None, *, allow_dirty: bool) -> Path:
    """The folder to record baselines in.

    Raises:
        HarnessError: there is none, or tracked files differ from the commit that would be named.
    """
    if folder is None:
        raise HarnessError("there is no folder to record baselines in; give --rl-baselines-dir")
    state = git_state(Path.cwd(), ignoring=folder)
    if state and state["dirty"] and not allow_dirty:
        raise HarnessError(
            "the working tree differs from its commit, so a baseline could not say what it was recorded from; "
            "commit first, or give --rl-allow-dirty"
        )
    return folder


def recording(sampling: SamplingParams) -> SamplingParams:
    """How the trained policy is asked anew for its baseline."""
    samples = 1 if sampling.temperature == 0 else SAMPLED
    return replace(sampling, samples_per_question=samples, seed=sampling.seed + 1)


def record(
    folder: Path, recipe: Recipe, seed: int, questions: Sequence[Question], commit: str, evaluation: Evaluation
) -> RecordedBaseline:
    """Write the baseline of this recipe and seed from answers that were asked for it (:func:`recording`).

    Raises:
        HarnessError: more than 2 % of the answers have no grade.
    """
    ungraded, answers = evaluation.summary.counts["unscored"], sum(evaluation.summary.counts.values())
    if ungraded > UNGRADED * answers:
        raise HarnessError(
            f"{recipe.name}-{seed}: {ungraded} of {answers} answers could not be graded, and a baseline of the others "
            "would be no bar for all; mend the grader and record again"
        )
    correct = correct_counts(evaluation.records, (question.id for question in questions))
    samples = evaluation.summary.samples_per_question
    made = RecordedBaseline(
        own_path(folder, recipe.name, seed), as_baseline(recipe, seed, questions, commit, correct, samples)
    )
    write_baseline(made.path, made.baseline)
    return made


def keep_held_against(directory: Path, kept: RecordedBaseline | None) -> None:
    """Put what a reader wants to know of the baseline into the run directory; ``None`` takes away what is there."""
    if kept is None:
        HELD_AGAINST.path(directory).unlink(missing_ok=True)
        return
    baseline = kept.baseline
    held = HeldAgainst(
        path=short(kept.path),
        recipe=baseline.recipe,
        seed=baseline.seed,
        commit=baseline.commit,
        date=baseline.date,
        model=baseline.model,
        accuracy=baseline.accuracy if baseline.correct else None,
        correct=dict(baseline.correct),
        samples=baseline.samples,
        versions=dict(baseline.versions),
        recipe_toml=baseline.recipe_toml,
    )
    HELD_AGAINST.write(directory, held)
