"""Calls a recipe's reward functions as TRL does, and goes on where they fail.

A function of the user's, sync or async, is called once a batch, within its time limit. Where that call raises or takes
too long, it is called again for one completion at a time, so that one answer costs one value and not a batch of them:
async functions all at once, sync ones one after another, each within its part of the limit (a second at least) and
only until three of them took too long. What fails then is ``None`` and counted by its reason
(:mod:`harness.store.faults`); so is a list of the wrong length, which is no bad luck and is not asked for again. A
function that runs out of time in three batches one after another, without a single value, is not called any more.
Shipped functions are called plainly: they bound their own time.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import numbers
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from types import MappingProxyType
from typing import Any

from harness.rewards.grader import Grade, Grader, RewardFunction, configured
from harness.rewards.registry import (
    SHIPPED,
    Rewards,
    Takes,
    check_columns,
    check_parameters,
    functions_of,
    raised,
    takes,
)
from harness.store.errors import RewardError
from harness.store.faults import Faults
from harness.store.limits import LOOP, OutOfTimeError, limited
from harness.store.question import GIVEN
from harness.store.records import RewardFaults
from harness.store.redact import safe_line

Values = list[float | None]
Columns = Mapping[str, Any]
Batch = tuple[Sequence[Any], Sequence[Any], Columns]
"""Prompts, completions, and the dataset's further columns."""

UNDECIDED = Grade(extracted=None, correct=None)

_MOST_TIMEOUTS = 3  # batches in a row without a value
_LEAST_SECONDS = 1.0  # for one completion, when a batch is asked again one at a time
_UNDECIDED = "the grader did not decide in time, or the ground truth has no value"
# TRL's hooks expect a value for each completion of the batch.
_HOOKS = ("log_extra", "log_metric")
_NONE: Columns = MappingProxyType({})


class RewardCalls:
    """The reward functions of a recipe, called batch after batch; ``faults`` counts what failed so far.

    Raises ``RewardError`` for a name that does not resolve and for parameters that a function does not take.
    """

    def __init__(self, rewards: Mapping[str, float], kept: RewardFaults | None = None) -> None:
        self.rewards = Rewards.of(rewards)
        self.functions: dict[str, RewardFunction] = functions_of(self.rewards)
        self._takes: dict[str, Takes] = {name: takes(function) for name, function in self.functions.items()}
        for name, function in self.functions.items():
            try:
                own = self.rewards.parameters.get(name, {})
                check_parameters(name, function, own, shipped=name in SHIPPED)
            except RewardError as error:
                raise RewardError(f'reward "{name}": {error}') from None
            self.functions[name] = configured(function, own)
        self.faults = Faults(kept)
        self.failed: dict[str, set[int]] = {}  # rows of the last batch that a fault left without a value
        self._timeouts: Counter[str] = Counter()  # in a row

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], columns: Columns) -> dict[str, Values]:
        """Each function's values, one a completion; async functions run while the others are called."""
        batch = prompts, completions, columns
        self.failed = {name: set() for name in self.functions}
        waiting: dict[str, Callable[[], Any]] = {}
        for name in self.functions:
            self.faults.ask(name, len(completions))
            if self._is_async(name) and self._timeouts[name] < _MOST_TIMEOUTS:
                waiting[name] = self._start(name, batch)
        return {name: self._values(name, waiting.get(name), batch) for name in self.functions}

    def grade(
        self, name: str, grader: Grader, completion: str, ground_truth: str, row: int, columns: Columns = _NONE
    ) -> Grade:
        """What a function's grader makes of one completion, that of a ``row`` of the columns that it may take;
        undecided where it fails."""
        own = self._of_row(f"{name}.grade", grader, row, columns)
        if name in SHIPPED:
            try:
                return grader(completion, ground_truth, **own)
            except Exception as error:  # a mistake of ours costs an answer's grade, and no training
                self.faults.add(name, self._reason(name, error), 1)
                return UNDECIDED
        if row in self.failed.get(name, ()):
            return UNDECIDED
        label = f"{name}.grade"
        self.faults.ask(label, 1)
        try:
            if self._timeouts[label] >= _MOST_TIMEOUTS:
                raise OutOfTimeError
            grade: object = limited(lambda: grader(completion, ground_truth, **own), self.rewards.limit(name))
            self._timeouts[label] = 0
            if not isinstance(grade, Grade):
                raise RewardError(f"must return a harness.rewards.Grade, not a value of type {type(grade).__name__}")
        except Exception as error:  # a user's grader may raise anything
            self._timeouts[label] += isinstance(error, OutOfTimeError)
            self.faults.add(label, self._reason(name, error), 1)
            return UNDECIDED
        return grade

    def _of_row(self, label: str, grader: Grader, row: int, columns: Columns) -> dict[str, Any]:
        """The values of one row, of the columns that a grader takes."""
        if (own := self._takes.get(label)) is None:
            own = self._takes[label] = takes(grader, behind=2)
        names = own.named | columns.keys() - GIVEN if own.anything else own.named
        return {name: _copied(columns[name][row]) for name in names - {"ground_truth"} & columns.keys()}

    def _values(self, name: str, waiting: Callable[[], Any] | None, batch: Batch) -> Values:
        size = len(batch[1])
        if name in SHIPPED:
            given = [number(value) for value in listed(self._call(name, batch), size)]
            truths = batch[2].get("ground_truth") or [None] * size
            missing = [row for row, value in enumerate(given) if value is None and truths[row] is not None]
            self._none(name, _UNDECIDED, missing, batch)
            return given
        if self._timeouts[name] >= _MOST_TIMEOUTS:
            reason = f"not called any more after {_MOST_TIMEOUTS} time-outs in a row"
            return self._none(name, reason, range(size), batch)
        try:
            returned = waiting() if waiting else limited(partial(self._call, name, batch), self.rewards.limit(name))
        except RewardError:  # the dataset does not fit: no later batch will
            raise
        except Exception as error:
            self.faults.retry(name, self._reason(name, error))
            return self._one_by_one(name, batch, late=isinstance(error, OutOfTimeError))
        self._timeouts[name] = 0
        try:
            values = listed(returned, size)
        except RewardError as error:
            return self._none(name, str(error), range(size), batch)
        return [self._checked(name, row, partial(number, value), batch) for row, value in enumerate(values)]

    def _one_by_one(self, name: str, batch: Batch, *, late: bool) -> Values:
        size = len(batch[1])
        ones = [_one_row(batch, row) for row in range(size)]
        waiting = [self._start(name, one) for one in ones] if self._is_async(name) else []
        seconds = max(self.rewards.limit(name) / max(size, 1), _LEAST_SECONDS)
        late_ones = 0

        def value(row: int) -> float | None:
            nonlocal late_ones
            try:
                if not waiting and late_ones >= _MOST_TIMEOUTS:
                    raise OutOfTimeError
                returned = waiting[row]() if waiting else limited(partial(self._call, name, ones[row]), seconds)
            except OutOfTimeError:
                late_ones += 1
                raise
            return number(listed(returned, 1)[0])

        values = [self._checked(name, row, partial(value, row), batch) for row in range(size)]
        hopeless = (late or late_ones) and self.failed[name] == set(range(size))
        self._timeouts[name] = self._timeouts[name] + 1 if hopeless else 0
        return values

    def _checked(self, name: str, row: int, value: Callable[[], float | None], batch: Batch) -> float | None:
        try:
            return value()
        except Exception as error:
            self._none(name, self._reason(name, error), [row], batch)
            return None

    def _none(self, name: str, reason: str, rows: Sequence[int], batch: Batch) -> Values:
        ids = batch[2].get("question_id")
        if rows:
            first = str(ids[rows[0]]) if isinstance(ids, (list, tuple)) and len(ids) > rows[0] else None
            self.faults.add(name, reason, len(rows), first)
        self.failed[name].update(rows)
        return [None] * len(rows)

    def _is_async(self, name: str) -> bool:
        function = self.functions[name]
        return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 (an object whose call is async)
        )

    def _start(self, name: str, batch: Batch) -> Callable[[], Any]:
        async def run() -> Any:
            return await self._call(name, batch)

        return LOOP.start(run(), self.rewards.limit(name))

    def _call(self, name: str, batch: Batch) -> Any:
        prompts, completions, columns = batch
        own, takes = self.rewards.parameters.get(name, {}), self._takes[name]
        try:
            check_columns(takes, own, columns)
        except RewardError as error:
            raise RewardError(f'reward "{name}": {error}') from None
        hooks = dict.fromkeys(_HOOKS, _ignore)  # in an evaluation nobody logs
        given = {**hooks, **columns, **own, "prompts": prompts, "completions": completions}
        if not takes.anything:
            given = {key: value for key, value in given.items() if key in takes.named}
        return self.functions[name](**given if name in SHIPPED else _copied(given))

    def _reason(self, name: str, error: Exception) -> str:
        if isinstance(error, OutOfTimeError):
            return f"took longer than {self.rewards.limit(name):g} s (timeout_seconds)"
        return str(error) if isinstance(error, RewardError) else raised(error)


def _one_row(batch: Batch, row: int) -> Batch:
    """One completion; a column that is not one value a completion stays as it is."""
    prompts, completions, columns = batch
    one = {
        key: [value[row]] if isinstance(value, (list, tuple)) and len(value) == len(completions) else value
        for key, value in columns.items()
    }
    return [prompts[row]], [completions[row]], one | {key: _ignore for key in _HOOKS if key in one}


def _copied(value: Any) -> Any:
    """Lists and tables anew: what one function changes in what it is given, no other sees, and no record."""
    if isinstance(value, list):
        return [_copied(each) for each in value]
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    return value


def _ignore(*values: object, **named: object) -> None:
    """Takes the place of TRL's hooks."""


# What a reward function may return: a list with a finite number, or ``None``, for each completion.


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
