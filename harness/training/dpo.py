"""Direct preference optimization (Rafailov et al. 2023, arXiv:2305.18290) on TRL's ``DPOTrainer``."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from trl import DPOConfig, DPOTrainer

from harness.training.callbacks import callbacks
from harness.training.config import arguments
from harness.training.lora import adapter
from harness.training.tokens import answer_tokens, check_lengths, end_token

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.models import Policy
    from harness.training.spec import Job


class _Trainer(DPOTrainer):  # type: ignore[misc]
    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        """The rows are in tokens already, as the policy is asked; TRL's chat rendering may differ from generation's."""
        return dataset


def build(job: Job, policy: Policy, directory: Path) -> DPOTrainer:
    """A trainer that is ready to ``train()``; checkpoints and logs go to ``directory``.

    The reference is the policy as it is now. With an adapter, TRL asks the model without it.
    """
    end = end_token(policy)
    rows = [_row(policy, row, end) for row in job.rows]
    check_lengths(
        policy, [len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"])) for row in rows]
    )
    lora = adapter(job)
    return _Trainer(
        model=policy.model,
        ref_model=None if lora else copy.deepcopy(policy.model),  # TRL would look for it where the policy came from
        processing_class=policy.tokenizer,
        args=DPOConfig(**arguments(job, directory, max_length=None)),
        train_dataset=Dataset.from_list(rows),
        callbacks=callbacks(job, policy, directory),
        peft_config=lora,
    )


def _row(policy: Policy, row: Mapping[str, Any], end: int) -> dict[str, list[int]]:
    cut = row.get("rejected_finish_reason") == "length"  # it was never ended, so there is no end to learn from
    return {
        "prompt_ids": policy.encode(row["prompt"]),
        "chosen_ids": answer_tokens(policy, row["prompt"], row["chosen"][-1]["content"], end),
        "rejected_ids": answer_tokens(policy, row["prompt"], row["rejected"][-1]["content"], None if cut else end),
    }
