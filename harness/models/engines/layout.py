"""How weights lie in memory while a model answers on a CPU.

The products of a decoding step have few rows. MKL takes two thirds of the time for them, and half for an output layer,
where a linear layer's weights lie column after column, as it need not turn them first. The numbers are the same, but
training in this layout rounds otherwise, so what is trained lies as torch made it, but for the while it answers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch


def lay_out(model: Any) -> None:
    """Turn the weights of linear layers for good, one after another; for models that answer only.

    An output layer that shares its weights with the embedding is left to :func:`laid_out`.
    """
    for module in _plain(model):
        if not _shared(module, model):
            module.weight.data = _turned(module.weight.data)


@contextlib.contextmanager
def laid_out(model: Any) -> Iterator[None]:
    """Turned copies of what :func:`lay_out` has not turned, in the meantime: as much memory again for these weights.
    Then every parameter holds what it held before."""
    before = []
    try:
        for module in _plain(model):
            weight = module.weight
            before.append((module, weight, weight.data))
            if _shared(module, model):  # embeddings are read row by row
                module.weight = torch.nn.Parameter(_turned(weight.data), requires_grad=False)
            else:
                weight.data = _turned(weight.data)
        yield
    finally:
        for module, weight, data in reversed(before):  # a weight may belong to several layers
            weight.data = data
            module.weight = weight


def _plain(model: Any) -> list[Any]:
    """Linear layers whose weights lie as torch makes them, where another layout pays."""
    linear = (module for module in model.modules() if isinstance(module, torch.nn.Linear))
    return [each for each in linear if _lies_plainly(each.weight)]


def _lies_plainly(weight: torch.Tensor) -> bool:
    return weight.device.type == "cpu" and weight.dtype == torch.float32 and weight.is_contiguous()


def _shared(module: torch.nn.Linear, model: Any) -> bool:
    return module.weight is model.get_input_embeddings().weight


def _turned(weight: torch.Tensor) -> torch.Tensor:
    return weight.t().contiguous().t()
