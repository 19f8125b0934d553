"""Answers by ``model.generate``, a padded batch at a time: for models whose attention :mod:`.decode` does not know
(state-space layers, short windows, flash attention)."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from harness.models.device import release_memory
from harness.models.engines.decode import TooLargeError, evaluating
from harness.models.engines.memory import out_of_memory

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from harness.models.engines.sampling import Streams


def generate_padded(
    model: Any,
    prompts: Sequence[list[int]],
    sampler: Streams | None,
    ends: Collection[int],
    pad: int,
    max_new_tokens: int,
    size: int,
) -> Iterator[list[tuple[int, list[int]]]]:
    """As ``decode``; new ids may hold padding after the first end. A batch that does
    not fit into memory is halved and asked again; the smaller size stays."""
    waiting = list(enumerate(prompts))
    while waiting:
        batch = waiting[:size]
        rows = _try(model, batch, sampler, ends, pad, max_new_tokens)
        if rows is None:
            release_memory()
            if len(batch) == 1:
                raise TooLargeError(batch[0][0])
            if sampler is not None:
                sampler.restart(index for index, _ in batch)
            size = len(batch) // 2
            continue
        waiting = waiting[size:]
        yield [(index, row) for (index, _), row in zip(batch, rows, strict=True)]


def _try(model: Any, batch: Sequence[tuple[int, list[int]]], *settings: Any) -> list[list[int]] | None:
    """The batch's new ids, or ``None`` where memory ran out. Returning drops the error, whose traceback would keep
    the batch's tensors alive while the next one is tried."""
    try:
        return _generate(model, batch, *settings)
    except (RuntimeError, MemoryError) as error:
        if out_of_memory(error):
            return None
        raise


@torch.inference_mode()
def _generate(
    model: Any,
    batch: Sequence[tuple[int, list[int]]],
    sampler: Streams | None,
    ends: Collection[int],
    pad: int,
    max_new_tokens: int,
) -> list[list[int]]:
    width = max(len(prompt) for _, prompt in batch)
    # The mask is made from lengths: a pad token that is also an end, or part of a prompt, stays what it is there.
    ids = torch.tensor([[pad] * (width - len(prompt)) + prompt for _, prompt in batch])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for _, prompt in batch])
    settings = GenerationConfig(
        max_new_tokens=max_new_tokens, do_sample=False, use_cache=True, eos_token_id=sorted(ends), pad_token_id=pad
    )
    drawn = LogitsProcessorList([] if sampler is None else [_Chosen(sampler, [index for index, _ in batch])])
    with _pinned(model, settings):
        output = model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            generation_config=settings,
            logits_processor=drawn,
        )
    rows: list[list[int]] = output[:, width:].tolist()
    return rows


@contextlib.contextmanager
def _pinned(model: Any, settings: GenerationConfig) -> Iterator[None]:
    """``model.generate`` fills every setting left open from the model's own, so for its time that one is replaced."""
    own = model.generation_config
    model.generation_config = settings
    try:
        with evaluating(model):
            yield
    finally:
        model.generation_config = own


class _Chosen(LogitsProcessor):  # type: ignore[misc]  # transformers is untyped here
    """Leaves one token of each row, the sampler's. Greedy search then takes it, so torch's generator, which is shared
    by all rows of a batch, is never asked."""

    def __init__(self, sampler: Streams, rows: Sequence[int]) -> None:
        self._sampler, self._rows = sampler, rows

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        drawn = self._sampler(scores, self._rows)
        return torch.full_like(scores, -torch.inf).scatter(-1, drawn[:, None], 0.0)
