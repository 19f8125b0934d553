r"""Judges completions for the record: every reward, the weighted total, and what the graders found.

>>> scored, = score_all(
...     prompts=["6 * 7?"],
...     completions=[r"It is \boxed{42.0}."],
...     columns={"ground_truth": ["42"]},
...     rewards={"boxed_numeric": 1.0, "format_boxed": 0.1},
... )
>>> scored.status, scored.extracted, scored.reward, scored.grades["boxed_exact"].correct
('correct', '42.0', 1.1, False)
"""

from __future__ import annotations

import contextlib
import inspect
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from harness.errors import RewardError
from harness.rewards.boxed_exact import boxed_exact
from harness.rewards.boxed_numeric import boxed_numeric
from harness.rewards.grader import Grade, Grader, RewardFunction, completion_text, ground_truths
from harness.rewards.resolve import resolve_reward

if TYPE_CHECKING:
    from harness.records import Status

STRICT_AND_FLEXIBLE: Mapping[str, Grader] = {"boxed_exact": boxed_exact.grade, "boxed_numeric": boxed_numeric.grade}
"""The two graders that judge every completion, whatever the recipe trains on."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One completion, judged; the fields are those of :class:`harness.records.Record`.

    ``rewards``: each function's value before weighting, by the name in the recipe. ``reward``: their weighted sum, over
    those that are not ``None``; ``None`` where all are. ``grades``: the strict and the flexible grade. ``extracted``
    and ``status``: from the primary grader.
    """

    rewards: Mapping[str, float | None]
    reward: float | None
    grades: Mapping[str, Grade]
    extracted: str | None
    status: Status


def score_all(
    prompts: Sequence[Any],
    completions: Sequence[Any],
    columns: Mapping[str, Sequence[Any]],
    rewards: Mapping[str, float],
) -> list[Scored]:
    """Scores completions with a recipe's ``rewards`` (name to weight), one result per completion and in their order.

    ``columns`` are the dataset's further columns, one value per completion; ``ground_truth`` must be among them.
    Raises :class:`~harness.errors.RewardError`, naming the function, where one raises or breaks its contract.
    """
    for column, values in {"prompts": prompts, **columns}.items():
        if len(values) != len(completions):
            raise RewardError(f"column {column} has {len(values)} values for {len(completions)} completions")
    functions = {name: resolve_reward(name) for name in rewards}
    values_by_name = {
        name: call_reward(name, function, prompts, completions, columns) for name, function in functions.items()
    }
    primary_name, primary = primary_grader(functions)
    truths = ground_truths(primary_name, completions, columns)
    results = []
    for row, (completion, truth) in enumerate(zip(completions, truths, strict=True)):
        text = completion_text(completion)
        grades = {name: _grade(name, grader, text, truth) for name, grader in STRICT_AND_FLEXIBLE.items()}
        grade = grades.get(primary_name) or _grade(primary_name, primary, text, truth)
        parts = {name: values[row] for name, values in values_by_name.items()}
        results.append(
            Scored(
                rewards=parts,
                reward=weighted_total(parts, rewards),
                grades=grades,
                extracted=grade.extracted,
                status=grade.status,
            )
        )
    return results


def primary_grader(functions: Mapping[str, RewardFunction]) -> tuple[str, Grader]:
    """Name and grader of the first function that carries ``.grade``, ``boxed_numeric``'s where none does."""
    for name, function in functions.items():
        grader = getattr(function, "grade", None)
        if callable(grader):
            return name, grader
    return "boxed_numeric", boxed_numeric.grade


def weighted_total(values: Mapping[str, float | None], weights: Mapping[str, float]) -> float | None:
    """Sum of value times weight without the ``None`` parts, as TRL sums them; ``None`` where every part is."""
    parts = [value * weights[name] for name, value in values.items() if value is not None]
    return math.fsum(parts) if parts else None


def call_reward(
    name: str,
    function: Callable[..., Any],
    prompts: Sequence[Any],
    completions: Sequence[Any],
    columns: Mapping[str, Any],
) -> list[float | None]:
    """Calls a reward function as TRL does and checks what comes back.

    Returns one finite float or ``None`` (also for NaN) per completion. Raises :class:`~harness.errors.RewardError`
    where the function raises, or returns anything else.
    """
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):
        raise RewardError(f'reward function "{name}" is async; an evaluation calls plain functions only')
    try:
        values = function(prompts=prompts, completions=completions, **columns)
    except RewardError:
        raise
    except Exception as error:  # a user's function may raise anything
        raise RewardError(f'reward function "{name}" raised {type(error).__name__}: {error}') from error
    return checked_rewards(name, values, len(completions))


def checked_rewards(name: str, values: object, expected: int) -> list[float | None]:
    """``values`` as ``expected`` finite floats or ``None``; see :func:`call_reward`."""
    try:
        listed = list(values)  # type: ignore[call-overload]
    except TypeError:
        raise RewardError(
            f'reward function "{name}" must return a list with a number or None for each completion, '
            f"not a value of type {type(values).__name__}"
        ) from None
    if isinstance(values, (str, bytes, Mapping)) or len(listed) != expected:
        kind = type(values).__name__
        raise RewardError(
            f'reward function "{name}" returned a {kind} of {len(listed)} values for {expected} completions; '
            "it must return a list with a number or None for each"
        )
    return [_number(name, row, value) for row, value in enumerate(listed)]


def _number(name: str, row: int, value: object) -> float | None:
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
        shown = repr(value)[:80] if isinstance(value, (float, str)) else f"a value of type {type(value).__name__}"
        raise RewardError(
            f'reward function "{name}" returned {shown} for completion {row}; it must return a finite number or None'
        )
    return result


def _grade(name: str, grader: Grader, text: str, ground_truth: str | None) -> Grade:
    if ground_truth is None:
        return Grade(extracted=None, correct=None)
    try:
        grade: object = grader(text, ground_truth)
    except RewardError:
        raise
    except Exception as error:  # a user's grader may raise anything
        raise RewardError(f'the grader of reward "{name}" raised {type(error).__name__}: {error}') from error
    if not isinstance(grade, Grade):
        raise RewardError(
            f'the grader of reward "{name}" must return a harness.rewards.Grade, '
            f"not a value of type {type(grade).__name__}"
        )
    return grade
