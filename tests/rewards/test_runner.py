"""Functions that fail: what is asked again, what is left without a value, and what is told of it."""

from __future__ import annotations

import asyncio
import re
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.rewards import RewardCalls, Rewards, score_all
from harness.rewards.limits import OutOfTimeError, limited
from harness.store.errors import RewardError
from harness.store.faults import Faults

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


def test_sync_and_async_give_the_same(user: ModuleType) -> None:
    def lengths(prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
        return [len(text) for text in completions]

    async def later(prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
        await asyncio.sleep(0.01)
        return [len(text) for text in completions]

    class Judge:
        async def __call__(self, prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
            return [len(text) for text in completions]

    for function in (lengths, later, Judge()):
        calls = calls_of(user, function)
        assert values_of(calls) == [1.0, 1.0, 3.0, 1.0]
        assert not calls.faults


def test_async_functions_run_at_the_same_time(user: ModuleType) -> None:
    """Each waits for the other: one after the other they would never end."""
    arrived = {"one": threading.Event(), "other": threading.Event()}

    def waits(own: str, other: str) -> Callable[..., Any]:
        async def reward(prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
            arrived[own].set()
            while not arrived[other].is_set():
                await asyncio.sleep(0.01)
            return [1.0] * len(completions)

        return reward

    user.one, user.other = waits("one", "other"), waits("other", "one")  # type: ignore[attr-defined]
    calls = RewardCalls(Rewards({"users_own:one": 1.0, "users_own:other": 1.0}, timeout_seconds=20))
    assert calls(["?"], ["x"], {}) == {"users_own:one": [1.0], "users_own:other": [1.0]}
    assert not calls.faults


def test_parameters_reach_the_function(user: ModuleType) -> None:
    def short(prompts: list[str], completions: list[str], *, limit: int, **columns: Any) -> list[float]:
        return [float(len(text) <= limit) for text in completions]

    assert values_of(calls_of(user, short, limit=2)) == [1.0, 1.0, 0.0, 1.0]


def test_a_parameter_that_the_function_does_not_take(user: ModuleType) -> None:
    def strict(
        prompts: Any, completions: Any, completion_ids: Any, ground_truth: Any, *, limit: int = 3
    ) -> list[float]:
        return []

    with pytest.raises(RewardError, match=r'"users_own:reward": unknown parameter \'limt\'; did you mean \'limit\''):
        calls_of(user, strict, limt=2)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_one_bad_answer_costs_one_value(user: ModuleType, kind: str) -> None:
    def reward(prompts: list[str], completions: list[str], question_id: list[str], **columns: Any) -> list[float]:
        assert len(prompts) == len(question_id)
        if "bad" in completions:
            raise ValueError("cannot read it")
        return [1.0] * len(completions)

    async def later(**given: Any) -> list[float]:
        return reward(**given)

    calls = calls_of(user, reward if kind == "sync" else later)
    assert values_of(calls) == [1.0, 1.0, None, 1.0]
    assert calls.failed == {NAME: {2}}
    line = reward.__code__.co_firstlineno + 3
    reason = f"raised ValueError at test_runner.py:{line}: cannot read it"
    assert calls.faults.file.to_json()["functions"][NAME]["reasons"] == [
        {"reason": reason, "completions": 1, "question_id": "q2"}
    ]
    assert values_of(calls, ["a", "b"]) == [1.0, 1.0]
    assert calls.faults.share(NAME) == 1 / 6


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_call_that_raises_now_and_then_costs_nothing(user: ModuleType, kind: str) -> None:
    """Every tenth call raises: the batch is asked again one at a time, and most of those calls are fine."""
    count = 0

    def reward(prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
        nonlocal count
        count += 1
        if count % 10 == 0:
            raise ConnectionError("no reply")
        return [0.5] * len(completions)

    async def later(**given: Any) -> list[float]:
        return reward(**given)

    calls = calls_of(user, reward if kind == "sync" else later)
    values = [value for _ in range(100) for value in values_of(calls, TEXTS[:3])]
    assert values.count(0.5) + values.count(None) == 300
    kept = calls.faults.file.to_json()["functions"][NAME]
    assert values.count(None) == kept["unscored"] < 20
    assert 5 <= kept["retried"] <= 20
    line = reward.__code__.co_firstlineno + 4
    assert f"raised ConnectionError at test_runner.py:{line}: no reply" in kept["sentence"]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_list_of_the_wrong_length_is_not_asked_for_again(user: ModuleType, kind: str) -> None:
    asked = []

    def reward(prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
        asked.append(len(completions))
        return [1.0]

    async def later(**given: Any) -> list[float]:
        return reward(**given)

    calls = calls_of(user, reward if kind == "sync" else later)
    assert values_of(calls) == [None] * 4
    assert asked == [4]
    assert "returned a list of 1 values for 4 completions" in calls.faults.sentences()[0]


def test_one_value_that_is_no_number(user: ModuleType) -> None:
    calls = calls_of(user, lambda prompts, completions, **columns: [1, float("inf"), None, "x"])
    assert values_of(calls) == [1.0, None, None, None]
    reasons = calls.faults.file.to_json()["functions"][NAME]
    assert reasons["unscored"] == 2  # None is what it said itself
    assert [row["question_id"] for row in reasons["reasons"]] == ["q1", "q3"]


def test_a_missing_column_is_said_at_once(user: ModuleType) -> None:
    from harness.rewards import boxed_numeric

    calls = calls_of(user, lambda prompts, completions, **columns: boxed_numeric(prompts, completions))
    with pytest.raises(RewardError, match='needs the dataset column "ground_truth"'):
        values_of(calls)


def test_hooks_of_the_trainer_are_called_for_batches_only(user: ModuleType) -> None:
    logged: list[int] = []

    def reward(prompts: list[str], completions: list[str], log_extra: Any, **columns: Any) -> list[float]:
        log_extra("length", [len(text) for text in completions])
        if "bad" in completions and len(completions) > 1:
            raise ValueError("no")
        return [1.0] * len(completions)

    calls = calls_of(user, reward)
    columns = {"log_extra": lambda name, values: logged.append(len(values))}
    assert calls(["?"] * 4, TEXTS, columns)[NAME] == [1.0] * 4
    assert logged == [4]


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fates=st.lists(st.sampled_from(["fine", "raises", "none", "inf", "text"]), min_size=1, max_size=8))
def test_each_completion_fares_by_itself(user: ModuleType, fates: list[str]) -> None:
    """Whatever the others do: a value where it is fine, None where not, and one count for each fault."""
    values: dict[str, Any] = {"fine": 0.25, "none": None, "inf": float("inf"), "text": "x"}

    def reward(prompts: list[str], completions: list[str], **columns: Any) -> list[Any]:
        if "raises" in completions:
            raise ValueError("no")
        return [values[text] for text in completions]

    calls = calls_of(user, reward)
    found = calls(["?"] * len(fates), fates, {})[NAME]
    assert found == [0.25 if fate == "fine" else None for fate in fates]
    faulty = sum(fate in ("raises", "inf", "text") for fate in fates)
    assert calls.faults.share(NAME) == faulty / len(fates)


def test_counts_go_on_from_what_was_kept() -> None:
    faults = Faults()
    faults.ask("f", 10)
    faults.add("f", "raised\n  ValueError", 2, "q1")
    again = Faults(faults.file)
    again.ask("f", 10)
    again.add("f", "raised ValueError", 1, "q9")
    assert again.file.to_json()["functions"]["f"]["reasons"] == [
        {"reason": "raised ValueError", "completions": 3, "question_id": "q1"}
    ]
    assert again.share("f") == 3 / 20
    for number in range(50):
        again.add("f", f"raised KeyError: {number}" + "x" * 1000, 1)
    assert len(again.reasons["f"]) == 11
    assert again.share("f") == 53 / 20
    assert max(map(len, again.reasons["f"])) <= 200


def test_the_line_is_the_users_not_that_of_an_installed_package(user: ModuleType) -> None:
    namespace: dict[str, Any] = {}
    exec(
        compile("def ask():\n    raise ConnectionError('refused')\n", "/venv/site-packages/client.py", "exec"),
        namespace,
    )

    def reward(prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
        return [namespace["ask"]() for _ in completions]

    calls = calls_of(user, reward)
    values_of(calls, ["a"])
    (sentence,) = calls.faults.sentences()
    line = reward.__code__.co_firstlineno + 1
    assert f"raised ConnectionError at test_runner.py:{line}: refused" in sentence


def test_a_package_names_its_folder(user: ModuleType) -> None:
    namespace: dict[str, Any] = {}
    source = "def reward(prompts, completions, **columns):\n    return 1 / 0\n"
    exec(compile(source, "/gone/judges/__init__.py", "exec"), namespace)
    calls = calls_of(user, namespace["reward"])
    values_of(calls, ["a"])
    assert "raised ZeroDivisionError at judges/__init__.py:2: " in calls.faults.sentences()[0]


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
    reason = f"raised TimeoutError at test_runner.py:{line}: the read operation timed out"
    assert sentence.endswith(f"for 5 of 5 completions: {reason} (5)")


def test_a_grader_that_hangs_decides_nothing(user: ModuleType) -> None:
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
