"""Holds every recipe's reward functions to their contract, before anything is trained on them.

pytest suites/test_rewards.py
rl-harness audit tiny-arithmetic        # the same audit, in numbers; --json has every case
"""

import pytest

from harness.rewards import RewardCalls
from harness.rewards.audit import answer_in

NOTHING = "I do not know."


@pytest.fixture
def question(questions):
    """One of the task."""
    return questions.test[0]


@pytest.fixture
def right(audit, question):
    """Its ground truth, in the form that the recipe's rewards read."""
    return answer_in(audit.form, question.ground_truth)


@pytest.fixture
def wrong(audit):
    """Another answer."""
    return answer_in(audit.form, "1201")


@pytest.fixture
def rewards_for(recipe, question):
    """What a reward function gives for answers to that question with the recipe's parameters, called as TRL calls it. A
    fault fails the test."""

    def rewards_for(name, completions):
        n = len(completions)
        calls = RewardCalls(recipe.rewards)
        values = calls(
            [[{"role": "user", "content": question.text}]] * n,
            completions,
            {
                **{column: [value] * n for column, value in question.columns.items()},
                "completion_ids": [[0]] * n,
                "completion_tokens": [1] * n,
                "ground_truth": [question.ground_truth] * n,
                "question": [question.text] * n,
                "question_id": ["contract/0"] * n,
                "trainer_state": None,
            },
        )
        assert not calls.faults, "; ".join(calls.faults.sentences())
        return values[name]

    return rewards_for


def test_one_value_a_completion(recipe, rewards_for, right, wrong):
    """A finite number or None for each completion, in their order, for chats as for plain text."""
    texts = [right, wrong, NOTHING, ""]
    for name in recipe.rewards:
        plain = rewards_for(name, texts)
        assert len(plain) == len(texts)
        assert all(value is None or abs(float(value)) < float("inf") for value in plain)
        assert plain == rewards_for(name, [[{"role": "assistant", "content": text}] for text in texts])


def test_same_answer_same_reward(recipe, rewards_for, right, wrong):
    """Rewards do not depend on luck, on order, or on the other completions of the batch."""
    texts = [right, wrong, NOTHING]
    for name in recipe.rewards:
        together = rewards_for(name, texts)
        assert together == rewards_for(name, texts)
        assert together == [rewards_for(name, [text])[0] for text in texts]
        assert together[::-1] == rewards_for(name, texts[::-1])


def test_right_answers_are_paid_more(audit):
    """The weighted total pays a right answer more than a wrong one and a wrong one no less than none at all."""
    right, wrong, nothing = (value or 0.0 for value in (audit.right, audit.wrong, audit.nothing))
    assert right > wrong >= nothing


def test_audit(audit):
    """Right answers are paid however they are written; near misses and hacks are not; the same twice, and in time."""
    assert not audit.findings, "\n".join(audit.findings)


def test_every_gold_answer_is_accepted(recipe, audit):
    """No ground truth of the task is refused by a grader that trains or judges on it."""
    if not audit.golds:
        pytest.skip(f"recipe {recipe.name} has no reward function that grades by answers")
    for gold in audit.golds:
        assert not gold.refused, f"{gold.name} refuses the gold answers of {', '.join(gold.refused)}"
