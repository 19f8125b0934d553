"""What a training job is told: plain data, kept as ``job.json`` in its directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import TrainingError
from harness.runs import read_json, write_json
from harness.tasks import Question


@dataclass(frozen=True)
class Job:
    """Everything a training process needs. ``rows`` are the dataset: a chat ``prompt`` and the rewards' columns.

    ``health`` is the recipe's table. ``signal`` is the signal check's work and ``during`` that of the evaluation during
    training (:mod:`harness.training.signal`, :mod:`harness.training.during`); ``None`` where it is not wanted.
    """

    method: str
    model: str
    device: str
    dtype: str
    seed: int
    rewards: dict[str, float]
    arguments: dict[str, Any]
    rows: list[dict[str, Any]]
    health: dict[str, Any] = field(default_factory=dict)
    signal: dict[str, Any] | None = None
    during: dict[str, Any] | None = None

    def write(self, directory: Path) -> None:
        write_json(directory / "job.json", asdict(self))

    @classmethod
    def read(cls, directory: Path) -> Job:
        fields = read_json(directory / "job.json")
        if fields is None:
            raise TrainingError(f"{directory / 'job.json'}: missing or torn; start the run again")
        return cls(**fields)


def as_question(row: Mapping[str, Any]) -> Question:
    """The question of a row of :attr:`Job.rows`."""
    return Question(row["question_id"], row["question"], row["ground_truth"], "train", prompt=tuple(row["prompt"]))
