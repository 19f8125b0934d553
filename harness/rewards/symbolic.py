r"""Whether two answers are mathematically equal, for ``math_equivalent``.

An answer is what all of it says; what cannot be read is never passed over. In this order:

1. Two numbers are compared as ``boxed_numeric`` compares them: exactly, with their units, and without any process.
2. Words, and letters in a row, are compared as text: ``no`` is not ``on``.
3. Where both texts are read whole as formulas (:mod:`harness.rewards.formula`), SymPy compares them, exactly
   (:mod:`harness.rewards.equality`). It does so in a process with a time limit (:mod:`harness.rewards.math_process`);
   what is not decided in time is wrong where the truth is a number, and else undecided: neither right nor wrong.
4. All else is compared as text.
"""

from __future__ import annotations

import atexit
import json
import os
import re
from functools import lru_cache

from harness.rewards.formula import Tree, is_words, read
from harness.rewards.math_process import BEYOND, MathProcess, Verdict
from harness.rewards.parse import normalize, parse_quantity, same_quantity, unwrap
from harness.rewards.units import DEGREE, Unit, currency, is_measure, joined, read_unit, same_unit

# Where the unit behind a formula may start: an upright group, a sign, or a word.
_UNIT_START = re.compile(r"(?:\s|~|\\[,;: ])*(\\(?:text|textrm|mathrm|mbox)\s*\{|\\?%|(?<![A-Za-z\\])[A-Za-z]{2,})")
_UNIT_CHARACTERS = 100
# Longer than any answer: it is no formula, whatever it says.
_MAX_CHARACTERS = 2_000
_CURRENCY = re.compile(r"\\?(US\$|[$€£¥₹])\s*(?=[^\s$])")
_UPRIGHT = re.compile(r"\\(?:text|textrm|mathrm|mbox) ?\{([^{}]*)\}")
# What an equation may name: \text{Total cost}, \angle ABC, \overline{AB}.
_LABEL = re.compile(
    r"(?:\\(?:text|mathrm)\s*\{(?![^{}]*\b(?i:not|if|than|least|most|about|nearly)\b)"
    r"\s*([A-Za-z][A-Za-z ]*)\}|m?\s*\\angle\s*\{?([A-Z]{1,3})\}?"
    r"|\\overline\s*\{([A-Z]{2})\})\s*=(?!.*=)"
)
_ALL_REALS = frozenset({"all real numbers", "all reals", "all real values", "the set of all real numbers"})
_ONE_SPELLING = (
    (re.compile(r" ?: ?"), ":"),
    (re.compile(r" ?, ?"), ", "),
    (re.compile(r"(\\[a-z]+) (?![a-z])"), r"\1"),
    (re.compile(r" (?=\\)"), ""),
    (re.compile(r"_\{(\w+)\}"), r"_\1"),
    (re.compile(r"^\(?(\w)\)$"), r"\1"),
    (re.compile(r"(?<=[0-9]) ?([ap])\.? ?m\.?$"), r" \1m"),
)

_process = MathProcess()
atexit.register(_process.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process.forget)


def equivalent(answer: str, ground_truth: str) -> bool | None:
    """Whether two texts are equal as numbers, formulas or text; ``None`` where that was not decided, or the ground
    truth has no value."""
    same = same_quantity(answer, ground_truth)
    if same is not None:
        return same
    given, truth = _formula(answer), _formula(ground_truth)
    if given is None or truth is None or (is_words(answer) and is_words(ground_truth)):
        return _text(answer) == _text(ground_truth)
    if not same_unit(given[1], truth[1]):
        return False
    if given[0] == truth[0]:
        return True
    verdict = _compared(json.dumps(given[0]), json.dumps(truth[0]))
    if verdict == BEYOND:
        return False if truth[0][0] == "num" else None  # what is computed so long is no number of ordinary size
    return verdict


def _text(text: str) -> str:
    """For a comparison of words, choices, lists of them, times of day: ``(B)`` is ``B``, and ``1:25 p.m.`` 1:25 pm."""
    text = " ".join(_UPRIGHT.sub(r" \1", normalize(text)).split())
    for pattern, replacement in _ONE_SPELLING:
        text = pattern.sub(replacement, text)
    return text


# A group of completions often has the same answer many times, and evaluation asks for reward and grade.
@lru_cache(maxsize=4096)
def _formula(text: str) -> tuple[Tree, Unit] | None:
    """The formula that a text is, and its unit: of a number any that :mod:`harness.rewards.units` takes for one, of
    other formulas a measure."""
    if quantity := parse_quantity(text):
        value: Tree = ["num", str(quantity[0])]
        return (["deg", value], ()) if quantity[1] == DEGREE else (value, quantity[1])
    text = unwrap(text)
    if len(text) > _MAX_CHARACTERS:
        return None
    if normalize(text) in _ALL_REALS:
        return ["sym", "mathbb-R"], ()
    if label := _LABEL.match(text):
        found = _formula(text[label.end() :])
        name = (label[1] or label[2] or label[3]).strip()
        return found and (["rel", ["="], [["sym", name], found[0]]], found[1])
    sign = _CURRENCY.match(text)
    before = currency(sign[1]) if sign else ()
    text = text[sign.end() :] if sign else text
    for start in _UNIT_START.finditer(text, max(0, len(text) - _UNIT_CHARACTERS)):
        blank = " " if start.start(1) > start.start() else ""
        unit = read_unit(blank + text[start.start(1) :])
        if unit and (tree := read(text[: start.start()])) and (_last(tree)[0] == "num" or is_measure(unit)):
            return tree, joined(before, unit)
    tree = read(text)
    return None if tree is None else (tree, before)


def _last(tree: Tree) -> Tree:
    """What stands before a unit that follows ``x = 5``."""
    last: Tree = tree[2][-1] if tree[0] == "rel" and {*tree[1]} == {"="} else tree
    return last


@lru_cache(maxsize=4096)
def _compared(answer: str, ground_truth: str) -> Verdict:
    return _process.equivalent(json.loads(answer), json.loads(ground_truth))
