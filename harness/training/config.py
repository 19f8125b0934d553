"""What every method's TRL config is given: the recipe's keys over defaults that make a job resumable."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.recipe.trl_arguments import argument_defaults, optimizer_steps, steps_per_batch, supervised_steps

if TYPE_CHECKING:
    from harness.training.spec import Job


def arguments(job: Job, directory: Path, **defaults: Any) -> dict[str, Any]:
    """The recipe's keys as they are, over ``defaults`` and those that make a job resumable and fit the device."""
    defaults |= {
        "logging_steps": 1,  # health checks look at logged steps, and TRL would log every tenth
        "save_strategy": "steps",
        "save_steps": _a_quarter(job),
        "save_total_limit": 2,
        "report_to": "none",
        "disable_tqdm": True,
    }
    if job.device == "cpu":  # a GPU's defaults raise there
        defaults |= {"use_cpu": True, "bf16": False, "dataloader_pin_memory": False}
    return {
        **defaults,
        # A token would stand in every checkpoint's training_args.bin; HF_TOKEN in the environment logs in as well.
        **{key: value for key, value in job.arguments.items() if key != "hub_token"},
        "output_dir": str(directory),
        "seed": job.seed,
        "data_seed": job.seed,
    }


def checkpoint_period(job: Job) -> int:
    """A job can be resumed at steps that are multiples of this: in GRPO where a generation batch is used up, since a
    resumed job starts a new one; anywhere else in SFT and DPO, which sample nothing while they train."""
    return steps_per_batch(_all(job), job.processes) if job.method == "grpo" else 1


def _a_quarter(job: Job) -> int | float:
    """About a quarter of all steps, where the job can be resumed."""
    if job.method != "grpo":
        if job.arguments.get("packing"):
            return 0.25  # how many rows there will be only the trainer knows
        return max(1, round(supervised_steps(_all(job), len(job.rows), job.processes) / 4))
    period = checkpoint_period(job)
    return period * max(1, round(optimizer_steps(_all(job), len(job.rows), job.processes) / 4 / period))


def _all(job: Job) -> dict[str, Any]:
    return {**argument_defaults(job.method), **job.arguments}
