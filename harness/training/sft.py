"""Supervised fine-tuning on TRL's ``SFTTrainer``, with the loss on the answers alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from harness.training.callbacks import callbacks
from harness.training.config import arguments
from harness.training.lora import adapter
from harness.training.tokens import answer_tokens, check_lengths, end_token

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.models import Policy
    from harness.training.spec import Job


def build(job: Job, policy: Policy, directory: Path) -> SFTTrainer:
    """A trainer that is ready to ``train()``; checkpoints and logs go to ``directory``.

    The rows are in tokens already, as the policy is asked: TRL takes ``input_ids`` as they are, and makes labels of
    those that ``completion_mask`` marks.
    """
    end = end_token(policy)
    rows = [_row(policy, row, end) for row in job.rows]
    check_lengths(policy, [len(row["input_ids"]) for row in rows])
    return SFTTrainer(
        model=policy.model,
        processing_class=policy.tokenizer,
        args=SFTConfig(**arguments(job, directory, completion_only_loss=True, max_length=None)),
        train_dataset=Dataset.from_list(rows),
        callbacks=callbacks(job, policy, directory),
        peft_config=adapter(job),
    )


def _row(policy: Policy, row: Mapping[str, Any], end: int) -> dict[str, list[int]]:
    prompt = policy.encode(row["prompt"])
    answer = answer_tokens(policy, row["prompt"], row["completion"][-1]["content"], end)
    return {"input_ids": prompt + answer, "completion_mask": [0] * len(prompt) + [1] * len(answer)}
