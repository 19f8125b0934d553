"""GRPO (Shao et al. 2024, arXiv:2402.03300) on TRL's ``GRPOTrainer``, with every completion kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from harness.rewards import resolve_reward
from harness.training.arguments import argument_defaults, optimizer_steps, steps_per_batch
from harness.training.callbacks import callbacks
from harness.training.capture import CompletionLog

if TYPE_CHECKING:
    from harness.policy import Policy
    from harness.training.spec import Job


class _Trainer(GRPOTrainer):  # type: ignore[misc]
    completion_log: CompletionLog
    weights: dict[str, float]

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        output = super()._generate_and_score_completions(inputs)
        if self.model.training:
            step = self.state.global_step + 1
            self.completion_log.write(step, output["advantages"].flatten().tolist(), self.weights)
        return output


def build(job: Job, policy: Policy, directory: Path) -> GRPOTrainer:
    """A trainer that is ready to ``train()``; checkpoints and logs go to ``directory``."""
    log = CompletionLog(directory, policy.eos_token_ids)
    trainer = _Trainer(
        model=policy.model,
        processing_class=policy.tokenizer,
        reward_funcs=[log.wrap(resolve_reward(name), name) for name in job.rewards],
        args=GRPOConfig(**arguments(job, directory), reward_weights=list(job.rewards.values())),
        train_dataset=Dataset.from_list([{**row, "prompt": policy.adapt(row["prompt"])} for row in job.rows]),
        callbacks=callbacks(job, policy, directory),
    )
    trainer.completion_log, trainer.weights = log, job.rewards
    return trainer


def arguments(job: Job, directory: Path) -> dict[str, Any]:
    """The recipe's keys as they are, over the defaults that make a job resumable and fit the device."""
    defaults: dict[str, Any] = {
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
        **job.arguments,
        "output_dir": str(directory),
        "seed": job.seed,
        "data_seed": job.seed,
    }


def _a_quarter(job: Job) -> int:
    """About a quarter of all steps, where a generation batch is used up: a resumed job starts a new one."""
    all_arguments = {**argument_defaults(job.method), **job.arguments}
    period = steps_per_batch(all_arguments)
    return period * max(1, round(optimizer_steps(all_arguments, len(job.rows)) / 4 / period))
