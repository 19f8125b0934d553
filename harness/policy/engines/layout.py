"""How weights lie in memory while a model answers on a CPU.

The products of a decoding step have few rows. MKL takes two thirds of the time for them, and half for an output layer,
where a linear layer's weights lie column after column, as it need not turn them first. The numbers are the same, but
training in this layout rounds otherwise, so what is trained lies as torch made it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch


def lay_out(model: Any) -> None:
    """Turn the weights of linear layers for good; for models that answer only."""
    _turn(model)


@contextlib.contextmanager
def laid_out(model: Any) -> Iterator[None]:
    """Turned copies in the meantime: as much memory again, and then every parameter holds what it held before."""
    turned = _turn(model)
    try:
        yield
    finally:
        for module, parameter, data in turned:
            parameter.data = data
            module.weight = parameter


def _turn(model: Any) -> list[tuple[torch.nn.Linear, Any, torch.Tensor]]:
    """The modules whose weights were turned, with their parameters and what these held."""
    embedding = model.get_input_embeddings().weight
    turned = []
    for module in model.modules():
        if not isinstance(module, torch.nn.Linear):
            continue
        weight = module.weight
        if weight.device.type != "cpu" or weight.dtype != torch.float32 or not weight.is_contiguous():
            continue
        turned.append((module, weight, weight.data))
        columns = weight.data.t().contiguous().t()
        if weight is embedding:  # an output layer that shares them gets its own: embeddings are read row by row
            module.weight = torch.nn.Parameter(columns, requires_grad=False)
        else:
            weight.data = columns
    return turned
