"""GRPO (Shao et al. 2024, arXiv:2402.03300) on TRL's ``GRPOTrainer``, with every completion kept."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer
from trl.extras.profiling import profiling_context

from harness.training import ranks
from harness.training.callbacks import callbacks
from harness.training.capture import CompletionLog
from harness.training.config import arguments
from harness.training.lora import adapter
from harness.training.sampling import can_sample, sample, why_slow

if TYPE_CHECKING:
    from harness.models import Policy
    from harness.training.spec import Job


class _Trainer(GRPOTrainer):  # type: ignore[misc]
    completion_log: CompletionLog
    weights: Mapping[str, float]
    shares_prompts = False
    slow: str | None = None  # why ``model.generate`` had to sample, where it had to

    def _generate_single_turn(self, prompt_ids: Any, *others: Any, **more: Any) -> Any:
        if self.shares_prompts:
            why = why_slow(self, prompt_ids)
            if why is None:
                with profiling_context(self, "sample"):
                    return sample(self, prompt_ids), None
            self.slow = why
        return super()._generate_single_turn(prompt_ids, *others, **more)

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        output = super()._generate_and_score_completions(inputs)
        if self.model.training:
            step = self.state.global_step + 1
            self.completion_log.write(step, output["advantages"].flatten().tolist(), self.weights)
        return output


def build(job: Job, policy: Policy, directory: Path) -> GRPOTrainer:
    """A trainer that is ready to ``train()``; checkpoints and logs go to ``directory``."""
    log = CompletionLog(directory, policy, job.rewards)
    reference = _reference(job, policy, directory)
    trainer = _Trainer(
        model=policy.model,
        processing_class=policy.tokenizer,
        reward_funcs=[log.wrap(name) for name in job.rewards],
        args=GRPOConfig(
            **arguments(job, directory, chat_template_kwargs=dict(policy.chat_template_kwargs)),
            reward_weights=list(job.rewards.values()),
        ),
        train_dataset=Dataset.from_list([{**row, "prompt": policy.adapt(row["prompt"])} for row in job.rows]),
        callbacks=callbacks(job, policy, directory),
        peft_config=adapter(job),
    )
    if reference is not None:
        ranks.wait()
        shutil.rmtree(reference, ignore_errors=True)  # every process has loaded it
    trainer.completion_log, trainer.weights = log, job.rewards
    trainer.shares_prompts = job.sampling == "shared" and can_sample(trainer)
    return trainer


def _reference(job: Job, policy: Policy, directory: Path) -> Path | None:
    """With ``beta`` above 0 TRL loads the reference from where the model's config says that it came from. That is not
    this policy where an adapter was merged into it, or a GGUF file unpacked: then it is written out for TRL."""
    kind = policy.source.kind if policy.source else None
    if not job.arguments.get("beta") or job.lora is not None or kind not in ("adapter", "gguf"):
        return None
    folder = directory / "reference"
    ranks.from_main(lambda: policy.save(folder))
    policy.model.config._name_or_path = str(folder)
    return folder
