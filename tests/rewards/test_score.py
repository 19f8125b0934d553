"""Scoring completions for the record: totals, grades, the primary grader, and user functions that misbehave."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.rewards import Grade, RewardCalls, reward_function, score_all
from harness.rewards.runner import listed, number
from harness.rewards.score import weighted_total
from harness.store.errors import RewardError

COMPLETIONS = [r"\boxed{7}", r"\boxed{7.0}", r"\boxed{8}", "7"]


def score(rewards, completions=COMPLETIONS, truth="7"):
    size = len(completions)
    return score_all(["?"] * size, completions, {"ground_truth": [truth] * size}, rewards)


def test_rewards_grades_and_status():
    results = score({"format_boxed": 0.5, "boxed_numeric": 1.0})
    assert [result.status for result in results] == ["correct", "correct", "wrong", "no_answer"]
    assert [result.extracted for result in results] == ["7", "7.0", "8", None]
    assert [result.reward for result in results] == [1.5, 1.5, 0.5, 0.0]
    assert [result.grades["boxed_exact"].correct for result in results] == [True, False, False, False]
    assert [result.grades["boxed_numeric"].correct for result in results] == [True, True, False, False]
    assert results[0].rewards == {"format_boxed": 1.0, "boxed_numeric": 1.0}


def test_the_first_function_that_grades_is_primary():
    assert score({"format_boxed": 1.0, "boxed_exact": 1.0, "boxed_numeric": 1.0})[1].status == "wrong"
    assert score({"boxed_numeric": 1.0, "boxed_exact": 1.0})[1].status == "correct"
    assert score({"format_boxed": 1.0})[1].status == "correct"


def test_a_grader_of_the_users_decides(user):
    def seven(completion, ground_truth):
        return Grade(extracted="seven", correct=None if "8" in completion else True)

    user.seven = reward_function(seven)
    results = score({"users_own:seven": 2.0})
    assert [result.status for result in results] == ["correct", "correct", "unscored", "correct"]
    assert [result.reward for result in results] == [2.0, 2.0, None, 2.0]


def test_chat_completions_and_missing_ground_truth():
    chat = [[{"role": "assistant", "content": text}] for text in COMPLETIONS]
    assert score({"boxed_numeric": 1.0}, chat) == score({"boxed_numeric": 1.0})
    assert score({"boxed_numeric": 1.0}, []) == []
    (result,) = score({"boxed_numeric": 1.0}, [r"\boxed{7}"], truth=None)
    assert (result.status, result.reward, result.grades["boxed_exact"].correct) == ("unscored", None, None)


def test_every_column_reaches_the_function(user):
    def levels(prompts, completions, level, **columns):
        return level

    user.levels = levels
    columns = {"ground_truth": ["7", "7"], "level": [3, 4]}
    results = score_all(["?", "?"], COMPLETIONS[:2], columns, {"users_own:levels": 0.5})
    assert [result.reward for result in results] == [1.5, 2.0]


VALUES = [
    (None, None), (1, 1.0), (True, 1.0), (math.nan, None), (np.float32(0.5), 0.5), (np.float64("nan"), None),
    (np.int64(2), 2.0), (np.bool_(True), 1.0), (np.array(0.25), 0.25), (Fraction(1, 4), 0.25), (Decimal("0.25"), 0.25),
    (Decimal("NaN"), None),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), VALUES, ids=lambda value: repr(value))
def test_values_that_count(value, expected):
    found = number(value)
    assert found == expected
    assert found is None or type(found) is float


@pytest.mark.parametrize(
    "value",
    [math.inf, -math.inf, np.float32("inf"), "1.0", [1.0], 1j, object(), np.array([1.0, 2.0]), 10**5000,
     Decimal("sNaN")],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_values_that_do_not(value):
    with pytest.raises(RewardError, match=r"returned .* for a completion; it must return"):
        number(value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, "must return a list with a number or None for each completion, not a value of type NoneType"),
        (1.0, "not a value of type float"),
        ([], "returned a list of 0 values for 2 completions"),
        ([1.0], "returned a list of 1 values for 2 completions"),
        ("ab", "returned a str of 2 values"),
        ({0: 1.0, 1: 1.0}, "returned a dict of 2 values"),
    ],
)
def test_lists_of_the_wrong_kind(values, message):
    with pytest.raises(RewardError, match=message):
        listed(values, 2)
    assert [number(value) for value in listed(np.array([0.5, math.nan]), 2)] == [0.5, None]
    assert listed((1, 0), 2) == [1, 0]


@pytest.mark.parametrize(
    ("grade", "reason"),
    [(True, "must return a harness.rewards.Grade"), (None, "raised TypeError at test_score.py:")],
)
def test_a_grader_that_breaks_its_contract_decides_nothing(user, grade, reason):
    def fine(prompts, completions, **columns):
        return [1.0] * len(completions)

    def grader(completion, ground_truth):
        if grade is None:
            raise TypeError("no")
        return grade

    fine.grade = grader
    user.fine = fine
    rewards = {"users_own:fine": 1.0}
    calls = RewardCalls(rewards)
    results = score_all(["?"] * 2, COMPLETIONS[:2], {"ground_truth": ["7", "7"]}, rewards, calls)
    assert [(result.status, result.reward) for result in results] == [("unscored", 1.0)] * 2
    (sentence,) = calls.faults.sentences()
    assert "gave no value for 2 of 2 completions" in sentence
    assert reason in sentence


def test_faults_are_never_silent(user):
    def fails(prompts, completions, **columns):
        raise KeyError("level")

    user.fails = fails
    with pytest.warns(RuntimeWarning, match=r"no value for 4 of 4 completions: raised KeyError at .*\.py:\d+: 'level'"):
        results = score({"boxed_numeric": 1.0, "users_own:fails": 1.0})
    assert [result.status for result in results] == ["correct", "correct", "wrong", "no_answer"]
    assert {result.rewards["users_own:fails"] for result in results} == {None}


def test_columns_of_the_wrong_length():
    with pytest.raises(RewardError, match="column prompts has 1 values for 2 completions"):
        score_all(["?"], ["a", "b"], {"ground_truth": ["7", "7"]}, {"boxed_numeric": 1.0})
    with pytest.raises(RewardError, match="column level has 1 values for 2 completions"):
        score_all(["?", "?"], ["a", "b"], {"ground_truth": ["7", "7"], "level": [1]}, {"format_boxed": 1.0})
    with pytest.raises(RewardError, match='needs the dataset column "ground_truth"; it has level'):
        score_all(["?"], ["a"], {"level": [1]}, {"format_boxed": 1.0})


FINITE = st.floats(-1e6, 1e6)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=3), st.tuples(st.none() | FINITE, FINITE)))
def test_the_total_is_trls(parts):
    values = {name: value for name, (value, _) in parts.items()}
    weights = {name: weight for name, (_, weight) in parts.items()}
    total = weighted_total(values, weights)
    products = [math.nan if value is None else value * weight for value, weight in parts.values()]
    if all(map(math.isnan, products)):
        assert total is None
    else:
        assert total == pytest.approx(float(np.nansum(products)), abs=1e-3)
