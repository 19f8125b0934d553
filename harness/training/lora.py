"""LoRA (Hu et al. 2021, arXiv:2106.09685) through peft: what is trained, and what is saved of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.models.adapter import put_on, write_base

if TYPE_CHECKING:
    from harness.models import Policy
    from harness.training.spec import Job


def adapter(job: Job) -> Any:
    """peft's ``LoraConfig`` of a job, or ``None`` where all weights are trained."""
    if job.lora is None:
        return None
    from peft import LoraConfig

    modules = job.lora["target_modules"]
    return LoraConfig(
        r=job.lora["r"],
        lora_alpha=job.lora["alpha"],
        lora_dropout=job.lora["dropout"],
        target_modules=modules[0] if len(modules) == 1 else modules,  # "all-linear" is a word, not a module
        task_type="CAUSAL_LM",
    )


def load_adapter(policy: Policy, checkpoint: Path) -> None:
    """Put a checkpoint's adapter on the base policy that it was trained on."""
    policy.model = put_on(policy, checkpoint)


def save_final(job: Job, policy: Policy, folder: Path) -> None:
    """Write a trained policy: plain weights, or its adapter alone where ``[lora]`` says ``merge = false``."""
    if job.lora is None or job.lora["merge"]:
        policy.merged().save(folder)
        return
    policy.save(folder)
    if job.base is not None:
        write_base(folder, job.base)
