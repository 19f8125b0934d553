"""Which token comes next: from scores of shape (rows, vocabulary) to one token id a row.

A sampled answer of an evaluation depends on (seed, question id, sample) and the model alone: every row draws from a
stream of its own, so batch size, order, and what was answered before do not matter (but for rounding, which differs
between batch shapes). Training draws from torch's generator.
"""

from __future__ import annotations

import hashlib
import json
import random
from typing import TYPE_CHECKING, Protocol

import torch
from transformers import LogitsProcessorList
from transformers.generation import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from harness.store.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Sampler(Protocol):
    def __call__(self, scores: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        """``scores`` (rows, vocabulary) of the sequences numbered ``rows`` to their next token ids (rows,)."""
        ...


def greedy(scores: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
    """The token of the highest score."""
    return scores.argmax(dim=-1)


def warpers(temperature: float, top_p: float, top_k: int) -> LogitsProcessorList:
    """Temperature, top-k and top-p in transformers' order; what cuts nothing is left out."""
    processors = LogitsProcessorList()
    if temperature != 1:
        processors.append(TemperatureLogitsWarper(temperature))
    if top_k > 0:
        processors.append(TopKLogitsWarper(top_k))
    if top_p < 1:
        processors.append(TopPLogitsWarper(top_p))
    return processors


class Drawn:
    """Draws with the CPU's generator of torch, which training seeds: a uniform number per row and step."""

    def __init__(self, processors: LogitsProcessorList) -> None:
        self._processors = processors

    def __call__(self, scores: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        steps = _cumulated(self._processors(None, scores.float()))  # memory may run out here, before a number is drawn
        # The last step may be a rounding error short of 1; scaling keeps every height in [0, 1) below it.
        heights = self._heights(rows).to(steps.device) * steps[:, -1:]
        return torch.searchsorted(steps, heights, right=True).squeeze(1).to(scores.device)

    def _heights(self, rows: Sequence[int]) -> torch.Tensor:
        return torch.rand(len(rows), 1, dtype=torch.float64)


class Streams(Drawn):
    """Draws each row from a stream of its own. ``answers`` names the rows by ``(question id, sample)``."""

    def __init__(self, processors: LogitsProcessorList, seed: int, answers: Sequence[tuple[str, int]]) -> None:
        super().__init__(processors)
        self._seed, self._answers = seed, answers
        self._streams: dict[int, random.Random] = {}
        self.restart(range(len(answers)))

    def restart(self, rows: Iterable[int]) -> None:
        """Draw for these rows from the beginning (again): their answers are given anew."""
        for row in rows:
            key = json.dumps([self._seed, *self._answers[row]])
            self._streams[row] = random.Random(int.from_bytes(hashlib.sha256(key.encode()).digest()))

    def _heights(self, rows: Sequence[int]) -> torch.Tensor:
        return torch.tensor([[self._streams[row].random()] for row in rows], dtype=torch.float64)


def _cumulated(scores: torch.Tensor) -> torch.Tensor:
    """The distribution functions (rows, vocabulary) of what ``scores`` give. One number draws from them, where torch's
    ``multinomial`` draws one per token of the vocabulary, on a CPU with one thread.

    Raises:
        ModelError: a score is not a number.
    """
    # Apple's GPUs have no float64, and a sum on a GPU no order that torch would call deterministic.
    elsewhere = scores.device.type == "mps" or (scores.is_cuda and torch.are_deterministic_algorithms_enabled())
    steps = (scores.cpu() if elsewhere else scores).double().softmax(dim=-1).cumsum(dim=-1)
    if not steps[:, -1].isfinite().all():
        raise ModelError(
            "the model's scores are not numbers; its weights are damaged, its training has diverged, or its dtype is "
            "too narrow"
        )
    return steps
