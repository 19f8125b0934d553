"""Runs the health checks inside a training job: after each logged step, and what they find goes to ``health.jsonl``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from harness.rewards import resolve_reward
from harness.runs import LineWriter, read_json, read_lines
from harness.training.files import COMPLETIONS, EVALUATIONS, HEALTH, METRICS, Tail
from harness.training.health import Group, History, groups_of, limits, look
from harness.training.spec import Job


class HealthMonitor(TrainerCallback):  # type: ignore[misc]
    """Looks at the job's own files, so that a resumed job sees what came before. It says each finding once.

    A finding of a check in ``stop_on`` ends the training after its step.
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
        self._writer = LineWriter(directory / HEALTH)
        self._completions = Tail(directory / COMPLETIONS)
        self._groups: list[Group] = []

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, Any], **_: Any
    ) -> None:
        if "loss" not in logs:  # the summary after the last step
            return
        self._rows.append({"step": state.global_step, **logs})
        self._groups += groups_of(self._completions.read())
        history = History(
            rows=self._rows,
            groups=self._groups,
            evaluations=list(read_lines(self._directory / EVALUATIONS)),
            formats=self._formats,
            concentration=float("inf") if self._concentration is None else float(self._concentration),
        )
        for finding in look(history, self._limits, told=self._told, stop_on=self._stop_on):
            self._writer.append(asdict(finding))
            self._told.add(finding.check)
            control.should_training_stop |= finding.check in self._stop_on


def stopped_by(job: Job, directory: Path) -> Mapping[str, Any] | None:
    """The finding that ended a job early, if one did."""
    stop_on = job.health.get("stop_on", ())
    return next((row for row in read_lines(directory / HEALTH) if row["check"] in stop_on), None)
