"""How the loop fits its machine: how many sequences memory holds and pay, and how weights lie on a CPU."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import torch

from harness.models.device import available_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

_START = {"cuda": 256}  # rows to begin with, by device
_START_ELSEWHERE = 64
_MOST = 4096
_FULL = 0.75  # a batch with so many of its rows taken tells how quick its size is
_STEPS = 16  # a speed is measured over so many steps
_WORTH = 1.10  # twice the rows must give so many times the tokens a second to go on


class BatchSize:
    """How many sequences are continued at once (``limit``): a fixed number, but for memory, or as many as pay.

    Without a fixed number it doubles as long as more answers wait, memory holds them, and the last doubling gave a
    tenth more tokens a second; where it did not, the smaller size comes back.
    """

    def __init__(self, fixed: int | None, device: str) -> None:
        self.limit = fixed or _START.get(device, _START_ELSEWHERE)
        self._ceiling = fixed or _MOST
        self._growing = fixed is None
        self._before: tuple[int, float] | None = None  # the smaller size, and its tokens a second
        self._steps = self._tokens = 0
        self._seconds = 0.0

    def observe(self, rows: int, seconds: float, *, waiting: int) -> None:
        """One step of ``rows`` sequences took ``seconds``."""
        if not self._growing or rows < _FULL * self.limit:
            return
        self._steps, self._tokens, self._seconds = self._steps + 1, self._tokens + rows, self._seconds + seconds
        if self._steps < _STEPS or not waiting:
            return
        speed = self._tokens / self._seconds
        self._steps = self._tokens = 0
        self._seconds = 0.0
        if self._before is not None and speed < self._before[1] * _WORTH:
            self.limit, self._growing = self._before[0], False
            return
        self._before = self.limit, speed
        self.limit = min(2 * self.limit, self._ceiling)
        self._growing = self.limit > self._before[0]

    def fit(self, rows: int) -> None:
        """Memory holds ``rows`` sequences."""
        self._ceiling = min(self._ceiling, max(1, rows))
        self.limit = min(self.limit, self._ceiling)

    def shrink(self, tried: int) -> bool:
        """Memory did not hold ``tried`` sequences; returns whether fewer can be tried."""
        self._growing = False
        self.limit = self._ceiling = max(1, tried // 2)
        return tried > 1


_SIGNS = ("out of memory", "can't allocate memory", "not enough memory")
_SHARE = 0.8  # of what is free; a step needs some itself


def out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(sign in text for sign in _SIGNS)


def free_memory(device: torch.device) -> int | None:
    """Bytes that a batch may take on a device; ``None`` where nobody knows."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(_SHARE * (free + held))
    return int(_SHARE * available_memory()) if device.type == "cpu" else None


def lay_out(model: Any) -> None:
    """Turn the weights of linear layers on a CPU for good, one after another; for models that answer only.

    The products of a decoding step have few rows. MKL takes two thirds of the time for them where a linear layer's
    weights lie column after column, as it need not turn them first. The numbers are the same, but training in this
    layout rounds otherwise, so what is trained lies as torch made it, but for the while it answers (:func:`laid_out`).
    """
    for module in _plainly_lying(model):
        if module.weight is not model.get_input_embeddings().weight:
            module.weight.data = _turned(module.weight.data)


@contextlib.contextmanager
def laid_out(model: Any) -> Iterator[None]:
    """Turned copies of what :func:`lay_out` has not turned, in the meantime: as much memory again for these weights.
    Then every parameter holds what it held before."""
    before = []
    try:
        for module in _plainly_lying(model):
            weight = module.weight
            before.append((module, weight, weight.data))
            if weight is model.get_input_embeddings().weight:  # embeddings are read row by row
                module.weight = torch.nn.Parameter(_turned(weight.data), requires_grad=False)
            else:
                weight.data = _turned(weight.data)
        yield
    finally:
        for module, weight, data in reversed(before):  # a weight may belong to several layers
            weight.data = data
            module.weight = weight


def _plainly_lying(model: Any) -> list[Any]:
    linear = (module for module in model.modules() if isinstance(module, torch.nn.Linear))
    cpu = (each for each in linear if (each.weight.device.type, each.weight.dtype) == ("cpu", torch.float32))
    return [each for each in cpu if each.weight.is_contiguous()]


def _turned(weight: torch.Tensor) -> torch.Tensor:
    return weight.t().contiguous().t()
