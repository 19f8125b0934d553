"""A user's reward function, called as training calls it: four completions, the third of them bad."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.rewards import RewardCalls, Rewards

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

NAME = "users_own:reward"  # in the module of the fixture ``user``
TEXTS = ["a", "b", "bad", "d"]
IDS = ["q0", "q1", "q2", "q3"]


def calls_of(user: ModuleType, function: Callable[..., Any], timeout: float = 30, **parameters: Any) -> RewardCalls:
    user.reward = function  # type: ignore[attr-defined]
    return RewardCalls(Rewards({NAME: 1.0}, {NAME: parameters}, {}, timeout))


def values_of(calls: RewardCalls, texts: list[str] = TEXTS) -> list[float | None]:
    columns = {"ground_truth": ["7"] * len(texts), "question_id": IDS[: len(texts)]}
    return calls(["?"] * len(texts), texts, columns)[NAME]
