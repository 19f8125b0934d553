"""Functions that hang: one answer costs one value, a function that always hangs is given up, nothing waits long."""

from __future__ import annotations

import asyncio
import re
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from harness.rewards.limits import OutOfTimeError, limited
from tests.rewards.calling import calls_of, values_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


def in_thread(call: Callable[[], Any]) -> Any:
    """The same off the main thread, where no alarm rings."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(call()))
    thread.start()
    thread.join(60)
    return found[0]


def sleeps(prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
    if "bad" in completions:
        time.sleep(3600)
    return [1.0] * len(completions)


def loops(prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
    while "bad" in completions:
        try:
            sum(range(1000))
        except Exception:
            continue
    return [1.0] * len(completions)


def backtracks(prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
    for text in completions:
        re.match(r"(a+)+$", "a" * 60 + "!" if text == "bad" else text)
    return [1.0] * len(completions)


async def awaits(prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
    if "bad" in completions:
        await asyncio.sleep(3600)
    return [1.0] * len(completions)


async def blocks(prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
    if "bad" in completions:
        time.sleep(5)
    return [1.0] * len(completions)


async def refuses_to_end(prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
    for _ in range(50 if "bad" in completions else 0):
        try:
            await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            continue
    return [1.0] * len(completions)


@pytest.mark.parametrize("function", [sleeps, loops, backtracks, awaits, refuses_to_end])
def test_a_hanging_answer_costs_one_value(user: ModuleType, function: Callable[..., Any]) -> None:
    calls = calls_of(user, function, timeout=1.0)
    started = time.monotonic()
    assert values_of(calls) == [1.0, 1.0, None, 1.0]
    assert time.monotonic() - started < 20
    (sentence,) = calls.faults.sentences()
    assert "no value for 1 of 4 completions: took longer than 1 s (timeout_seconds) (1)" in sentence


def test_a_blocked_loop_is_left_behind(user: ModuleType) -> None:
    calls = calls_of(user, blocks, timeout=0.5)
    started = time.monotonic()
    assert values_of(calls)[2] is None
    assert time.monotonic() - started < 10
    assert values_of(calls, ["a", "b"]) == [1.0, 1.0]


@pytest.mark.parametrize("function", [sleeps, awaits])
def test_off_the_main_thread_too(user: ModuleType, function: Callable[..., Any]) -> None:
    calls = calls_of(user, function, timeout=1.0)
    assert in_thread(lambda: values_of(calls)) == [1.0, 1.0, None, 1.0]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_function_that_always_hangs_is_given_up(user: ModuleType, kind: str) -> None:
    asked = []

    def hangs(prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
        asked.append(len(completions))
        time.sleep(3600)
        return []

    async def later(prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
        asked.append(len(completions))
        await asyncio.sleep(3600)
        return []

    calls = calls_of(user, hangs if kind == "sync" else later, timeout=0.2)
    for _ in range(5):
        assert values_of(calls, ["x"]) == [None]
    assert len(asked) == 6  # three batches, each asked again
    (sentence,) = calls.faults.sentences()
    assert "no value for 5 of 5 completions" in sentence
    assert "not called any more after 3 time-outs in a row (2)" in sentence


@pytest.mark.parametrize("kind", ["sync", "async", "in a thread"])
def test_a_time_out_of_its_own_is_a_reason_as_any_other(user: ModuleType, kind: str) -> None:
    """Sockets raise ``TimeoutError`` too."""

    def reads(prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
        raise TimeoutError("the read operation timed out")

    async def later(prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
        raise TimeoutError("the read operation timed out")

    calls = calls_of(user, later if kind == "async" else reads)
    for _ in range(5):
        values = in_thread(lambda: values_of(calls, ["x"])) if kind == "in a thread" else values_of(calls, ["x"])
        assert values == [None]
    (sentence,) = calls.faults.sentences()
    line = (later if kind == "async" else reads).__code__.co_firstlineno + 1
    reason = f"raised TimeoutError at test_reward_limits.py:{line}: the read operation timed out"
    assert sentence.endswith(f"for 5 of 5 completions: {reason} (5)")


def test_a_grader_that_hangs_decides_nothing(user: ModuleType) -> None:
    from harness.rewards import score_all

    def reward(prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
        return [1.0] * len(completions)

    reward.grade = lambda completion, ground_truth: time.sleep(3600)  # type: ignore[attr-defined]
    calls = calls_of(user, reward, timeout=0.2)
    columns = {"ground_truth": ["7"] * 5}
    started = time.monotonic()
    results = score_all(["?"] * 5, ["x"] * 5, columns, calls.rewards, calls)
    assert time.monotonic() - started < 10
    assert {result.status for result in results} == {"unscored"}


def test_someone_elses_timer_goes_on() -> None:
    rung = []
    handler = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(OutOfTimeError):
            limited(lambda: time.sleep(60), 0.1)
        time.sleep(0.6)
        assert rung == [signal.SIGALRM]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
