"""``python sampling.py NAME JOB``: samples completions as GRPO's trainer does before each step.

An order is ``{"batch": 0}``, the answer ``{"seconds": 1.5, "prompts": [[ids]], "completions": [[ids]]}``. Both
contestants are trainers, asked through the method that each calls in training: TRL's own, and this project's.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contestant import serve


def trl(job: dict[str, Any], folder: Path) -> Any:
    """TRL's trainer: ``model.generate`` over every prompt as often as it is answered, padded on the left."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import GRPOConfig, GRPOTrainer

    from harness.rewards import resolve_reward
    from harness.training.config import arguments
    from harness.training.spec import Job

    own = Job.read(folder)
    return GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(own.model, dtype=own.dtype).to(own.device),
        processing_class=AutoTokenizer.from_pretrained(own.model),
        reward_funcs=[resolve_reward(name) for name in own.rewards],
        args=GRPOConfig(**arguments(own, folder)),
        train_dataset=Dataset.from_list(own.rows),
    )


def rl_harness(job: dict[str, Any], folder: Path) -> Any:
    from harness.policy.device import calm_threads

    calm_threads()
    from harness.policy import load_policy
    from harness.training.grpo import build
    from harness.training.spec import Job

    own = Job.read(folder)
    return build(own, load_policy(own.model, device=own.device, dtype=own.dtype), folder)


CONTESTANTS = {"TRL": trl, "rl-harness": rl_harness}
