"""Attention of a step in which sequences take one new token or several.

All new tokens are one packed row for the model, (1, tokens), so that none is computed for padding; here alone they are
laid beside the keys and values of their sequences.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers import AttentionInterface

_NAME = "rl_harness_packed"


class Packing:
    """Which new token is whose: ``counts[row]`` of them, one after another, to a sequence that holds ``held[row]``.

    ``owners`` and ``positions`` (tokens,) are their sequences and their places there. ``mask`` (rows, 1, most tokens of
    a row, keys) is True where a token looks; in a row with fewer tokens than the most, the last one stands repeated.
    """

    def __init__(self, held: Sequence[int], counts: Sequence[int], device: torch.device) -> None:
        self.rows, self.most, self.width = len(counts), max(counts), max(map(sum, zip(held, counts, strict=True)))
        each = [(row, at) for row, count in enumerate(counts) for at in range(count)]
        self.owners = torch.tensor([row for row, _ in each], device=device)
        self.positions = torch.tensor([held[row] + at for row, at in each], device=device)
        if self.most == 1:
            looks = self.positions.view(-1, 1, 1, 1)
        else:
            places = [row * self.most + at for row, at in each]
            ends = itertools.accumulate(counts)
            slots = [
                end - max(1, count - at) for end, count in zip(ends, counts, strict=True) for at in range(self.most)
            ]
            self._places = torch.tensor(places, device=device)  # the place of each token
            self._slots = torch.tensor(slots, device=device)  # the token that stands in each place
            looks = self.positions[self._slots].view(self.rows, 1, self.most, 1)
        self.mask = torch.arange(self.width, device=device) <= looks
        self._added: dict[tuple[int, torch.dtype], torch.Tensor] = {}

    def spread(self, query: torch.Tensor, heads: int) -> torch.Tensor:
        """(1, query heads, tokens, dimension) to (rows, ``heads``, queries, dimension): queries that share keys and
        values are rows of one product."""
        _, all_heads, tokens, width = query.shape
        each = query[0].transpose(0, 1).reshape(tokens, heads, all_heads // heads, width)[self._slots]
        return each.view(self.rows, self.most, heads, -1, width).transpose(1, 2).reshape(self.rows, heads, -1, width)

    def gathered(self, output: torch.Tensor) -> torch.Tensor:
        """(rows, key-value heads, queries, dimension) to (1, tokens, query heads, dimension)."""
        rows, heads, _, width = output.shape
        each = output.view(rows, heads, self.most, -1, width).transpose(1, 2)
        return each.reshape(rows * self.most, -1, width)[self._places][None]

    def added(self, shared: int, dtype: torch.dtype) -> torch.Tensor:
        """The mask as numbers to add, for ``shared`` query heads to each key-value head; one for all layers."""
        if (shared, dtype) not in self._added:
            added = torch.zeros(self.mask.shape, dtype=dtype, device=self.mask.device)
            added.masked_fill_(~self.mask, torch.finfo(dtype).min)
            self._added[shared, dtype] = added.repeat_interleave(shared, dim=2)
        return self._added[shared, dtype]


# Architectures that hand on what the caller adds and attend by the mask that they are given, seen in tests. Others may
# make masks of their own, or bend scores.
_SEEN = ("llama", "mistral", "qwen2", "qwen3", "gemma3_text", "phi3", "olmo2", "granite", "gpt2")


def can_pack(config: Any) -> bool:
    """Whether a model of this config attends as :func:`_attend` does, to every token alike however long the row is."""
    rope = getattr(config, "rope_parameters", None) or {}
    every = [rope, *(each for each in rope.values() if isinstance(each, dict))]  # some have one for each kind of layer
    stretched = any(each.get("rope_type") in ("dynamic", "longrope") for each in every)  # by a step's longest row
    return config.model_type in _SEEN and config._attn_implementation == "sdpa" and not stretched


@contextlib.contextmanager
def attending_packed(model: Any) -> Iterator[None]:
    """The model's calls take ``packing=Packing(...)`` in the meantime."""
    before = model.config._attn_implementation
    model.config._attn_implementation = _NAME
    try:
        yield
    finally:
        model.config._attn_implementation = before


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    *,
    packing: Packing,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """As transformers' attention functions; keys and values are of shape (rows, heads, tokens, dimension)."""
    assert attention_mask is packing.mask, "can_pack says which models leave it as it is"
    heads = key.shape[1]
    mask = packing.added(query.shape[1] // heads, query.dtype)
    output = torch.nn.functional.scaled_dot_product_attention(
        packing.spread(query, heads), key, value, attn_mask=mask, scale=scaling
    )
    return packing.gathered(output), None


AttentionInterface.register(_NAME, _attend)
