"""What each grader extracts and decides: one table for all, then what sets them apart."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.rewards import boxed_exact, boxed_numeric, format_boxed, math_equivalent, resolve_reward
from harness.rewards.text import normalize

CASES = [
    # completion, ground truth, extracted by the flexible graders, exact, numeric
    (r"\boxed{18}", "18", "18", True, True),
    (r"\boxed{ 18 }", "18", "18", False, True),
    (r"\boxed{18.0}", "18", "18.0", False, True),
    (r"\boxed{1,200}", "1200", "1,200", False, True),
    (r"\boxed{1200}", "1,200", "1200", False, True),
    (r"\boxed{\$1{,}200.00}", "1200", r"\$1{,}200.00", False, True),
    (r"\boxed{19}", "18", "19", False, False),
    (r"\boxed{-18}", "18", "-18", False, False),
    (r"\boxed{18} or \boxed{19}", "18", "19", True, False),
    (r"\boxed{17}, no: \boxed{18}", "18", "18", False, True),
    (r"\boxed{18} \boxed{}", "18", "18", True, True),
    (r"\boxed{18 or 19}", "18", "18 or 19", False, False),
    (r"\boxed{18!}", "18", "18!", False, False),
    (r"\boxed{\text{eighteen}}", "18", r"\text{eighteen}", False, False),
    (r"\boxed{9007199254740993}", "9007199254740992", "9007199254740993", False, False),
    (r"\boxed{0.333333333333333333}", "1/3", "0.333333333333333333", False, False),
    (r"\boxed{Paris}", "Paris", "Paris", True, True),
    (r"\boxed{\text{paris.}}", "Paris", r"\text{paris.}", False, True),
    (r"\boxed{London}", "Paris", "London", False, False),
    (r"\boxed{5}", "five", "5", False, False),
    ("18", "18", None, False, False),
    ("#### 18", "18", None, False, False),
    (r"\boxed{18", "18", None, False, False),
    (r"\boxed{}", "", None, True, False),
    ("", "", None, False, False),
]


# One answer a line, by kind: {"kind", "graders", "completion", "ground_truth", "reward"}.
ROWS = [json.loads(line) for line in Path(__file__).with_name("cases.jsonl").read_text(encoding="utf-8").splitlines()]
KINDS = {kind: list(rows) for kind, rows in groupby(ROWS, key=lambda row: row["kind"])}


@pytest.mark.parametrize("kind", KINDS)
def test_cases(kind: str) -> None:
    wrong = []
    for row in KINDS[kind]:
        for name in row["graders"]:
            (reward,) = resolve_reward(name)(["?"], [row["completion"]], ground_truth=[row["ground_truth"]])
            if reward != row["reward"]:
                wrong.append((name, row["completion"], row["ground_truth"], reward))
    assert wrong == []


@pytest.mark.parametrize(("completion", "truth", "extracted", "exact", "numeric"), CASES)
def test_grades(completion: str, truth: str, extracted: str | None, exact: bool, numeric: bool) -> None:
    assert boxed_exact.grade(completion, truth).correct is exact
    for function in (boxed_numeric, math_equivalent):
        grade = function.grade(completion, truth)
        assert grade.extracted == extracted
        assert grade.correct is numeric
        assert grade.status == ("no_answer" if extracted is None else "correct" if numeric else "wrong")


def test_only_the_strict_grader_takes_the_first_box() -> None:
    text = r"\boxed{1} \boxed{2}"
    assert boxed_exact.grade(text, "1").extracted == "1"
    assert boxed_numeric.grade(text, "1").extracted == "2"


@pytest.mark.parametrize(
    ("completion", "expected"),
    [(r"\boxed{7}", 1.0), (r"\boxed{x} \boxed{y}", 1.0), ("7", 0.0), (r"\boxed{ }", 0.0), (r"\boxed{7", 0.0)],
)
def test_format_reward(completion: str, expected: float) -> None:
    assert format_boxed(prompts=["?"], completions=[completion]) == [expected]
    assert not hasattr(format_boxed, "grade")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Paris", r"\text{ paris }", True),
        ("the  Eiffel\ntower", "The Eiffel Tower.", True),
        (r"\dfrac{a}{b}", r"\frac{a}{b}", True),
        (r"\left(1, 2\right)", "(1, 2)", True),
        ("$x$", "x", True),
        (r"\frac{1}{23}", r"\frac{12}{3}", False),
        ("a b", "ab", False),
        (r"\leftarrow", "arrow", False),
    ],
)
def test_normalized_text(one: str, other: str, same: bool) -> None:
    assert (normalize(one) == normalize(other)) is same


@settings(deadline=None)
@given(st.integers(-(10**30), 10**30), st.text(alphabet="abc .$", max_size=30))
def test_every_grader_accepts_the_ground_truth(value: int, words: str) -> None:
    for function in (boxed_exact, boxed_numeric, math_equivalent):
        assert function.grade(f"{words}\\boxed{{{value}}}{words}", str(value)).correct is True


@settings(deadline=None)
@given(st.integers(-(10**30), 10**30), st.integers(-(10**30), 10**30))
def test_numbers_are_the_same_only_if_equal(answer: int, truth: int) -> None:
    for function in (boxed_exact, boxed_numeric, math_equivalent):
        assert function.grade(f"\\boxed{{{answer}}}", str(truth)).correct is (answer == truth)


@settings(deadline=None)
@given(st.text(max_size=100), st.text(max_size=20))
def test_no_text_makes_a_grader_raise(completion: str, truth: str) -> None:
    for function in (boxed_exact, boxed_numeric):
        assert function.grade(f"\\boxed{{{completion}}}", truth).correct in (True, False)
