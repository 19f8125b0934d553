"""Where two answers part, and whether that is a tie: two tokens that score nearly alike, of which another order of
sums may choose the other one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.models import Policy

# Differences of log-probabilities, by dtype of the weights. Scores of 16 to 32 lie 2e-6, 0.016 and 0.125 apart in
# these, and each is a sum of sums.
TIES = {"float32": 1e-3, "float16": 0.05, "bfloat16": 0.25}


def parting(policy: Policy, prompt: Sequence[int], first: str, second: str) -> tuple[int, float]:
    """Where two answers to a prompt (token ids) part: after how many tokens, and how far apart the log-probabilities of
    the two next tokens are, by a forward pass over that one sequence. Under :data:`TIES` it is a tie."""
    one, other = _ids(policy, first), _ids(policy, second)
    at = next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), None)
    at = min(len(one), len(other)) if at is None else at
    return at, _gap(policy, [*prompt, *one[:at]], _token(one, at), _token(other, at))


def _ids(policy: Policy, text: str) -> list[int]:
    ids: list[int] = policy.tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def _token(ids: Sequence[int], at: int) -> int | None:
    """The token at a place; ``None`` is the end."""
    return ids[at] if at < len(ids) else None


def _gap(policy: Policy, before: Sequence[int], first: int | None, second: int | None) -> float:
    """How far apart the log-probabilities of two next tokens are, by one forward pass over what stands before them."""
    import torch

    with torch.inference_mode():
        scores = policy.model(input_ids=torch.tensor([list(before)], device=policy.model.device)).logits[0, -1].float()
    shares = scores.log_softmax(dim=-1)
    ends = sorted(policy.eos_token_ids)
    values = [shares[ends].max() if token is None else shares[token] for token in (first, second)]
    return float((values[0] - values[1]).abs())
