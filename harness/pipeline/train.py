"""From a recipe to its training job, and a finished job read from its directory.

What decides a trained policy (``fingerprint.policy_identity``) knows nothing of the test questions, of the gate, of the
evaluation and of the recipe's name. So another run's finished training is copied into the run directory that asks for
it, and its report has every step and completion; checkpoints stay where they are.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from harness.gate import judge_training
from harness.models.source import base_json, resolve_model
from harness.pipeline.dataset import Dataset, rows_of
from harness.pipeline.fingerprint import training_dtype
from harness.recipe.launching import located_arguments, shares_weights
from harness.store.errors import ModelError
from harness.store.files import JsonLines, RecordError
from harness.store.records import FAULTS
from harness.store.run_files import (
    COMPLETIONS,
    DATA,
    EVALUATIONS,
    HEALTH,
    METRICS,
    SIGNAL,
    TRAINED,
    Finding,
    Progress,
    TrainingSummary,
)
from harness.store.words import steps_done, work_within_step

if TYPE_CHECKING:
    from harness.models.source import ModelSource
    from harness.recipe import Recipe
    from harness.tasks import Question
    from harness.training.job import Job


T = TypeVar("T")
Fingerprint = Callable[["ModelSource"], dict[str, str]]
"""Hashes of a model's content."""


def job_of(
    recipe: Recipe,
    seed: int,
    dataset: Dataset,
    *,
    base: ModelSource,
    weights: Mapping[str, str],
    held_out: Iterable[Question],
    device: str,
    key: str,
) -> Job:
    """What the training process is told. ``weights`` is the fingerprint of ``base``, and ``key`` the content hash by
    which other recipes find what is trained."""
    from harness.training.job import Job

    evaluate, lora = recipe.evaluate, recipe.lora
    asked = {
        "every_steps": evaluate.every_steps,
        "keep_best": evaluate.keep_best,
        "decoding": asdict(evaluate.sampling),
        "rows": rows_of(held_out),
    }
    return Job(
        method=recipe.train.method,
        model=str(base.path.resolve()),
        device=device,
        dtype=training_dtype(recipe.model.dtype),
        seed=seed,
        rewards=recipe.rewards,
        arguments=located_arguments(recipe),
        rows=dataset.rows,
        lora=None if lora is None else lora.model_dump(),
        base=None if lora is None else base_json(base, dict(weights)),
        sampled=dataset.sampled,
        health=recipe.health.model_dump(),
        held_out=None if evaluate.every_steps is None else asked,
        key=key,
        sampling=recipe.engine.sampling,
        launch=recipe.launch.model_dump(),
        shares_weights=shares_weights(recipe) is not None,
        chat_template_kwargs=dict(recipe.model.chat_template_kwargs),
    )


def train(
    job: Job,
    directory: Path,
    *,
    in_process: bool,
    announce: Callable[[str, float | None], None],
    say: Callable[[str], None],
) -> TrainingSummary:
    """Run a job to its end in ``directory``; returns ``train/summary.json``. ``announce`` hears how far it is, and the
    share of it, ``say`` each finding of the health checks.

    Raises:
        TrainingError: the job failed.
    """
    from harness.training.launcher import run_job

    first: list[float] = []  # reward that was seen
    planned = 0  # steps
    step, since = -1, 0.0  # the last step that ended, and when that was heard of

    def progress(state: Progress) -> None:
        nonlocal planned, step, since
        if state.total is None:
            announce(work_within_step(state.doing, state.parts, state.of) or "starting", None)
            return
        planned = state.total
        if state.step != step:
            step, since = state.step, time.monotonic()
        if state.reward is not None and not first:
            first.append(state.reward)
        moved = None if state.reward is None else ("reward", first[0], state.reward)
        a_step = state.seconds / state.done if state.done else 0.0
        of_step = max(0.0, a_step - (time.monotonic() - since))  # what is left of it
        left = a_step * (state.total - state.step - 1) + of_step
        within = work_within_step(state.doing, state.parts, state.of, of_step)
        told = steps_done(state.step, state.total, moved, left, within)
        announce(told, state.step / max(1, state.total))

    def finding(found: Finding) -> None:
        say(f"{found.level}: step {found.step}, {found.sentence}")

    announce("starting", None)
    summary = run_job(job, directory, in_process=in_process, progress=progress, finding=finding)
    n = judge_training(list(METRICS.read(directory))).numbers
    ends = ((what, n.get(f"first_{what}"), n.get(f"last_{what}")) for what in ("reward", "loss"))
    moved = next(((what, start, end) for what, start, end in ends if start is not None and end is not None), None)
    planned = max(planned, summary.steps)  # a health check may have ended it before
    announce(steps_done(summary.steps, planned, moved), summary.steps / planned)
    return summary


def _lines(file: JsonLines[T], text: str) -> cached_property[list[T]]:
    """A property: the lines of one of the job's files, read when first asked for."""
    found: cached_property[list[T]] = cached_property(lambda trained: list(file.read(trained.directory)))
    found.__doc__ = text
    return found


@dataclass(frozen=True)
class Trained:
    """A finished training job, read from ``train/``; ``model`` is the folder of the final policy (safetensors)."""

    directory: Path
    summary: TrainingSummary

    @property
    def model(self) -> Path:
        return self.directory / "final"

    def check_logs(self) -> None:
        """Raise ``RecordError`` where a file that the training is judged by is not as training left it."""
        now = log_digests(self.directory) if self.summary.policy else self.summary.logs
        for name in sorted(self.summary.logs.keys() | now.keys()):
            if self.summary.logs.get(name) != now.get(name):
                what = "is gone" if name not in now else "is not as training left it"
                raise RecordError(
                    f"{self.directory / name}: {what}, and the training cannot be judged without it",
                    "run again with --rl-fresh, which moves this run aside and trains anew",
                )

    @property
    def fatal(self) -> list[str]:
        """What health checks found fatal, a sentence each."""
        found = [each for each in self.health if each.level == "fatal"]
        return [f"{each.check} at step {each.step}: {each.sentence}" for each in found]

    metrics = _lines(METRICS, "Every logged step, in order; what was not finite is ``None``.")
    data = _lines(DATA, "What SFT or DPO learnt from, an example or a pair each; empty for GRPO.")
    completions = _lines(COMPLETIONS, "Every sampled completion with its group, rewards and advantage, in order.")
    health = _lines(HEALTH, "What the health checks found, in order; see :class:`harness.store.run_files.Finding`.")
    evaluations = _lines(EVALUATIONS, "The evaluations during training, in order; see ``training/held_out.py``.")


# Of the process that trained, of a failure before it, and what is only needed to go on.
_LEFT_OUT = {".lock", TRAINED.name, "job.json", "progress.json", "failed.json", "error.txt"}


# What the training verdict and the findings come from.
_LOGS = (METRICS, HEALTH, EVALUATIONS, FAULTS)


def log_digests(directory: Path) -> dict[str, str]:
    """sha256 of the files that a training is judged by, of those that are there."""
    return {
        file.name: hashlib.sha256(file.path(directory).read_bytes()).hexdigest()
        for file in _LOGS
        if file.path(directory).is_file()
    }


def policy_in(directory: Path, fingerprint: Fingerprint) -> dict[str, str]:
    """What is the policy that a training in ``directory`` left."""
    return fingerprint(resolve_model(str((directory / "final").resolve())))


def _is_whole(directory: Path, summary: TrainingSummary, fingerprint: Fingerprint) -> bool:
    """Whether the policy in ``final/`` is the one that was trained."""
    try:
        found = policy_in(directory, fingerprint)
    except (ModelError, RecursionError):  # a configuration of a thousand levels
        return False
    return found == (summary.policy or found)


def kept_training(
    directory: Path, fingerprint: Fingerprint | None, say: Callable[[str], None]
) -> TrainingSummary | None:
    """``train/summary.json`` of a training whose policy is as it left it, and a sentence where that is not so: then it
    is made again, from the last checkpoint if there is one. Without a ``fingerprint`` the policy is believed."""
    final, aside = directory / "final", directory / f".final-{time.time_ns()}"
    try:
        summary = TRAINED.read(directory)
        if summary is None or fingerprint is None or _is_whole(directory, summary, fingerprint):
            return summary
        why = f"{final}: is not as training left it, and is now {aside.name}" if final.exists() else None
    except RecordError as error:
        why = error.found
    if final.exists():
        final.rename(aside)
    checkpoint = " from its last checkpoint" if any(directory.glob("checkpoint-*")) else ""
    say(f"{why or f'{final}: is gone'}; the policy is made again{checkpoint}")
    with suppress(FileNotFoundError):
        TRAINED.path(directory).rename(directory / f".{TRAINED.name}-{time.time_ns()}")
    return None


def adopt_training(directory: Path, key: str, runs: Iterable[Path], fingerprint: Fingerprint) -> TrainingSummary | None:
    """Copy a finished training with this key into ``directory`` (``train/`` of a run) from one of ``runs``, where all
    of it is whole.

    The summary is written last: without it, nothing of what a kill left here counts.

    Returns:
        ``train/summary.json``, with the run that trained as ``source``; ``None`` where none of them has it.
    """
    for run in runs:
        other = run / "train"
        if other == directory or (summary := TRAINED.fit(other)) is None or summary.training_key != key:
            continue
        logs = summary.logs or log_digests(other)
        if log_digests(other) != logs or not _is_whole(
            other, summary, fingerprint
        ):  # final/ may have been deleted to save space
            continue
        _copy(other, directory)
        for name in (SIGNAL.name, f"samples/{FAULTS.name}"):  # what was found before it began
            if (run / name).is_file():
                (directory.parent / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(run / name, directory.parent / name)
        adopted = replace(summary, source=summary.source or run.name)
        TRAINED.write(directory, adopted)
        return adopted
    return None


def _copy(other: Path, directory: Path) -> None:
    for name in ("error.txt", "failed.json", FAULTS.name, *(entry.name for entry in directory.glob("*.jsonl"))):
        (directory / name).unlink(missing_ok=True)  # of a training that did not end
    for entry in other.iterdir():
        if entry.is_file() and entry.name not in _LEFT_OUT and not entry.name.startswith("."):
            shutil.copyfile(entry, directory / entry.name)
    unfinished, final = directory / ".final", directory / "final"
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.rmtree(final, ignore_errors=True)
    shutil.copytree(other / "final", unfinished, copy_function=_link)
    unfinished.rename(final)


def _link(source: str, target: str) -> None:
    """A second name for the same bytes where the file system has that: weights are large, and are never written to."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
