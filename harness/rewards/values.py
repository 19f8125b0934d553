"""What a reward function may return: a list with a finite number, or ``None``, for each completion."""

from __future__ import annotations

import contextlib
import math
import numbers
from collections.abc import Mapping
from decimal import Decimal

from harness.store.errors import RewardError
from harness.store.redact import safe_line


def listed(values: object, expected: int) -> list[object]:
    """``values`` as a list of so many; raises ``RewardError`` with what came instead."""
    try:
        found: list[object] = list(values)  # type: ignore[call-overload]
    except TypeError:
        raise RewardError(
            f"must return a list with a number or None for each completion, not a value of type {type(values).__name__}"
        ) from None
    if isinstance(values, (str, bytes, Mapping)) or len(found) != expected:
        raise RewardError(
            f"returned a {type(values).__name__} of {len(found)} values for {expected} completions; "
            "it must return a list with a number or None for each"
        )
    return found


def number(value: object) -> float | None:
    """One value as a finite float, or ``None`` (also for NaN); raises ``RewardError``."""
    if value is None:
        return None
    if hasattr(value, "item"):  # a scalar of NumPy or torch, or an array of one
        with contextlib.suppress(TypeError, ValueError, RuntimeError):
            value = value.item()
    try:
        result = float(value) if isinstance(value, (numbers.Real, Decimal)) else math.inf
    except (OverflowError, ValueError):
        result = math.inf
    if math.isnan(result):
        return None
    if math.isinf(result):
        # the repr of anything else may be long, or raise
        shown = (
            safe_line(repr(value), 80) if isinstance(value, (float, str)) else f"a value of type {type(value).__name__}"
        )
        raise RewardError(f"returned {shown} for a completion; it must return a finite number or None")
    return result
