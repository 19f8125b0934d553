"""Why two greedy answers to one prompt differ: where they part, and how much the model preferred one token there."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import Any

# Logits this close change places with the shape of a batch, by the type of the weights.
TIE = {"float32": 1e-3, "float16": 0.05, "bfloat16": 0.25}


@dataclass(frozen=True)
class Difference:
    """``place`` counts the answer's tokens; ``gap`` is the logit of the first answer's token less the other's;
    ``others_above`` says how many tokens the model prefers to both."""

    place: int
    tokens: tuple[str, str]
    gap: float
    others_above: int
    tie: bool

    @property
    def sentence(self) -> str:
        kind = "a numeric tie" if self.tie else "no tie"
        first, other = self.tokens
        return f"{first!r} or {other!r} after {self.place} tokens, logits {abs(self.gap):.2g} apart: {kind}"


def difference(policy: Any, prompt: list[int], first: str, other: str) -> Difference:
    """Compare two different answers to ``prompt`` (token ids) by a plain forward pass over what they share."""
    import torch

    end = min(policy.eos_token_ids)
    ids = [[*policy.tokenizer(text, add_special_tokens=False)["input_ids"], end] for text in (first, other)]
    place = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(*ids, strict=False)))
    if place == min(map(len, ids)):  # the same tokens: only their text was made in another way
        raise ValueError(f"answers of the same tokens and of different texts: {first!r} and {other!r}")
    tokens = ids[0][place], ids[1][place]
    with torch.inference_mode():
        given = torch.tensor([prompt + ids[0][:place]], device=policy.model.device)
        logits = policy.model(input_ids=given).logits[0, -1].float()
    ends = logits[sorted(policy.eos_token_ids)].max()  # whichever it was
    values = [float(ends if token == end else logits[token]) for token in tokens]
    gap, above = values[0] - values[1], int((logits > max(values)).sum())
    tie = abs(gap) <= TIE[policy.dtype] and above == 0
    return Difference(place, tuple(policy.tokenizer.convert_ids_to_tokens(list(tokens))), gap, above, tie)
