r"""Mathematical equality by Math-Verify: the last ``\boxed{}`` may be any expression equal to the ground truth.

    >>> math_equivalent(prompts=["?"], completions=[r"\boxed{\sqrt{2}/2}"], ground_truth=[r"\frac{1}{\sqrt{2}}"])
    [1.0]

Two numbers are compared as ``boxed_numeric`` compares them: exactly, and without any process. Everything else goes to
a verifier process with a time limit (:mod:`harness.rewards.math_process`); an answer that it cannot decide in time is
undecided, reward ``None``, and neither right nor wrong.
"""

from __future__ import annotations

import atexit
import os
import re
import unicodedata
from functools import lru_cache

from harness.rewards.extract import last_boxed
from harness.rewards.grader import Grade, reward_function
from harness.rewards.math_process import MathProcess
from harness.rewards.numbers import parse_number
from harness.rewards.text import normalize
from harness.rewards.units import has_value_words

# Longer than any answer: it is wrong, and not worth a parser's time.
_MAX_CHARACTERS = 2_000
# Math-Verify reads a word as a product of letters, so that "Spain" would equal "pains".
_WORDS = re.compile(r"[^\W\d_]{3,}(?:[\s'-]+[^\W\d_]+)*")
# Math-Verify reads past these, so that "\\neq 42", "> 42" and "42..." would equal 42.
_CHANGES = re.compile(
    r"\\(?:leq?|lt|geq?|gt|neq?|not|neg|lnot|approx|sim|simeq|cong|equiv|pm|mp|[lc]?dots|prime)(?![A-Za-z])"
    r"|\.\.\.|[<>\u2264\u2265\u2260\u2248\u00b1\u2026\u2032:']|(?<=[0-9)}])_"
)

_process = MathProcess()
atexit.register(_process.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process.forget)


def grade(completion: str, ground_truth: str) -> Grade:
    r"""Last ``\boxed{}``, equal to the ground truth as a number, as text or by Math-Verify; undecided on time-outs."""
    answer = last_boxed(completion)
    if answer is None:
        return Grade(extracted=None, correct=False)
    return Grade(extracted=answer.strip(), correct=_same(answer, ground_truth))


def _same(answer: str, ground_truth: str) -> bool | None:
    given, truth = parse_number(answer), parse_number(ground_truth)
    if given is not None and truth is not None:
        return given == truth
    if normalize(answer) == normalize(ground_truth):
        return True
    if len(answer) > _MAX_CHARACTERS or _WORDS.fullmatch(normalize(ground_truth)):
        return False
    if _changes(answer) - _changes(ground_truth):
        return False
    if truth is not None and has_value_words(answer):  # Math-Verify drops \text: 5\text{ thousand} would be 5
        return False
    return _verify(answer.strip(), ground_truth.strip())


def _changes(text: str) -> set[str]:
    """Relations, negations and marks that make a text say something else than the number or expression in it."""
    return {*_CHANGES.findall(text), *(character for character in text if unicodedata.combining(character))}


# A group of completions often has the same answer many times, and evaluation asks for reward and grade.
@lru_cache(maxsize=4096)
def _verify(answer: str, ground_truth: str) -> bool | None:
    return _process.equivalent(answer, ground_truth)


math_equivalent = reward_function(grade, name="math_equivalent", form="box")
