"""What a training job keeps and looks at while it works: every sampled completion, every logged metric, its health.

TRL's own completions log keeps only the last generation batch between two logs, and evaluation overwrites it. The
reward functions see every completion, so they are wrapped; what they return is joined with the group's advantages as
soon as TRL has computed them. In a job of several processes the main one writes.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from harness.gate.health import CHECKS, limits, look
from harness.gate.training_history import Group, History, groups_of
from harness.rewards import RewardCalls, completion_text, functions_of, weighted_total
from harness.rewards.grading import by_column
from harness.rewards.score import primary_grader
from harness.store.faults import Faults
from harness.store.files import JsonLines
from harness.store.records import FAULTS
from harness.store.run_directory import count_lines
from harness.store.run_files import (
    COMPLETIONS,
    EVALUATIONS,
    HEALTH,
    METRICS,
    PROGRESS,
    SIGNAL,
    Completion,
    Finding,
    Progress,
)
from harness.training import ranks
from harness.training.job import Job, report_activity

if TYPE_CHECKING:
    from harness.models import Policy
    from harness.store.records import Status


class CompletionLog:
    """Collects one generation batch while TRL scores it, then appends it to ``completions.jsonl``.

    ``step`` is the 1-based optimizer step that the batch feeds first; a ``group`` is the completions to one question
    within it. ``columns`` are those of the questions' rows by id: TRL's dataset, which has one type a column, would not
    hand them over as they are. Each process of a job collects its share, and the main one writes all of them in their
    order.
    """

    def __init__(
        self,
        directory: Path,
        policy: Policy,
        rewards: Mapping[str, float],
        columns: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    ) -> None:
        self._writer = COMPLETIONS.writer(directory) if ranks.is_main() else None
        self._directory = directory
        self._calls = RewardCalls(rewards, kept=FAULTS.read(directory) if ranks.is_main() else None)
        if ranks.is_main() and (before := count_lines(COMPLETIONS.path(directory))):  # of a job that goes on
            self._calls.faults.asked |= dict.fromkeys(self._calls.functions, before)
        self._policy = policy
        self._columns = columns
        self._rewards: dict[str, list[float | None]] = {}
        self._given: Any = None  # the completions of the batch that was scored
        self._seen: dict[str, Any] = {}
        self._extra: dict[str, list[Any]] = {}

    def wrap(self, name: str) -> Callable[..., list[float | None]]:
        """A reward function for TRL, under the recipe's name. The first that is called for a batch calls them all, the
        async ones at the same time; the others find their values there."""

        def noted(prompts: Any, completions: Any, **columns: Any) -> list[float | None]:
            if self._given is not completions:
                tokens = [len(ids) for ids in columns["completion_ids"]]
                rows = [self._columns.get(question, {}) for question in columns.get("question_id", ())]
                # As in an evaluation, which has no ids.
                columns = {**by_column(rows), **columns, "completion_tokens": tokens}
                if "log_extra" in columns:
                    self._extra = {}  # a function that is late writes into that of its own batch
                    columns["log_extra"] = partial(_keep, self._extra, len(completions), columns["log_extra"])
                turns = [self._turn(*each) for each in zip(prompts, completions, strict=True)]
                self._rewards = self._calls(prompts, turns, columns)
                self._given, self._seen = completions, {**columns, "prompts": prompts, "completions": turns}
            return self._rewards[name]

        noted.__name__ = name  # TRL names its metrics rewards/<name>/mean after it
        return noted

    def _turn(self, prompt: Any, completion: Any) -> Any:
        """A completion as it is in an evaluation: with the thought that the prompt opened."""
        opened = self._policy.opened_thought(prompt)
        if not (opened and completion):
            return completion
        first, *others = completion
        return [{**first, "content": opened + completion_text([first])}, *others]

    def write(self, step: int, advantages: Sequence[float], weights: Mapping[str, float]) -> None:
        """Append the batch that was just scored; ``advantages`` in the order of its completions. Every process of a
        job has to call it."""
        rows = [self._row(step, index, advantage, weights) for index, advantage in enumerate(advantages)]
        self._given, self._seen, self._rewards, self._extra = None, {}, {}, {}
        shares = ranks.gathered((rows, self._calls.faults))
        if shares is None or self._writer is None:
            return
        for each, _ in shares:
            for row in each:
                self._writer.append(row)
        if faults := _together([each for _, each in shares]):
            FAULTS.write(self._directory, faults.file)

    def _row(self, step: int, index: int, advantage: float, weights: Mapping[str, float]) -> Completion:
        seen = self._seen
        values = {name: self._rewards[name][index] for name in self._rewards}
        ids, text = seen["completion_ids"][index], completion_text(seen["completions"][index])
        return Completion(
            step=step,
            group=f"{step}/{seen['question_id'][index]}",
            question_id=seen["question_id"][index],
            prompt=seen["prompts"][index],
            completion=text,
            ground_truth=seen["ground_truth"][index],
            status=self._status(text, seen["ground_truth"][index], values, index),
            rewards=values,
            reward=weighted_total(values, weights),
            advantage=advantage,
            completion_tokens=len(ids),
            finish_reason="stop" if len(ids) and ids[-1] in self._policy.eos_token_ids else "length",
            extra={column: values[index] for column, values in self._extra.items()},
        )

    def _status(self, completion: str, truth: Any, values: dict[str, float | None], row: int) -> Status:
        """As in a record. What the grader's own reward says already is not judged a second time."""
        name, grader = primary_grader(self._calls.functions)
        if name in values and values[name] in (None, 1.0):
            return "unscored" if values[name] is None else "correct"
        return self._calls.grade(name, grader, completion, str(truth), row, self._seen).status


def _keep(
    extra: dict[str, list[Any]],
    size: int,
    log: Callable[[str, list[Any]], None],
    column: str,
    values: Sequence[Any],
) -> None:
    """What a reward function gives TRL's ``log_extra``, a value a completion."""
    if len(values) != size:
        raise ValueError(f"gave log_extra {len(values)} values of {column!r} for {size} completions")
    extra[str(column)] = list(values)
    log(column, list(values))


def _together(several: Sequence[Faults]) -> Faults:
    """The counts of several processes as one."""
    total = Faults()
    for each in several:
        for name, asked in each.asked.items():
            total.ask(name, asked)
        for name, reasons in each.reasons.items():
            for reason, (count, first) in reasons.items():
                total.add(name, reason, count, first)
        for name, (count, reason) in each.retried.items():
            known, first_reason = total.retried.get(name, (0, reason))
            total.retried[name] = known + count, first_reason
    return total


class MetricsLog(TrainerCallback):  # type: ignore[misc]
    """Appends every logged step to ``metrics.jsonl`` and keeps ``progress.json`` current for whoever watches, within a
    step as well: on a slow machine one takes minutes."""

    def __init__(self, directory: Path) -> None:
        self._writer = METRICS.writer(directory) if ranks.is_main() else None
        self._directory = directory
        self._started = time.time()
        self._first_step: int | None = None
        self._updated = 0  # micro-batches of the step

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._writer is not None:
            PROGRESS.write(
                self._directory, Progress(state.global_step, state.global_step, state.max_steps), durable=False
            )

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._updated = 0
        if self._first_step is None:
            self._first_step, self._started = state.global_step, time.time()

    def on_substep_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._updated += 1
        if self._writer is not None:
            report_activity(self._directory, "updating", self._updated, args.gradient_accumulation_steps)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        control.should_log |= state.global_step >= state.max_steps  # else a job shorter than logging_steps logs nothing
        if self._writer is None:
            return
        reward = next((row["reward"] for row in reversed(state.log_history) if "reward" in row), None)
        seconds = time.time() - self._started
        progress = Progress(state.global_step, self._first_step, state.max_steps, seconds, reward)
        PROGRESS.write(self._directory, progress, durable=False)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """A checkpoint says what had failed until then: a job that goes on from it does the later steps again."""
        folder = Path(args.output_dir)
        if self._writer is not None and FAULTS.path(folder).exists():
            shutil.copyfile(FAULTS.path(folder), FAULTS.path(folder / f"checkpoint-{state.global_step}"))

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, Any], **_: Any
    ) -> None:
        if self._writer is not None:
            self._writer.append({"step": state.global_step, "time": time.time(), **logs})


class HealthMonitor(TrainerCallback):  # type: ignore[misc]
    """Looks at the job's own files, so that a resumed job sees what came before. It says each finding once.

    A finding of a check in ``stop_on`` ends the training after its step. The main process of a job looks; the others
    are told whether to stop.
    """

    def __init__(self, job: Job, directory: Path) -> None:
        self._directory = directory
        self._limits = limits(job.health.get("limits", {}))
        self._stop_on = frozenset(job.health.get("stop_on", ()))
        self._formats = tuple(name for name, each in functions_of(job.rewards).items() if not hasattr(each, "grade"))
        signal = SIGNAL.read(directory.parent)
        self._concentration = signal.concentration if signal else None
        self._rows = [row for row in METRICS.read(directory) if "loss" in row]
        self._told = {row.check for row in HEALTH.read(directory)}
        self._writer = HEALTH.writer(directory) if ranks.is_main() else None
        self._next = 1, 0  # line of completions.jsonl, and its place in bytes
        self._groups: list[Group] = []

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, Any], **_: Any
    ) -> None:
        if "loss" not in logs:  # the summary after the last step
            return
        found = self._look(state.global_step, logs)
        if self._stop_on:  # all processes have to stop after the same step
            control.should_training_stop |= ranks.from_main(lambda: bool(found & self._stop_on))

    def _look(self, step: int, logs: dict[str, Any]) -> set[str]:
        """Note what the checks find after a step; returns the checks that found something."""
        if self._writer is None:
            return set()
        self._rows.append({"step": step, **logs})
        self._groups += groups_of(self._new_completions())
        history = History(
            rows=self._rows,
            groups=self._groups,
            evaluations=list(EVALUATIONS.read(self._directory)),
            formats=self._formats,
            concentration=float("inf") if self._concentration is None else self._concentration,
        )
        findings = list(look(history, self._limits, told=self._told, stop_on=self._stop_on))
        for finding in findings:
            self._writer.append(finding)
        found = {finding.check for finding in findings}
        self._told |= found
        return found

    def _new_completions(self) -> Iterator[Completion]:
        for number, at, line in COMPLETIONS.lines(self._directory, *self._next):
            yield COMPLETIONS.parse(self._directory, number, line)
            self._next = number + 1, at + len(line)


def forget_after(directory: Path, step: int) -> None:
    """Drop what was logged after a checkpoint's step: a resumed job does those steps again."""
    FAULTS.path(directory).unlink(missing_ok=True)
    if (faults := FAULTS.path(directory / f"checkpoint-{step}")).exists():
        shutil.copyfile(faults, FAULTS.path(directory))
    if METRICS.path(directory).exists():
        METRICS.write(directory, (row for row in METRICS.read(directory) if row["step"] <= step))
    files: tuple[JsonLines[Any], ...] = (COMPLETIONS, HEALTH, EVALUATIONS)
    for file in files:
        if file.path(directory).exists():
            file.write(directory, (row for row in file.read(directory) if row.step <= step))


def note_restart(job: Job, directory: Path, step: int, restarts: int) -> None:
    """Say in ``health.jsonl`` that a process died and all of them go on from a checkpoint's step."""
    check, limit = CHECKS["restart"], limits(job.health.get("limits", {})).get("restart")
    if limit is None or restarts < limit:
        return
    sentence = f"a process of the job died; all {job.processes} go on from step {step} (restart {restarts})"
    with HEALTH.writer(directory) as writer:
        writer.append(Finding("restart", check.key, step, check.level, restarts, limit, sentence))


def stopped_by(job: Job, directory: Path) -> Finding | None:
    """The finding that ended a job early, if one did."""
    stop_on = job.health.get("stop_on", ())
    return next((row for row in HEALTH.read(directory) if row.check in stop_on), None)
