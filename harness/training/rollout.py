"""GRPO's completions with each prompt computed once, in place of the trainer's ``model.generate``.

TRL hands ``model.generate`` every prompt ``num_generations`` times and waits for the longest completion. The same
distribution (temperature, top-p and top-k by transformers' own processors) is drawn from sooner by the default engine's
loop: see :mod:`harness.models.engines.decode`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import DistributedType
from trl.models import unwrap_model_for_generation

from harness.models.engines.decode import decode, why_not
from harness.models.engines.machine import BatchSize
from harness.models.engines.sampling import Drawn, warpers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trl import GRPOTrainer

# With these the trainer's own generation does something that the loop does not.
_LEFT_TO_THE_TRAINER = ("use_vllm", "use_transformers_continuous_batching", "generation_kwargs", "cache_implementation")
_WHOLE_WEIGHTS = ("NO", "MULTI_GPU", "MULTI_CPU", "MULTI_XPU", "MULTI_NPU")  # every process holds all of them


def can_sample(trainer: GRPOTrainer) -> bool:
    """Whether a trainer's settings ask for nothing but temperature, top-p and top-k."""
    asked = trainer.args
    if any(getattr(asked, name, None) for name in _LEFT_TO_THE_TRAINER):
        return False
    if asked.repetition_penalty != 1.0 or asked.min_p is not None or getattr(trainer, "tools", None):
        return False
    whole = {getattr(DistributedType, name, None) for name in _WHOLE_WEIGHTS}
    return trainer.accelerator.distributed_type in whole


def why_slow(trainer: GRPOTrainer, prompts: Sequence[list[int]]) -> str | None:
    """Why the loop cannot sample of the model with prompts of these lengths; ``None`` if it can."""
    return why_not(trainer.model, max(map(len, prompts), default=0) + trainer.args.max_completion_length)


@torch.no_grad()
def sample(
    trainer: GRPOTrainer, prompts: Sequence[list[int]], told: Callable[[int, int], None] = lambda done, of: None
) -> list[list[int]]:
    """Completions (token ids, with the end where there is one) of prompts (token ids), in their order. ``told`` hears
    how many are done, and of how many."""
    asked = trainer.args
    completions: list[list[int]] = [[] for _ in prompts]
    unwrapped = unwrap_model_for_generation(
        trainer.model_wrapped,
        trainer.accelerator,
        gradient_checkpointing_kwargs=asked.gradient_checkpointing_kwargs,
    )
    with unwrapped as model:
        batches = decode(
            model,
            prompts,
            Drawn(warpers(asked.temperature, asked.top_p, int(asked.top_k or 0))),
            _ends(trainer),
            asked.max_completion_length,
            BatchSize(len(prompts), trainer.accelerator.device.type),
        )
        for batch in batches:
            for index, new_ids in batch:
                completions[index] = new_ids
            told(sum(map(bool, completions)), len(prompts))
    return completions


def _ends(trainer: GRPOTrainer) -> list[int]:
    ends: Any = trainer.eos_token_ids
    return [ends] if isinstance(ends, int) else list(ends)
