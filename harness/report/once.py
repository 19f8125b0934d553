"""Values that many records share, held once: thousands of answers have the same few statuses, prompts and grades."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeVar

from harness.report.views import Turn

Value = TypeVar("Value", bound=Hashable)
Pairs = tuple[tuple[str, float | None], ...]


class Once:
    """``once(value)`` is the first value equal to this one that was met, of the same type all through.

    >>> once = Once()
    >>> once("".join(["a", "b"])) is once("".join(["a", "b"]))
    True
    """

    def __init__(self) -> None:
        self._met: dict[tuple[type, Hashable], Hashable] = {}
        self._rewards: dict[str, dict[str, float | None]] = {}

    def __call__(self, value: Value) -> Value:
        return self._met.setdefault((type(value), value), value)  # type: ignore[return-value]

    def prompt(self, turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
        """A prompt, its turns held once as well: a system prompt and worked examples begin all of them."""
        return self(tuple(map(self, turns)))

    def rewards(self, values: Pairs) -> dict[str, float | None]:
        """A mapping of these pairs, which nobody may change."""
        return self._rewards.setdefault(repr(values), dict(values))
