"""pass@k, majority@k and mean@k: tables, brute force, and what an evaluation says."""

from __future__ import annotations

import itertools
import math

import pytest
from graded import answer
from hypothesis import given
from hypothesis import strategies as st

from harness.gate import accuracy_interval
from harness.rewards.at_k import at_k, at_k_line, majority_at_k, pass_at_k


@given(st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_is_the_share_of_groups_with_a_right_answer(case):
    n, correct, k = case
    groups = list(itertools.combinations([True] * correct + [False] * (n - correct), k))
    assert pass_at_k(n, correct, k) == pytest.approx(sum(map(any, groups)) / len(groups))


@pytest.mark.parametrize("case", [(3, 1, 4), (3, 4, 1), (3, 1, 0), (3, -1, 1)])
def test_pass_at_k_refuses_what_cannot_be(case):
    with pytest.raises(ValueError, match="needs 1 <= k <= n"):
        pass_at_k(*case)


MAJORITIES = [
    # answers, right ones, k, expected
    (["7", "7", "8"], [1, 1, 0], 3, 1.0),
    (["7.0", r"\$7", "8"], [1, 1, 0], 3, 1.0),  # one number, written in two ways
    (["8", "8", "7"], [0, 0, 1], 3, 0.0),
    (["7", "8"], [1, 0], 2, 0.5),  # a tie is broken by chance
    (["7", "8", "9"], [1, 0, 0], 3, 1 / 3),
    ([None, None, "7"], [0, 0, 1], 3, 1.0),  # who says nothing does not vote
    ([None, None], [0, 0], 2, 0.0),
    (["a  b", "a b", "7"], [0, 0, 1], 3, 0.0),  # text is one but for white space
    (["7", "7", "8"], [1, 1, 0], 1, 2 / 3),  # a vote of one is the mean
    (["7", "7", "8"], [1, 1, 0], 2, (1 + 0.5 + 0.5) / 3),
]


@pytest.mark.parametrize(("answers", "right", "k", "expected"), MAJORITIES)
def test_majority(answers, right, k, expected):
    assert majority_at_k(answers, [bool(each) for each in right], k) == pytest.approx(expected)


def test_majority_of_many_is_drawn_by_seed_and_near_the_mean_of_all():
    answers = ["7"] * 12 + ["8"] * 8
    right = [True] * 12 + [False] * 8
    drawn = majority_at_k(answers, right, 5)
    assert drawn == majority_at_k(answers, right, 5)
    exact = sum(math.comb(12, won) * math.comb(8, 5 - won) for won in (3, 4, 5)) / math.comb(20, 5)
    assert drawn == pytest.approx(exact, abs=0.1)


def test_majority_refuses_more_than_there_are():
    with pytest.raises(ValueError, match="at least 3"):
        majority_at_k(["7"], [True], 3)


def test_at_k_of_an_evaluation():
    said = {
        "a": [("7", "correct"), ("7", "correct"), ("8", "wrong"), (None, "no_answer")],
        "b": [("1", "wrong"), ("1", "wrong"), ("7", "correct"), ("2", "wrong")],
        "c": [("7", "correct"), ("7", "unscored"), ("3", "wrong"), ("4", "wrong")],
    }
    records = [answer(name, n, *each) for name, answers in said.items() for n, each in enumerate(answers)]
    found = at_k(records, 4)
    assert list(found["pass"]) == ["1", "2", "4"]
    # c has three scored answers: it is no observation of 4, and one of 1 and 2
    assert [found["pass"][k]["questions"] for k in ("1", "2", "4")] == [3, 3, 2]
    shares = [2 / 4, 1 / 4, 1 / 3]
    assert found["pass"]["1"]["value"] == pytest.approx(sum(shares) / 3)
    assert found["pass"]["1"]["interval"] == pytest.approx(accuracy_interval(shares))
    assert found["mean"]["1"]["value"] == pytest.approx(found["pass"]["1"]["value"])
    assert found["pass"]["4"]["value"] == 1.0
    assert found["majority"]["4"]["value"] == pytest.approx((1 + 0) / 2)
    line = at_k_line(found)
    assert line.startswith("pass@4 100.0 % (95 %: ")
    assert "majority@4 50.0 %" in line


def test_one_answer_a_question_has_no_at_k():
    assert at_k([answer("a", 0, "7", "correct")], 1) is None
    assert at_k_line(None) is None


@given(st.lists(st.lists(st.sampled_from(["7", "8", None]), min_size=4, max_size=4), min_size=1, max_size=6))
def test_order_of_the_metrics(answers):
    """One right answer of k is no rarer than a right majority's, and pass@k grows with k."""
    records = [
        answer(str(q), n, said, "no_answer" if said is None else "correct" if said == "7" else "wrong")
        for q, row in enumerate(answers)
        for n, said in enumerate(row)
    ]
    found = at_k(records, 4)
    assert found["pass"]["4"]["value"] >= found["majority"]["4"]["value"] - 1e-9
    assert found["pass"]["1"]["value"] <= found["pass"]["2"]["value"] + 1e-9 <= found["pass"]["4"]["value"] + 2e-9
    assert found["majority"]["1"]["value"] == pytest.approx(found["mean"]["1"]["value"])
