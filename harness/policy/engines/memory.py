"""How much memory is left, and which errors say that there is none."""

from __future__ import annotations

import torch

_SIGNS = ("out of memory", "can't allocate memory", "not enough memory")
_SHARE = 0.8  # of what is free; a step needs some itself


def out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(sign in text for sign in _SIGNS)


def free_memory(device: torch.device) -> float:
    """Bytes that a batch may take on a device; where nobody knows, as many as it likes."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return _SHARE * (free + held)
    if device.type == "cpu":
        import psutil  # type: ignore[import-untyped]

        return float(_SHARE * psutil.virtual_memory().available)
    return float("inf")
