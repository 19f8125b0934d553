"""Keeps every sampled completion and every logged metric of a training job, as JSON lines.

TRL's own completions log keeps only the last generation batch between two logs, and evaluation overwrites it. The
reward functions see every completion, so they are wrapped; what they return is joined with the group's advantages as
soon as TRL has computed them.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from harness.rewards import RewardFunction, call_reward, completion_text, weighted_total
from harness.rewards.score import primary_grader
from harness.runs import LineWriter, read_lines, write_json, write_lines
from harness.training.files import COMPLETIONS, EVALUATIONS, HEALTH, METRICS, PROGRESS

if TYPE_CHECKING:
    from harness.records import Status


class CompletionLog:
    """Collects one generation batch while TRL scores it, then appends it to ``completions.jsonl``.

    ``step`` is the 1-based optimizer step that the batch feeds first; a ``group`` is the completions to one question
    within it.
    """

    def __init__(self, directory: Path, eos_token_ids: frozenset[int]) -> None:
        self._writer = LineWriter(directory / COMPLETIONS)
        self._eos = eos_token_ids
        self._functions: dict[str, RewardFunction] = {}
        self._rewards: dict[str, list[float | None]] = {}
        self._seen: dict[str, Any] = {}

    def wrap(self, function: RewardFunction, name: str) -> Callable[..., list[float | None]]:
        """The same reward function under the recipe's name, with its inputs and values noted."""

        self._functions[name] = function

        @functools.wraps(function)
        def noted(prompts: Any, completions: Any, **columns: Any) -> list[float | None]:
            values = call_reward(name, function, prompts, completions, columns)
            self._rewards[name] = values
            self._seen = {"prompts": prompts, "completions": completions, **columns}
            return values

        noted.__name__ = name  # TRL names its metrics rewards/<name>/mean after it
        return noted

    def write(self, step: int, advantages: Sequence[float], weights: dict[str, float]) -> None:
        """Append the batch that was just scored; ``advantages`` in the order of its completions."""
        seen, rewards = self._seen, self._rewards
        self._seen, self._rewards = {}, {}
        for index, advantage in enumerate(advantages):
            values = {name: rewards[name][index] for name in rewards}
            ids = seen["completion_ids"][index]
            self._writer.append(
                {
                    "step": step,
                    "group": f"{step}/{seen['question_id'][index]}",
                    "question_id": seen["question_id"][index],
                    "prompt": seen["prompts"][index],
                    "completion": completion_text(seen["completions"][index]),
                    "ground_truth": seen["ground_truth"][index],
                    "status": self._status(
                        completion_text(seen["completions"][index]), seen["ground_truth"][index], values
                    ),
                    "rewards": values,
                    "reward": weighted_total(values, weights),
                    "advantage": advantage,
                    "completion_tokens": len(ids),
                    "finish_reason": "stop" if len(ids) and ids[-1] in self._eos else "length",
                }
            )

    def _status(self, completion: str, truth: Any, values: dict[str, float | None]) -> Status:
        """As in a record. What the grader's own reward says already is not judged a second time."""
        name, grader = primary_grader(self._functions)
        if name in values and values[name] in (None, 1.0):
            return "unscored" if values[name] is None else "correct"
        try:
            return grader(completion, str(truth)).status
        except Exception:  # a user's grader may raise anything; its reward was given all the same
            return "unscored"


class MetricsLog(TrainerCallback):  # type: ignore[misc]
    """Appends every logged step to ``metrics.jsonl`` and keeps ``progress.json`` current for whoever watches."""

    def __init__(self, directory: Path) -> None:
        self._writer = LineWriter(directory / METRICS)
        self._progress = directory / PROGRESS
        self._started = time.time()
        self._first_step: int | None = None

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._first_step is None:
            self._first_step, self._started = state.global_step, time.time()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        control.should_log |= state.global_step >= state.max_steps  # else a job shorter than logging_steps logs nothing
        rewards = [row["reward"] for row in state.log_history if "reward" in row]
        write_json(
            self._progress,
            {
                "step": state.global_step,
                "first_step": self._first_step,
                "total": state.max_steps,
                "seconds": time.time() - self._started,
                "reward": rewards[-1] if rewards else None,
            },
        )

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, Any], **_: Any
    ) -> None:
        self._writer.append({"step": state.global_step, "time": time.time(), **logs})


def forget_after(directory: Path, step: int) -> None:
    """Drop what was logged after a checkpoint's step: a resumed job does those steps again."""
    for name in (METRICS, COMPLETIONS, HEALTH, EVALUATIONS):
        path = directory / name
        if path.exists():
            write_lines(path, [row for row in read_lines(path) if row["step"] <= step])
