"""A penalty on long completions: DAPO's soft overlong punishment (arXiv:2503.14476, eq. 13), 0 down to -1.

Nothing up to ``max_tokens - soft_tokens`` tokens, then linearly down to -1 at ``max_tokens``, and -1 beyond. Give it
``max_completion_length`` as ``max_tokens``, and a positive weight:

    [rewards]
    boxed_numeric = 1.0
    length_penalty = { weight = 0.2, max_tokens = 400, soft_tokens = 100 }

>>> length_penalty(["?"] * 3, ["..."] * 3, completion_tokens=[300, 350, 500], max_tokens=400, soft_tokens=100)
[0.0, -0.5, -1.0]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.store.errors import RewardError

if TYPE_CHECKING:
    from collections.abc import Sequence


def length_penalty(
    prompts: Sequence[Any], completions: Sequence[Any], *, max_tokens: int, soft_tokens: int, **columns: Any
) -> list[float | None]:
    """The punishment of each completion, by the column ``completion_tokens`` or else TRL's ``completion_ids``.

    Raises ``RewardError`` where neither column is there or the limits make no sense.
    """
    for key, value in {"max_tokens": max_tokens, "soft_tokens": soft_tokens}.items():
        if type(value) is not int or value < 1:
            raise RewardError(f"{key} must be a whole number of 1 or more, not {value!r}")
    if soft_tokens > max_tokens:
        raise RewardError(f"soft_tokens = {soft_tokens} must not be more than max_tokens = {max_tokens}")
    return [max(-1.0, min(0.0, (max_tokens - soft_tokens - tokens) / soft_tokens)) for tokens in _lengths(columns)]


def _lengths(columns: dict[str, Any]) -> list[int]:
    if "completion_tokens" in columns:
        return list(columns["completion_tokens"])
    if "completion_ids" in columns:
        return [len(ids) for ids in columns["completion_ids"]]
    raise RewardError("length_penalty counts tokens: it needs the column completion_tokens or completion_ids")
