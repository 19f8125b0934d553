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

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from harness.rewards.grader import Grade, Grader, RewardFunction
from harness.rewards.limits import Loop, OutOfTimeError, limited
from harness.rewards.parameters import check_parameters
from harness.rewards.raised import raised
from harness.rewards.resolve import SHIPPED, resolve_reward
from harness.rewards.settings import Rewards
from harness.rewards.values import listed, number
from harness.store.errors import RewardError
from harness.store.faults import Faults

Values = list[float | None]
Columns = Mapping[str, Any]

_MOST_TIMEOUTS = 3  # batches in a row without a value
_LEAST_SECONDS = 1.0  # for one completion, when a batch is asked again one at a time
# TRL's hooks expect a value for each completion of the batch.
_HOOKS = ("log_extra", "log_metric")


class RewardCalls:
    """The reward functions of a recipe, called batch after batch; ``faults`` counts what failed so far.

    Raises ``RewardError`` for a name that does not resolve and for parameters that a function
    does not take.
    """

    def __init__(self, rewards: Mapping[str, float], kept: Mapping[str, Any] | None = None) -> None:
        self.rewards = Rewards.of(rewards)
        self.functions: dict[str, RewardFunction] = {name: resolve_reward(name) for name in self.rewards}
        for name, function in self.functions.items():
            try:
                own = self.rewards.parameters.get(name, {})
                check_parameters(name, function, own, shipped=name in SHIPPED)
            except RewardError as error:
                raise RewardError(f'reward "{name}": {error}') from None
        self.faults = Faults(kept)
        self.failed: dict[str, set[int]] = {}  # rows of the last batch that a fault left without a value
        self._timeouts: dict[str, int] = {}
        self._loop = Loop()

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], columns: Columns) -> dict[str, Values]:
        """Each function's values, one a completion; async functions run while the others are called."""
        self.failed = {name: set() for name in self.functions}
        waiting: dict[str, Callable[[], Any]] = {}
        for name in self.functions:
            self.faults.ask(name, len(completions))
            if self._is_async(name) and self._timeouts.get(name, 0) < _MOST_TIMEOUTS:
                waiting[name] = self._start(name, prompts, completions, columns)
        return {name: self._values(name, waiting.get(name), prompts, completions, columns) for name in self.functions}

    def grade(self, name: str, grader: Grader, completion: str, ground_truth: str, row: int) -> Grade:
        """What a function's grader makes of one completion; undecided where it fails."""
        if name in SHIPPED:
            return grader(completion, ground_truth)
        if row in self.failed.get(name, ()):
            return Grade(extracted=None, correct=None)
        label = f"{name}.grade"
        self.faults.ask(label, 1)
        try:
            if self._timeouts.get(label, 0) >= _MOST_TIMEOUTS:
                raise OutOfTimeError
            grade: object = limited(lambda: grader(completion, ground_truth), self.rewards.limit(name))
            self._timeouts[label] = 0
            if not isinstance(grade, Grade):
                raise RewardError(f"must return a harness.rewards.Grade, not a value of type {type(grade).__name__}")
        except OutOfTimeError:
            self._timeouts[label] = self._timeouts.get(label, 0) + 1
            self.faults.add(label, self._late(name), 1)
        except Exception as error:  # a user's grader may raise anything
            self.faults.add(label, _reason(error), 1)
        else:
            return grade
        return Grade(extracted=None, correct=None)

    def _values(
        self,
        name: str,
        waiting: Callable[[], Any] | None,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        columns: Columns,
    ) -> Values:
        size = len(completions)
        if name in SHIPPED:
            return [number(value) for value in listed(self._call(name, prompts, completions, columns), size)]
        if self._timeouts.get(name, 0) >= _MOST_TIMEOUTS:
            return self._none(
                name, f"not called any more after {_MOST_TIMEOUTS} time-outs in a row", range(size), columns
            )
        try:
            if waiting is None:
                returned = limited(lambda: self._call(name, prompts, completions, columns), self.rewards.limit(name))
            else:
                returned = waiting()
        except RewardError:  # the dataset does not fit: no later batch will
            raise
        except Exception as error:
            late = isinstance(error, OutOfTimeError)
            self.faults.retry(name, self._late(name) if late else _reason(error))
            return self._one_by_one(name, prompts, completions, columns, late=late)
        self._timeouts[name] = 0
        try:
            return self._checked(name, listed(returned, size), columns)
        except RewardError as error:
            return self._none(name, str(error), range(size), columns)

    def _one_by_one(
        self, name: str, prompts: Sequence[Any], completions: Sequence[Any], columns: Columns, *, late: bool
    ) -> Values:
        size, limit = len(completions), self.rewards.limit(name)
        batches = [([prompts[row]], [completions[row]], _one_row(columns, row, size)) for row in range(size)]
        waiting: list[Callable[[], Any]] = []
        if self._is_async(name):
            waiting = [self._start(name, *batch) for batch in batches]
        each = max(limit / size, _LEAST_SECONDS)
        values: Values = []
        late_ones = 0
        for row, batch in enumerate(batches):
            value: float | None = None
            try:
                if waiting:
                    returned = waiting[row]()
                elif late_ones < _MOST_TIMEOUTS:
                    returned = limited(partial(self._call, name, *batch), each)
                else:
                    raise OutOfTimeError
                (found,) = listed(returned, 1)
                value = number(found)
            except OutOfTimeError:
                late_ones += 1
                self._none(name, self._late(name), [row], columns)
            except Exception as error:
                self._none(name, _reason(error), [row], columns)
            values.append(value)
        hopeless = (late or late_ones) and self.failed[name] == set(range(size))
        self._timeouts[name] = self._timeouts.get(name, 0) + 1 if hopeless else 0
        return values

    def _checked(self, name: str, values: list[object], columns: Columns) -> Values:
        checked: Values = []
        for row, value in enumerate(values):
            try:
                checked.append(number(value))
            except RewardError as error:
                checked += self._none(name, str(error), [row], columns)
        return checked

    def _none(self, name: str, reason: str, rows: Sequence[int], columns: Columns) -> Values:
        ids = columns.get("question_id")
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

    def _start(
        self, name: str, prompts: Sequence[Any], completions: Sequence[Any], columns: Columns
    ) -> Callable[[], Any]:
        async def run() -> Any:
            return await self._call(name, prompts, completions, columns)

        return self._loop.start(run(), self.rewards.limit(name))

    def _call(self, name: str, prompts: Sequence[Any], completions: Sequence[Any], columns: Columns) -> Any:
        own = self.rewards.parameters.get(name, {})
        return self.functions[name](prompts=prompts, completions=completions, **{**columns, **own})

    def _late(self, name: str) -> str:
        return f"took longer than {self.rewards.limit(name):g} s (timeout_seconds)"


def _one_row(columns: Columns, row: int, size: int) -> dict[str, Any]:
    """The columns of one completion; what is not one value a completion stays as it is."""
    one = {
        key: [value[row]] if isinstance(value, (list, tuple)) and len(value) == size else value
        for key, value in columns.items()
    }
    return one | {key: _ignore for key in _HOOKS if key in one}


def _ignore(*values: object, **named: object) -> None:
    """Takes the place of TRL's hooks."""


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, RewardError) else raised(error)
