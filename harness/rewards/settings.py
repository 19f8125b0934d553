"""The table ``[rewards]`` of a recipe: weights by name, and beside them parameters and time limits.

It reads as a mapping of name to weight, which is all that most of the code wants to know:

    >>> rewards = Rewards.from_table({
    ...     "boxed_numeric": 1.0,
    ...     "length_penalty": {"weight": 0.2, "max_tokens": 400, "soft_tokens": 100},
    ... })
    >>> dict(rewards), dict(rewards.parameters)
    ({'boxed_numeric': 1.0, 'length_penalty': 0.2}, {'length_penalty': {'max_tokens': 400, 'soft_tokens': 100}})
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from harness.store.errors import RewardError
from harness.store.redact import safe_line

TIMEOUT_SECONDS = 60.0
"""How long one call of a reward function of the user's may take, where the recipe says nothing."""

Refuse = Callable[[tuple[str, ...], str], NoReturn]
"""``refuse(location, message)`` raises; the location is that of the key, ``("rewards", name, ...)``."""


def _refuse(location: tuple[str, ...], message: str) -> NoReturn:
    raise RewardError(f"{'.'.join(location)}: {message}")


@dataclass(frozen=True, eq=False)
class Rewards(Mapping[str, float]):
    """Name to weight. ``parameters`` are keyword arguments by name, and ``limits`` seconds by name, of those that have
    any; ``timeout_seconds`` is the limit of the others."""

    weights: Mapping[str, float]
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    timeout_seconds: float = TIMEOUT_SECONDS

    def __getitem__(self, name: str) -> float:
        return self.weights[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.weights)

    def __len__(self) -> int:
        return len(self.weights)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Mapping):
            return self.table() == Rewards.of(other).table()
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as of a dict

    def limit(self, name: str) -> float:
        """Seconds that one call of a function may take."""
        return self.limits.get(name, self.timeout_seconds)

    @classmethod
    def of(cls, rewards: Mapping[str, float]) -> Rewards:
        """A plain mapping of name to weight has no parameters and the usual time limit."""
        return rewards if isinstance(rewards, Rewards) else cls(dict(rewards))

    @classmethod
    def from_table(cls, table: object, refuse: Refuse = _refuse) -> Rewards:
        """``{name: weight}`` or ``{name: {"weight": .., parameters}}``, and ``timeout_seconds`` for all of them."""
        if isinstance(table, Rewards):
            return table
        if not isinstance(table, Mapping):
            refuse(("rewards",), f"must be a table of keys, not {_shown(table)}")
        weights: dict[str, float] = {}
        parameters: dict[str, dict[str, Any]] = {}
        limits: dict[str, float] = {}
        for name, value in table.items():
            own = dict(value) if isinstance(value, Mapping) else {"weight": value}
            if name == "timeout_seconds":
                continue
            if "weight" not in own:
                refuse(("rewards", name), "a reward with parameters needs its weight, as in { weight = 1.0, ... }")
            place = ("rewards", name, "weight") if isinstance(value, Mapping) else ("rewards", name)
            weights[name] = _number(own.pop("weight"), place, refuse)
            if "timeout_seconds" in own:
                limits[name] = _limit(own.pop("timeout_seconds"), ("rewards", name, "timeout_seconds"), refuse)
            if own:
                parameters[name] = own
        if not weights:
            refuse(("rewards",), f"must not be empty, not {_shown(dict(table))}")
        overall = _limit(table.get("timeout_seconds", TIMEOUT_SECONDS), ("rewards", "timeout_seconds"), refuse)
        return cls(weights, parameters, limits, overall)

    def table(self) -> dict[str, Any]:
        """What :meth:`from_table` reads back, in the same order: the first function that grades decides."""
        table: dict[str, Any] = {}
        if self.timeout_seconds != TIMEOUT_SECONDS:
            table["timeout_seconds"] = self.timeout_seconds
        for name, weight in self.weights.items():
            own = dict(self.parameters.get(name, {}))
            if name in self.limits:
                own["timeout_seconds"] = self.limits[name]
            # TOML writes plain values before tables: where one is a table, all are, to stay in order.
            table[name] = {"weight": weight, **own} if self.parameters or self.limits else weight
        return table

    def settings(self) -> dict[str, Any]:
        """Whatever beside the weights decides the values, as plain JSON; empty for most recipes."""
        found: dict[str, Any] = {}
        if self.parameters:
            found["parameters"] = {name: dict(own) for name, own in self.parameters.items()}
        limits = {name: self.limit(name) for name in self.weights if self.limit(name) != TIMEOUT_SECONDS}
        return found | ({"timeout_seconds": limits} if limits else {})


def _number(value: object, location: tuple[str, ...], refuse: Refuse) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        refuse(location, f"must be a number, not {_shown(value)}")
    if not math.isfinite(value):
        refuse(location, f"must be a finite number, not {_shown(value)}")
    return float(value)


def _limit(value: object, location: tuple[str, ...], refuse: Refuse) -> float:
    seconds = _number(value, location, refuse)
    if seconds <= 0:
        refuse(location, f"must be more than 0 seconds, not {seconds:g}")
    return seconds


def _shown(value: object) -> str:
    return safe_line(str(value).lower() if isinstance(value, bool) else repr(value), 60)
