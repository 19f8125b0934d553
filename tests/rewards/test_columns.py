"""Columns of a question's row: which ones reward functions and graders take, and how they come to them."""

from __future__ import annotations

import asyncio

import pytest

from harness.rewards import Grade, RewardCalls, Rewards, reward_function, score_all
from harness.rewards.audit import audit_rewards
from harness.rewards.grading import by_column, columns
from harness.rewards.registry import columns_asked, takes
from harness.store.errors import RewardError
from harness.tasks import Question

NAME = "users_own:reward"  # in the module of the fixture ``user``
ROWS = {"ground_truth": ["7", "8"], "question_id": ["a", "b"], "level": [1, 5], "tags": [["x"], []]}


def by_name(prompts, completions, level, **others):
    return [float(each) for each in level]


def with_default(completions, level=(9, 9), unknown=0):
    return [each + unknown for each in level]


def everything(prompts, completions, **row):
    return [float(len(row.keys() & {"level", "tags"}))] * len(completions)


async def later(completions, level):
    await asyncio.sleep(0)
    return [each + 1 for each in level]


class Judge:
    def __call__(self, completions, *, level):
        return level


@reward_function
def at_level(completion, ground_truth, level, least=1):
    return Grade(completion, completion == ground_truth and level >= least)


GIVEN = [  # a function, the columns that it asks for, and what it gives
    (by_name, None, [1.0, 5.0]),
    (with_default, {"level", "unknown"}, [1.0, 5.0]),
    (everything, None, [2.0, 2.0]),
    (later, {"level"}, [2.0, 6.0]),
    (Judge(), {"level"}, [1.0, 5.0]),
    (at_level, {"level", "least"}, [1.0, 1.0]),
]


@pytest.mark.parametrize(("function", "asked", "values"), GIVEN)
def test_a_function_gets_the_columns_that_it_takes(user, function, asked, values):
    user.reward = function
    assert columns_asked({NAME: 1.0}) == asked
    calls = RewardCalls({NAME: 1.0})
    assert calls(["?", "?"], ["7", "8"], ROWS) == {NAME: values}
    assert not calls.faults


def test_shipped_functions_ask_for_none_and_a_parameter_of_the_recipe_is_none(user):
    assert columns_asked({"boxed_numeric": 1.0, "format_boxed": 0.2}) == frozenset()
    user.reward = later
    rewards = Rewards({NAME: 1.0}, {NAME: {"level": [3, 3]}})
    assert columns_asked(rewards) == frozenset()
    assert RewardCalls(rewards)(["?", "?"], ["7", "8"], ROWS) == {NAME: [4.0, 4.0]}


@pytest.mark.parametrize("function", [by_name, later, Judge(), at_level])
def test_a_column_that_is_not_there_is_named(user, function):
    user.reward = function
    known = {key: value for key, value in ROWS.items() if key != "level"}
    message = rf"""^reward "{NAME}": takes 'level', and the questions have no such column; """
    with pytest.raises(RewardError, match=f"{message}valid: tags$"):
        RewardCalls({NAME: 1.0})(["?", "?"], ["7", "8"], known)
    with pytest.raises(RewardError, match=f"{message}they have none$"):
        RewardCalls({NAME: 1.0})(["?"], ["7"], {"ground_truth": ["7"]})


@pytest.mark.parametrize("least", [1, 2])
def test_a_grader_that_takes_a_column_decides_by_it(user, least):
    user.reward = at_level
    rows = {**ROWS, "least": [least, least]}
    first, second = score_all(["?", "?"], ["7", "8"], rows, {NAME: 1.0})
    assert (first.status, second.status) == ("correct" if least == 1 else "wrong", "correct")
    assert [first.reward, second.reward] == [float(least == 1), 1.0]
    assert takes(user.reward.grade, behind=2).named == {"level", "least"}
    with pytest.raises(RewardError, match='needs the dataset column "level"; it has ground_truth'):
        at_level(["?"], ["7"], ground_truth=["7"])


def test_hooks_of_trl_are_there_where_nobody_logs(user):
    def logs(completions, log_extra, log_metric):
        log_extra("seen", list(completions))
        log_metric("length", 1.0)
        return [1.0] * len(completions)

    user.reward = logs
    assert RewardCalls({NAME: 1.0})(["?", "?"], ["a", "b"], ROWS) == {NAME: [1.0, 1.0]}


def test_one_bad_answer_leaves_the_others_their_columns(user):
    def picky(completions, level):
        if "bad" in completions:
            raise ValueError("cannot read it")
        return level

    user.reward = picky
    assert RewardCalls({NAME: 1.0})(["?", "?"], ["bad", "8"], ROWS) == {NAME: [None, 5.0]}


def test_questions_by_column():
    row = {"level": 3, "question": "raw"}
    asked = [Question("a", "1?", "1", "test", columns=row), Question("b", "2?", "2", "test")]
    assert columns(asked) == {
        "level": [3, None],
        "question": ["1?", "2?"],
        "question_id": ["a", "b"],
        "ground_truth": ["1", "2"],
    }
    assert by_column([]) == {}


def test_an_audit_has_the_columns_of_a_question(user):
    user.reward = at_level
    question = Question("q", "How many?", "42", "test", columns={"level": 3})
    audit = audit_rewards({NAME: 1.0}, [question])
    (gold,) = audit.golds
    assert (audit.right, audit.wrong, gold.refused) == (1.0, 0.0, ())
    with pytest.raises(RewardError, match="takes 'level', and the questions have no such column"):
        audit_rewards({NAME: 1.0})


def test_a_parameter_of_a_shipped_function_is_no_column():
    assert columns_asked({"choice": 1.0, "f1": 1.0, "regex": 1.0, "length_penalty": 1.0}) == {"choices"}


def test_a_shipped_grader_that_fails_leaves_an_answer_ungraded(monkeypatch):
    """A mistake of ours is counted as a user's is, and ends no training."""
    calls = RewardCalls({"boxed_numeric": 1.0})
    graded = calls.grade("boxed_numeric", lambda completion, truth: 1 / 0, r"\boxed{7}", "7", 0)
    assert graded.correct is None
    assert "ZeroDivisionError" in calls.faults.sentences()[0]


def test_what_a_function_changes_is_its_own(user):
    def vandal(prompts, completions, ground_truth, tags):
        completions[0][0]["content"] = ground_truth[1] = "HACK"
        completions.append("more")
        for each in tags:
            each.append("x")
        return [1.0] * len(tags)

    user.reward = vandal
    said = [[{"role": "assistant", "content": rf"\\boxed{{{n}}}"}] for n in (7, 8)]
    rows = {**ROWS, "ground_truth": ["7", "8"], "tags": [["x"], []]}
    scored = score_all([[], []], said, rows, {NAME: 1.0, "boxed_numeric": 1.0})
    assert [each.status for each in scored] == ["correct", "correct"]
    assert (len(said), rows["ground_truth"], rows["tags"]) == (2, ["7", "8"], [["x"], []])
