"""Answers in words: SQuAD's normalization and F1, and what holds for any text; their cases are the audit's."""

from __future__ import annotations

import re
import string
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.rewards import RewardCalls, Rewards, exact, f1, score_all
from harness.rewards.words import final_answer, normalized
from harness.store.errors import RewardError


def squads(text):
    """The official script's normalize_answer, step by step."""
    text = "".join(mark for mark in text.lower() if mark not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


@settings(deadline=None)
@given(st.text() | st.text("aAnthe .,'-\n\té", max_size=40))
def test_normalized_is_squads(text):
    assert normalized(text) == (squads(text) or " ".join(text.lower().split()))


WORD = st.sampled_from(["eiffel", "tower", "of", "paris", "big", "ben"])
WORDS = st.lists(WORD, min_size=1, max_size=6)


@settings(deadline=None)
@given(WORDS, WORDS)
def test_f1_is_squads(answer, truth):
    shared = sum((Counter(answer) & Counter(truth)).values())
    precision, recall = shared / len(answer), shared / len(truth)
    expected = 2 * precision * recall / (precision + recall) if shared else 0.0
    grade = f1.grade(f"Answer: {' '.join(answer)}", " ".join(truth))
    assert grade.reward == pytest.approx(expected)
    assert (grade.reward == 1.0) is (sorted(answer) == sorted(truth))
    assert exact.grade(" ".join(answer), " ".join(truth)).correct is (answer == truth)


@settings(deadline=None)
@given(WORDS, st.sampled_from(["{}", "The {}.", "**{}**", "Answer: {}", r"\boxed{{{}}}", "<answer>a {}!</answer>"]))
def test_dressing_changes_no_words(words, dressed):
    said = " ".join(words)
    assert exact.grade(dressed.format(said.title()), said).correct
    assert f1(["?"], [dressed.format(said)], ground_truth=[said]) == [1.0]


@settings(deadline=None)
@given(st.text(), st.text())
def test_no_text_makes_them_raise(completion, truth):
    assert exact.grade(completion, truth).correct in (True, False)
    reward = f1.grade(completion, truth).reward
    assert reward is not None
    assert 0.0 <= reward <= 1.0


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("", None),
        (" \n", None),
        ("Answer:", "Answer:"),
        ("Paris", "Paris"),
        ("It is so.\nAnswer: Paris.", "Paris"),
        ("Answer: Rome\nAnswer: Paris", "Paris"),
        (r"The answer is \boxed{Paris}", "Paris"),
        ("Two\nlines", "Two\nlines"),
    ],
)
def test_the_final_answer(completion, answer):
    assert final_answer(completion) == answer


def test_a_part_is_paid_and_the_status_is_by_its_threshold():
    def scored(**parameters):
        rewards = Rewards.from_table({"f1": {"weight": 2.0, **parameters}})
        (result,) = score_all(["?"], ["Answer: Eiffel"], {"ground_truth": ["Eiffel Tower"]}, rewards)
        return result.status, result.reward, result.extracted

    assert scored() == ("wrong", pytest.approx(4 / 3), "Eiffel")
    assert scored(correct_from=0.5) == ("correct", pytest.approx(4 / 3), "Eiffel")


@pytest.mark.parametrize("value", [0, -1, 1.5, "half", True])
def test_thresholds_that_make_no_sense(value):
    rewards = Rewards.from_table({"f1": {"weight": 1.0, "correct_from": value}})
    with pytest.raises(RewardError, match='reward "f1": correct_from must be a number above 0 and at most 1, not'):
        RewardCalls(rewards)


@pytest.mark.parametrize("text", ["word " * 200_000, "a " * 500_000, "!" * 1_000_000, "Answer: " * 100_000])
def test_long_answers_take_linear_time(text):
    start = time.process_time()
    for grader in (exact, f1):
        assert not grader.grade(text, "Eiffel Tower").correct
    assert time.process_time() - start < 2.0
