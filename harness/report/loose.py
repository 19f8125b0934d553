"""Parsed JSON of unknown shape as the type that is wanted, or as "not there"."""

from __future__ import annotations

import json
from typing import Any


def number(value: Any) -> float | None:
    """A finite number of sane size; ``None`` for everything else, NaN and booleans included."""
    return (
        float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300 else None
    )


def whole(*values: Any) -> int | None:
    """The first value that is an integer of sane size."""
    return next(
        (each for each in values if isinstance(each, int) and not isinstance(each, bool) and abs(each) < 2**63), None
    )


def string(value: Any) -> str:
    """A string as it is, null as ``""``, anything else as JSON."""
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)


def dicts(value: Any) -> list[dict[str, Any]]:
    """The objects of a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
