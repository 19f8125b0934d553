"""Finding boxes: a table, the properties of balance, and inputs made to be slow."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.rewards import first_boxed, last_boxed
from harness.tasks.boxes import closing_boxes

CASES = [
    # text, first box, last box
    ("", None, None),
    ("no box: 18", None, None),
    (r"\boxed{18}", "18", "18"),
    (r"so \boxed{ 18 }.", " 18 ", " 18 "),
    (r"\boxed {18}", "18", "18"),
    ("\\boxed\n{18}", "18", "18"),
    (r"\boxed{1} then \boxed{2}", "1", "2"),
    (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}", r"\frac{1}{2}"),
    (r"\boxed{\boxed{5}}", r"\boxed{5}", "5"),
    (r"\boxed{\{1, 2\}}", r"\{1, 2\}", r"\{1, 2\}"),
    (r"\boxed{5 \} 6}", r"5 \} 6", r"5 \} 6"),
    (r"\boxed{a \\}", r"a \\", r"a \\"),
    (r"\\boxed{18}", "18", "18"),
    (r"\boxed{}", None, None),
    (r"\boxed{ }", None, None),
    (r"\boxed{} and \boxed{5} and \boxed{}", "5", "5"),
    (r"\boxed{5", None, None),
    (r"\boxed{3} then \boxed{5", "3", "3"),
    (r"\boxed{ \boxed{5}", "5", "5"),
    (r"\boxed{\frac{1}{2}", None, None),
    (r"} \boxed{5} {", "5", "5"),
    (r"\boxed 5", None, None),
    (r"\boxedword{5}", None, None),
    (r"\fbox{5}", None, None),
    (r"boxed{5}", None, None),
    (r"\{\boxed{5}\}", "5", "5"),
]


@pytest.mark.parametrize(("text", "first", "last"), CASES)
def test_boxes(text: str, first: str | None, last: str | None) -> None:
    assert first_boxed(text) == first
    assert last_boxed(text) == last


HOSTILE = {
    "nested braces": r"\boxed{" + "{" * 10_000 + "7" + "}" * 10_000 + "}",
    "unclosed nested braces": r"\boxed{" + "{" * 10_000,
    "nested boxes": r"\boxed{" * 100_000 + "7" + "}" * 100_000,
    "openings only": r"\boxed{" * 100_000,
    "empty boxes": r"\boxed{ }" * 100_000,
    "megabyte inside": r"\boxed{" + "7" * 1_000_000 + "}",
    "megabyte of backslashes": "\\" * 1_000_000,
    "blanks after each box": (r"\boxed" + " " * 1_000) * 1_000,
    "one long blank": r"\boxed" + " " * 1_000_000,
    "closing braces": "}" * 1_000_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_input_takes_linear_time(name: str) -> None:
    start = time.process_time()
    first_boxed(HOSTILE[name])
    last_boxed(HOSTILE[name])
    assert time.process_time() - start < 2.0


def test_nested_boxes_end_in_the_innermost() -> None:
    assert last_boxed(HOSTILE["nested boxes"]) == "7"


PLAIN = st.text(st.characters(exclude_characters="\\{}"), max_size=40)
# Text with balanced braces: concatenations of plain text and {balanced}.
BALANCED = st.recursive(PLAIN, lambda inner: st.tuples(PLAIN, inner, PLAIN).map(lambda t: f"{t[0]}{{{t[1]}}}{t[2]}"))


@settings(deadline=None)
@given(before=PLAIN, content=BALANCED, after=PLAIN)
def test_what_is_boxed_comes_back(before: str, content: str, after: str) -> None:
    expected = content if content.strip() else None
    text = f"{before}\\boxed{{{content}}}{after}"
    assert first_boxed(text) == last_boxed(text) == expected


@settings(deadline=None)
@given(st.text(alphabet="\\boxed{} 1", max_size=200))
def test_any_text_is_read_without_error(text: str) -> None:
    assert (first_boxed(text) is None) == (last_boxed(text) is None)


@settings(deadline=None)
@given(st.text(max_size=100))
def test_a_cut_off_box_is_no_answer(text: str) -> None:
    assert last_boxed("\\boxed{" + text.replace("}", "").replace("boxed", "")) is None


@pytest.mark.parametrize(
    ("text", "boxes"),
    [
        ("", []),
        (r"\boxed{1}", ["1"]),
        (r"\boxed{1} and \boxed{2}, \boxed{3}.", ["1", "2", "3"]),
        (r"\boxed{0}. So $x = \boxed{1}$ or $x_2=\boxed{2}$", ["1", "2"]),
        (r"\(\boxed{1}\) \text{ and } \(\boxed{2}\)", ["1", "2"]),
        (r"\boxed{1} no \boxed{2}", ["2"]),
        (r"\boxed{1}-\boxed{2}", ["2"]),
        (r"\boxed{\boxed{5}}", ["5"]),
        (r"\boxed{1}, \boxed{2} \boxed{}", ["1", "2"]),
    ],
)
def test_boxes_that_follow_one_another(text: str, boxes: list[str]) -> None:
    assert closing_boxes(text) == boxes
