"""An extracted answer is found where its grader read it, also where the same words stand more than once."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.spot import ends, spots
from harness.report.text import folded
from harness.store.records import Grade, Record
from tests.run_files import record


@pytest.mark.parametrize(
    ("completion", "extracted", "last", "first"),
    [
        (r"so [\boxed{7}]", "7", 11, 11),
        (r"\boxed{7} and 7 and \boxed{7} or 7", "7", 27, 7),
        (r"\boxed{ 7 } then \boxed {7}", "7", 25, 8),
        (r"\boxed{7} cut \boxed{7", "7", 7, 7),
        (r"\boxed{17} but 7", "7", 15, 15),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}", 7, 7),
        (r"\boxed{a}{a}", "a", 7, 7),
        ("17, 7.5, 1,700, 0.7 and 70", "7", None, None),
        ("a 7, b 7.", "7", 7, 7),
        ("the answer is -7", "-7", 14, 14),
        ("nothing here", "7", None, None),
        ("blank", "  ", None, None),
    ],
)
def test_where_an_answer_stands(completion: str, extracted: str, last: int | None, first: int | None) -> None:
    expected = [None if at is None else (at, at + len(extracted)) for at in (first, last)]
    assert list(ends(completion, extracted) or (None, None)) == expected


def answer(completion: str, extracted: str | None, **grades: str | None) -> Record:
    told = {grader: Grade(said, correct=True) for grader, said in grades.items()}
    return record(completion=completion, extracted=extracted, grades=told)


@pytest.mark.parametrize(
    ("given_answer", "expected"),
    [
        (answer(r"\boxed{7}", "7", boxed_exact="7", boxed_numeric="7"), [(7, 8, "")]),
        (
            answer(r"\boxed{7} \boxed{8}", "8", boxed_exact="7", boxed_numeric="8"),
            [(7, 8, "boxed_exact"), (17, 18, "")],
        ),
        (
            answer(r"\boxed{7} \boxed{8}", "7", boxed_exact="7", boxed_numeric="8"),
            [(7, 8, ""), (17, 18, "boxed_numeric")],
        ),
        (
            answer(r"\boxed{7} \boxed{7}", "7", boxed_exact="7", boxed_numeric="7"),
            [(7, 8, "boxed_exact"), (17, 18, "")],
        ),
        (answer("none", None, boxed_exact=None), []),
    ],
)
def test_each_grader_has_its_place(given_answer: Record, expected: list[tuple[int, int, str]]) -> None:
    assert spots(given_answer) == expected


@given(st.text(alphabet="7 ,.\\boxed{}a", max_size=60), st.text(alphabet="7a{}", min_size=1, max_size=3))
def test_what_is_marked_is_what_was_extracted(completion: str, extracted: str) -> None:
    for start, end in ends(completion, extracted) or ():
        assert completion[start:end] == extracted


@pytest.mark.parametrize("unit", ["7", "x7", r"\boxed{", r"\boxed{7", " ", "{ "])
def test_looking_takes_no_longer_than_reading(unit: str) -> None:
    started = time.process_time()
    ends(unit * (1_000_000 // len(unit)), "7")
    assert time.process_time() - started < 5


def test_a_mark_that_the_fold_cuts_is_left() -> None:
    text = "a" * 30_000
    assert folded(text, spots=[(0, 1, "x"), (15_000, 16_000, "x"), (29_999, 30_000, "x")]).count("<mark") == 2
