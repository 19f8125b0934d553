"""Holds every recipe's reward functions to their contract, before anything is trained on them.

pytest suites/test_rewards.py
rl-harness audit tiny-arithmetic        # the same audit, in numbers; --json has every case
"""

import pytest

from harness.rewards import RewardCalls, functions_of
from harness.rewards.audit import answer_in

NOTHING = "I do not know."


@pytest.fixture
def right(audit):
    """A right answer to 6 * 200, in the form that the recipe's rewards read."""
    return answer_in(audit.form, "1200")


@pytest.fixture
def wrong(audit):
    """A wrong one."""
    return answer_in(audit.form, "1201")


def rewards_for(recipe, name, completions, ground_truth="1200"):
    """What a reward function gives with the recipe's parameters, called as TRL calls it. A fault fails the test."""
    n = len(completions)
    calls = RewardCalls(recipe.rewards)
    values = calls(
        [[{"role": "user", "content": "What is 6 * 200?"}]] * n,
        completions,
        {
            "completion_ids": [[0]] * n,
            "completion_tokens": [1] * n,
            "ground_truth": [ground_truth] * n,
            "question": ["What is 6 * 200?"] * n,
            "question_id": ["contract/0"] * n,
            "trainer_state": None,
        },
    )
    assert not calls.faults, "; ".join(calls.faults.sentences())
    return values[name]


def test_one_value_a_completion(recipe, right, wrong):
    """A finite number or None for each completion, in their order, for chats as for plain text."""
    texts = [right, wrong, NOTHING, ""]
    for name in recipe.rewards:
        plain = rewards_for(recipe, name, texts)
        assert len(plain) == len(texts)
        assert all(value is None or abs(float(value)) < float("inf") for value in plain)
        assert plain == rewards_for(recipe, name, [[{"role": "assistant", "content": text}] for text in texts])


def test_same_answer_same_reward(recipe, right, wrong):
    """Rewards do not depend on luck, on order, or on the other completions of the batch."""
    texts = [right, wrong, NOTHING]
    for name in recipe.rewards:
        together = rewards_for(recipe, name, texts)
        assert together == rewards_for(recipe, name, texts)
        assert together == [rewards_for(recipe, name, [text])[0] for text in texts]
        assert together[::-1] == rewards_for(recipe, name, texts[::-1])


def test_right_answers_are_paid_more(recipe, right, wrong):
    """The weighted total pays a right answer more than a wrong one and a wrong one no less than none at all."""
    for_right, for_wrong, for_nothing = (
        sum(weight * (rewards_for(recipe, name, [text])[0] or 0.0) for name, weight in recipe.rewards.items())
        for text in (right, wrong, NOTHING)
    )
    assert for_right > for_wrong >= for_nothing


def test_audit(audit):
    """Right answers are paid however they are written; near misses and hacks are not; the same twice, and in time."""
    assert not audit.findings, "\n".join(audit.findings)


def test_every_gold_answer_is_accepted(recipe, device, questions, audit):
    """No ground truth of the task is refused by a grader that trains or judges on it."""
    functions = functions_of(recipe.rewards)
    graders = {each.name: each.form for each in audit.rewards if hasattr(functions[each.name], "grade")}
    if not graders:
        pytest.skip(f"recipe {recipe.name} has no grading reward function")
    for name, form in graders.items():
        for question in (*questions.train, *questions.test):
            grade = functions[name].grade(answer_in(form, question.ground_truth), question.ground_truth)
            assert grade.correct, f"{name} refuses the gold answer {question.ground_truth!r} of {question.id}"
