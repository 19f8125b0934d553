r"""Where an extracted answer stands in its completion.

The records hold what a grader extracted, not where. Graders of boxes take the content of a ``\boxed{}`` behind the
thought: the strict one of the first, all others of the last. An answer that stands in no box is looked for as a word,
from the end.

    >>> ends(r"Is it \boxed{7}? No: 17, \boxed{7}.", "7")
    ((13, 14), (32, 33))
    >>> ends("7 of 17", "7")
    ((0, 1), (0, 1))
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.store.records import Record

STRICT = "boxed_exact"
"""The grader that reads the first box."""

Span = tuple[int, int]
_BOX = re.compile(r"\\boxed\s*\{\s*")
_CLOSING = re.compile(r"\s*\}")
_TRIES = 1_000
LONGEST = 2_000
"""Characters of an extracted answer beyond which it is not looked for: it is the text."""


def spots(answer: Record) -> list[tuple[int, int, str]]:
    """``(start, end, grader)`` of every place that was extracted, in order, none over another; ``""`` is the answer
    that decided the status. Places of graders that agree are one."""
    if answer.extracted is None:
        return []
    graded = {grader: grade.extracted for grader, grade in answer.grades.items()}
    # Where the box is first and last at once the question does not arise; else the answer is the strict grader's only
    # where no other grader extracted the same.
    strict = graded.get(STRICT) == answer.extracted and answer.extracted not in [
        extracted for grader, extracted in graded.items() if grader != STRICT
    ]
    found: list[tuple[int, int, str]] = []
    met: dict[str, tuple[Span, Span] | None] = {}
    for grader, extracted, first in (
        ("", answer.extracted, strict),
        *((grader, extracted, grader == STRICT) for grader, extracted in graded.items()),
    ):
        if extracted is None:
            continue
        if extracted not in met:
            met[extracted] = ends(answer.completion, extracted)
        if (both := met[extracted]) is not None:
            start, end = both[not first]
            if all(end <= begun or over <= start for begun, over, _ in found):
                found.append((start, end, grader))
    return sorted(found)


def ends(completion: str, extracted: str) -> tuple[Span, Span] | None:
    r"""Start and end of ``extracted`` in the first and in the last ``\boxed{}`` that holds it, else twice those of its
    last mention that is not inside a longer word or number; ``None`` where it is nowhere, such as a grader's own
    wording."""
    wanted = extracted.strip()
    if not wanted or len(wanted) > LONGEST:
        return None
    boxes = [
        (start, start + len(wanted))
        for opening in _BOX.finditer(completion)
        if completion.startswith(wanted, start := opening.end()) and _CLOSING.match(completion, start + len(wanted))
    ]
    if boxes:
        thought = completion.rfind("</think>")  # graders read behind it
        behind = [box for box in boxes if box[0] > thought] or boxes
        return behind[0], behind[-1]
    at = len(completion)
    for _ in range(_TRIES):
        at = completion.rfind(wanted, 0, at + len(wanted) - 1)
        if at < 0:
            break
        if not _within_word(completion, at, at + len(wanted)):
            return (at, at + len(wanted)), (at, at + len(wanted))
    return None


def _within_word(text: str, start: int, end: int) -> bool:
    """Whether more of a word or a number goes on at either end: the 7 of 17, 7.5 or 1,700."""
    left, right = text[max(0, start - 2) : start], text[end : end + 2]
    if re.search(r"\w\Z", left) and text[start].isalnum():
        return True
    if re.match(r"\w", right) and text[end - 1].isalnum():
        return True
    digits = text[start].isdigit() and re.search(r"\d[.,]\Z", left)
    return bool(digits or (text[end - 1].isdigit() and re.match(r"[.,]\d", right)))
