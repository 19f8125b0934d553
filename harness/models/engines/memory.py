"""How much memory is left, and which errors say that there is none."""

from __future__ import annotations

import torch

from harness.models.container import available_memory

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
    if device.type == "cpu":
        return int(_SHARE * available_memory())
    return None
