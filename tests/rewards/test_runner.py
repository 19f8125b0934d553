"""Functions that fail: what is asked again, what is left without a value, and what is told of it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.rewards import RewardCalls, Rewards, boxed_numeric, score_all
from harness.store.errors import RewardError
from harness.store.faults import Faults
from harness.store.limits import OutOfTimeError, limited

NAME = "users_own:reward"  # in the module of the fixture ``user``
TEXTS = ["a", "b", "bad", "d"]
IDS = ["q0", "q1", "q2", "q3"]


def calls_of(user, function, timeout=30, **parameters):
    user.reward = function
    return RewardCalls(Rewards({NAME: 1.0}, {NAME: parameters}, {}, timeout))


def values_of(calls, texts=TEXTS):
    columns = {"ground_truth": ["7"] * len(texts), "question_id": IDS[: len(texts)]}
    return calls(["?"] * len(texts), texts, columns)[NAME]


def as_it_is(function):
    return function


def awaited(function):
    async def later(**given):
        await asyncio.sleep(0)
        return function(**given)

    return later


def of_an_object(function):
    class Judge:
        async def __call__(self, **given):
            return function(**given)

    return Judge()


both = pytest.mark.parametrize("kind", [as_it_is, awaited])


def raised_at(function, behind):
    return f"test_runner.py:{function.__code__.co_firstlineno + behind}"


@pytest.mark.parametrize("kind", [as_it_is, awaited, of_an_object])
def test_parameters_reach_every_kind_of_function(user, kind):
    def short(prompts, completions, *, limit, **columns):
        return [len(text) <= limit for text in completions]

    calls = calls_of(user, kind(short), limit=2)
    assert values_of(calls) == [1.0, 1.0, 0.0, 1.0]
    assert not calls.faults


def test_a_client_that_a_module_holds_meets_one_loop(user):
    """Each stage makes calls of its own; a fork starts a loop of its own, where the old one has no thread."""
    loops = []

    async def reward(prompts, completions, **columns):
        loops.append(asyncio.get_running_loop())
        return [1.0] * len(completions)

    for _ in range(2):
        assert values_of(calls_of(user, reward)) == [1.0] * 4
    assert loops[0] is loops[1]
    if hasattr(os, "fork"):
        if (child := os.fork()) == 0:
            os._exit(0 if values_of(calls_of(user, reward, timeout=5)) == [1.0] * 4 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_async_functions_run_at_the_same_time(user):
    """Each waits for the other: one after the other they would never end."""
    arrived = {"one": threading.Event(), "other": threading.Event()}

    def waits(own, other):
        async def reward(prompts, completions, **columns):
            arrived[own].set()
            while not arrived[other].is_set():
                await asyncio.sleep(0.01)
            return [1.0] * len(completions)

        return reward

    user.one, user.other = waits("one", "other"), waits("other", "one")
    calls = RewardCalls(Rewards({"users_own:one": 1.0, "users_own:other": 1.0}, timeout_seconds=20))
    assert calls(["?"], ["x"], {}) == {"users_own:one": [1.0], "users_own:other": [1.0]}
    assert not calls.faults


def test_what_is_said_at_once(user):
    def strict(prompts, completions, completion_ids, ground_truth, *, limit=3):
        return []

    with pytest.raises(RewardError, match=r'"users_own:reward": unknown parameter \'limt\'; did you mean \'limit\''):
        calls_of(user, strict, limt=2)
    calls = calls_of(user, lambda prompts, completions, **columns: boxed_numeric(prompts, completions))
    with pytest.raises(RewardError, match='needs the dataset column "ground_truth"'):
        values_of(calls)


@both
def test_one_bad_answer_costs_one_value(user, kind):
    def reward(prompts, completions, question_id, **columns):
        assert len(prompts) == len(question_id)
        if "bad" in completions:
            raise ValueError("cannot read it")
        return [1.0] * len(completions)

    calls = calls_of(user, kind(reward))
    assert values_of(calls) == [1.0, 1.0, None, 1.0]
    assert calls.failed == {NAME: {2}}
    reason = f"raised ValueError at {raised_at(reward, 3)}: cannot read it"
    assert calls.faults.file.to_json()["functions"][NAME]["reasons"] == [
        {"reason": reason, "completions": 1, "question_id": "q2"}
    ]
    assert values_of(calls, ["a", "b"]) == [1.0, 1.0]
    assert calls.faults.share(NAME) == 1 / 6


@both
def test_a_call_that_raises_now_and_then_costs_nothing(user, kind):
    """Every tenth call raises: the batch is asked again one at a time, and most of those calls are fine."""
    count = 0

    def reward(prompts, completions, **columns):
        nonlocal count
        count += 1
        if count % 10 == 0:
            raise ConnectionError("no reply")
        return [0.5] * len(completions)

    calls = calls_of(user, kind(reward))
    values = [value for _ in range(100) for value in values_of(calls, TEXTS[:3])]
    assert values.count(0.5) + values.count(None) == 300
    kept = calls.faults.file.to_json()["functions"][NAME]
    assert values.count(None) == kept["unscored"] < 20
    assert 5 <= kept["retried"] <= 20
    assert f"raised ConnectionError at {raised_at(reward, 4)}: no reply" in kept["sentence"]


@both
def test_a_list_of_the_wrong_length_is_not_asked_for_again(user, kind):
    asked = []

    def reward(prompts, completions, **columns):
        asked.append(len(completions))
        return [1.0]

    calls = calls_of(user, kind(reward))
    assert values_of(calls) == [None] * 4
    assert asked == [4]
    assert "returned a list of 1 values for 4 completions" in calls.faults.sentences()[0]


def test_one_value_that_is_no_number(user):
    calls = calls_of(user, lambda prompts, completions, **columns: [1, float("inf"), None, "x"])
    assert values_of(calls) == [1.0, None, None, None]
    reasons = calls.faults.file.to_json()["functions"][NAME]
    assert reasons["unscored"] == 2  # None is what it said itself
    assert [row["question_id"] for row in reasons["reasons"]] == ["q1", "q3"]


def test_hooks_of_the_trainer_are_called_for_batches_only(user):
    logged = []

    def reward(prompts, completions, log_extra, **columns):
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
def test_each_completion_fares_by_itself(user, fates):
    """Whatever the others do: a value where it is fine, None where not, and one count for each fault."""
    values = {"fine": 0.25, "none": None, "inf": float("inf"), "text": "x"}

    def reward(prompts, completions, **columns):
        if "raises" in completions:
            raise ValueError("no")
        return [values[text] for text in completions]

    calls = calls_of(user, reward)
    found = calls(["?"] * len(fates), fates, {})[NAME]
    assert found == [0.25 if fate == "fine" else None for fate in fates]
    faulty = sum(fate in ("raises", "inf", "text") for fate in fates)
    assert calls.faults.share(NAME) == faulty / len(fates)


def test_counts_go_on_from_what_was_kept():
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


def compiled(source, file):
    namespace = {}
    exec(compile(source, file, "exec"), namespace)
    return namespace


def test_the_line_is_the_users_not_that_of_an_installed_package(user):
    client = compiled("def ask():\n    raise ConnectionError('refused')\n", "/venv/site-packages/client.py")

    def reward(prompts, completions, **columns):
        return [client["ask"]() for _ in completions]

    calls = calls_of(user, reward)
    values_of(calls, ["a"])
    assert f"raised ConnectionError at {raised_at(reward, 1)}: refused" in calls.faults.sentences()[0]
    source = "def reward(prompts, completions, **columns):\n    return 1 / 0\n"
    calls = calls_of(user, compiled(source, "/gone/judges/__init__.py")["reward"])
    values_of(calls, ["a"])
    assert "raised ZeroDivisionError at judges/__init__.py:2: " in calls.faults.sentences()[0], "a package's folder"


def call(function):
    return function()


def in_thread(function):
    """The same off the main thread, where no alarm rings."""
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join(60)
    return found[0]


def sleeps():
    time.sleep(3600)


def loops():
    while True:
        try:
            sum(range(1000))
        except Exception:
            continue


def backtracks():
    re.match(r"(a+)+$", "a" * 60 + "!")


async def awaits():
    await asyncio.sleep(3600)


async def blocks():
    time.sleep(5)


async def refuses_to_end():
    for _ in range(50):
        try:
            await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            continue


def hanging(hang, asked=None):
    """A reward that hangs so over an answer that is bad."""
    asked = [] if asked is None else asked

    def now(prompts, completions, **columns):
        asked.append(len(completions))
        if "bad" in completions:
            hang()
        return [1.0] * len(completions)

    async def later(prompts, completions, **columns):
        asked.append(len(completions))
        if "bad" in completions:
            await hang()
        return [1.0] * len(completions)

    return later if asyncio.iscoroutinefunction(hang) else now


@pytest.mark.parametrize("hang", [sleeps, loops, backtracks, awaits, refuses_to_end])
def test_a_hanging_answer_costs_one_value(user, hang):
    calls = calls_of(user, hanging(hang), timeout=0.5)
    started = time.monotonic()
    assert values_of(calls) == [1.0, 1.0, None, 1.0]
    assert time.monotonic() - started < 20
    (sentence,) = calls.faults.sentences()
    assert "no value for 1 of 4 completions: took longer than 0.5 s (timeout_seconds) (1)" in sentence


def test_a_blocked_loop_is_left_behind(user):
    calls = calls_of(user, hanging(blocks), timeout=0.5)
    started = time.monotonic()
    assert values_of(calls)[2] is None
    assert time.monotonic() - started < 10
    assert values_of(calls, ["a", "b"]) == [1.0, 1.0]


@pytest.mark.parametrize("hang", [sleeps, awaits])
def test_off_the_main_thread_too(user, hang):
    calls = calls_of(user, hanging(hang), timeout=0.5)
    assert in_thread(lambda: values_of(calls)) == [1.0, 1.0, None, 1.0]


@pytest.mark.parametrize("hang", [sleeps, awaits])
def test_a_function_that_always_hangs_is_given_up(user, hang):
    asked = []
    calls = calls_of(user, hanging(hang, asked), timeout=0.2)
    for _ in range(5):
        assert values_of(calls, ["bad"]) == [None]
    assert len(asked) == 6  # three batches, each asked again
    (sentence,) = calls.faults.sentences()
    assert "no value for 5 of 5 completions" in sentence
    assert "not called any more after 3 time-outs in a row (2)" in sentence


@pytest.mark.parametrize(("kind", "run"), [(as_it_is, call), (awaited, call), (as_it_is, in_thread)])
def test_a_time_out_of_its_own_is_a_reason_as_any_other(user, kind, run):
    """Sockets raise ``TimeoutError`` too."""

    def reads(prompts, completions, **columns):
        raise TimeoutError("the read operation timed out")

    calls = calls_of(user, kind(reads))
    for _ in range(5):
        assert run(lambda: values_of(calls, ["x"])) == [None]
    (sentence,) = calls.faults.sentences()
    reason = f"raised TimeoutError at {raised_at(reads, 1)}: the read operation timed out"
    assert sentence.endswith(f"for 5 of 5 completions: {reason} (5)")


def test_a_grader_that_hangs_decides_nothing(user):
    reward = hanging(sleeps)
    reward.grade = lambda completion, ground_truth: time.sleep(3600)
    calls = calls_of(user, reward, timeout=0.2)
    started = time.monotonic()
    results = score_all(["?"] * 5, ["x"] * 5, {"ground_truth": ["7"] * 5}, calls.rewards, calls)
    assert time.monotonic() - started < 10
    assert {result.status for result in results} == {"unscored"}


def test_someone_elses_timer_goes_on():
    rung = []
    handler = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(OutOfTimeError):
            limited(lambda: time.sleep(60), 0.1)
        time.sleep(0.4)
        assert rung == [signal.SIGALRM]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
