"""A finished training job, read from its directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.runs import read_lines


@dataclass(frozen=True)
class Trained:
    """A finished training job, read from ``train/``; ``model`` is the folder of the final policy (safetensors)."""

    directory: Path
    summary: Mapping[str, Any]

    @property
    def model(self) -> Path:
        return self.directory / "final"

    @cached_property
    def metrics(self) -> list[dict[str, Any]]:
        """Every logged step, in order; what was not finite is ``None``."""
        return list(read_lines(self.directory / "metrics.jsonl"))

    @cached_property
    def data(self) -> list[dict[str, Any]]:
        """What SFT or DPO learnt from, an example or a pair each; empty for GRPO."""
        return list(read_lines(self.directory / "data.jsonl"))

    @cached_property
    def completions(self) -> list[dict[str, Any]]:
        """Every sampled completion with its group, rewards and advantage, in order."""
        return list(read_lines(self.directory / "completions.jsonl"))

    @cached_property
    def health(self) -> list[dict[str, Any]]:
        """What the health checks found, in order; see :class:`harness.training.health.Finding`."""
        return list(read_lines(self.directory / "health.jsonl"))

    @cached_property
    def evaluations(self) -> list[dict[str, Any]]:
        """The evaluations during training, in order; see :mod:`harness.training.during`."""
        return list(read_lines(self.directory / "evaluations.jsonl"))
