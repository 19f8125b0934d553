"""A finished training job, read from its directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.store.run_directory import read_lines
from harness.training.files import COMPLETIONS, EVALUATIONS, HEALTH, METRICS


def _lines(name: str, text: str) -> cached_property[list[dict[str, Any]]]:
    """A property: the objects of one of the job's files, read when first asked for."""
    found: cached_property[list[dict[str, Any]]] = cached_property(
        lambda trained: list(read_lines(trained.directory / name))
    )
    found.__doc__ = text
    return found


@dataclass(frozen=True)
class Trained:
    """A finished training job, read from ``train/``; ``model`` is the folder of the final policy (safetensors)."""

    directory: Path
    summary: Mapping[str, Any]

    @property
    def model(self) -> Path:
        return self.directory / "final"

    @property
    def fatal(self) -> list[str]:
        """What health checks found fatal, a sentence each."""
        found = [each for each in self.health if each["level"] == "fatal"]
        return [f"{each['check']} at step {each['step']}: {each['sentence']}" for each in found]

    metrics = _lines(METRICS, "Every logged step, in order; what was not finite is ``None``.")
    data = _lines("data.jsonl", "What SFT or DPO learnt from, an example or a pair each; empty for GRPO.")
    completions = _lines(COMPLETIONS, "Every sampled completion with its group, rewards and advantage, in order.")
    health = _lines(HEALTH, "What the health checks found, in order; see :class:`harness.gate.health.Finding`.")
    evaluations = _lines(EVALUATIONS, "The evaluations during training, in order; see :mod:`harness.training.during`.")
