"""What a training job is told: plain data, kept as ``job.json`` in its directory."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import TrainingError
from harness.rewards import Rewards
from harness.runs import read_json, write_json


@dataclass(frozen=True)
class Job:
    """Everything a training process needs.

    ``rows`` are the dataset, each with a chat ``prompt``: in GRPO with the rewards' columns, in SFT with a
    ``completion``, in DPO with ``chosen`` and ``rejected``. ``lora`` is the recipe's ``[lora]`` and ``base``
    what its adapter's folder says of the model (:func:`harness.policy.adapter.base_json`). ``sampled`` says what
    the rows cost before training: completions, tokens and seconds of sampling.
    """

    method: str
    model: str
    device: str
    dtype: str
    seed: int
    rewards: Rewards
    arguments: dict[str, Any]
    rows: list[dict[str, Any]]
    lora: dict[str, Any] | None = None
    base: dict[str, Any] | None = None
    sampled: dict[str, Any] | None = None

    def write(self, directory: Path) -> None:
        write_json(directory / "job.json", {**asdict(self), "rewards": self.rewards.table()})

    @classmethod
    def read(cls, directory: Path) -> Job:
        fields = read_json(directory / "job.json")
        if fields is None:
            raise TrainingError(f"{directory / 'job.json'}: missing or torn; start the run again")
        return cls(**{**fields, "rewards": Rewards.from_table(fields["rewards"])})
