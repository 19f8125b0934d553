"""Runs the health checks inside a training job: after each logged step, and what they find goes to ``health.jsonl``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from harness.gate.health import CHECKS, Finding, Group, History, groups_of, limits, look
from harness.rewards import resolve_reward
from harness.store.run_directory import LineWriter, read_json, read_lines
from harness.training import ranks
from harness.training.files import COMPLETIONS, EVALUATIONS, HEALTH, METRICS, Tail
from harness.training.spec import Job


class HealthMonitor(TrainerCallback):  # type: ignore[misc]
    """Looks at the job's own files, so that a resumed job sees what came before. It says each finding once.

    A finding of a check in ``stop_on`` ends the training after its step. The main process of a job looks; the others
    are told whether to stop.
    """

    def __init__(self, job: Job, directory: Path) -> None:
        self._directory = directory
        self._limits = limits(job.health.get("limits", {}))
        self._stop_on = frozenset(job.health.get("stop_on", ()))
        self._formats = tuple(name for name in job.rewards if not hasattr(resolve_reward(name), "grade"))
        signal = read_json(directory.parent / "signal.json") or {}
        self._concentration = signal.get("concentration")
        self._rows = [row for row in read_lines(directory / METRICS) if "loss" in row]
        self._told = {row["check"] for row in read_lines(directory / HEALTH)}
        self._writer = LineWriter(directory / HEALTH) if ranks.is_main() else None
        self._completions = Tail(directory / COMPLETIONS)
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
        self._groups += groups_of(self._completions.read())
        history = History(
            rows=self._rows,
            groups=self._groups,
            evaluations=list(read_lines(self._directory / EVALUATIONS)),
            formats=self._formats,
            concentration=float("inf") if self._concentration is None else float(self._concentration),
        )
        findings = list(look(history, self._limits, told=self._told, stop_on=self._stop_on))
        for finding in findings:
            self._writer.append(asdict(finding))
        found = {finding.check for finding in findings}
        self._told |= found
        return found


def note_restart(job: Job, directory: Path, step: int, restarts: int) -> None:
    """Say in ``health.jsonl`` that a process died and all of them go on from a checkpoint's step."""
    check, limit = CHECKS["restart"], limits(job.health.get("limits", {})).get("restart")
    if limit is None or restarts < limit:
        return
    sentence = f"a process of the job died; all {job.processes} go on from step {step} (restart {restarts})"
    with LineWriter(directory / HEALTH) as writer:
        writer.append(asdict(Finding("restart", check.key, step, check.level, restarts, limit, sentence)))


def stopped_by(job: Job, directory: Path) -> Mapping[str, Any] | None:
    """The finding that ended a job early, if one did."""
    stop_on = job.health.get("stop_on", ())
    return next((row for row in read_lines(directory / HEALTH) if row["check"] in stop_on), None)
