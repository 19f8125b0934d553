r"""Two ways of reading an answer that many scripts use, held against the same cases as ours.

- ``first box``: the first match of ``\\boxed{(.*?)}``, compared as a number after commas and dollar signs are taken
  off, or else as text.
- ``last number``: the last match of EleutherAI's lm-evaluation-harness for GSM8K, ``flexible-extract``
  (``(-?[$0-9.,]{2,})|(-?[0-9]+)``, ``group_select: -1``), compared in the same way, with a full stop at the end off.

Completions of more than 50,000 characters are left out: on a hundred thousand opened boxes the first pattern takes
time that grows with their square.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from harness.rewards import boxed_numeric
from harness.rewards.audit.case import CASES, Case, Expected

_MOST_CHARACTERS = 50_000
_FIRST_BOX = re.compile(r"\\boxed\{(.*?)\}")
_LAST_NUMBER = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")


def first_box(completion: str, ground_truth: str) -> bool:
    """Whether the first regular-expression box is the ground truth."""
    match = _FIRST_BOX.search(completion)
    return match is not None and _same(match[1], ground_truth)


def last_number(completion: str, ground_truth: str) -> bool:
    """Whether the last run of digits in the text is the ground truth."""
    found = ["".join(groups) for groups in _LAST_NUMBER.findall(completion)]
    return bool(found) and _same(found[-1], ground_truth)


def ours(completion: str, ground_truth: str) -> bool:
    """``boxed_numeric``."""
    return boxed_numeric.grade(completion, ground_truth).correct is True


READERS: Mapping[str, Callable[[str, str], bool]] = MappingProxyType(
    {"boxed_numeric": ours, "first box": first_box, "last number": last_number}
)


@dataclass(frozen=True, slots=True)
class Reading:
    """One case and who judges it right. ``expected`` is what a numeric grader promises; never ``"any"``."""

    case: Case
    expected: Expected
    right: Mapping[str, bool]


def readings() -> Iterator[Reading]:
    """Every case that a numeric grader is held to, read by each of :data:`READERS`."""
    for case in CASES:
        expected = case.expected["numeric"]
        text, paid = case.completion("box"), expected == "paid"
        if expected != "any" and len(text) <= _MOST_CHARACTERS:
            right = {name: reader(text, case.truth) == paid for name, reader in READERS.items()}
            yield Reading(case, expected, right)


def _same(answer: str, ground_truth: str) -> bool:
    answer, ground_truth = _stripped(answer), _stripped(ground_truth)
    try:
        return float(answer) == float(ground_truth)
    except ValueError:
        return answer == ground_truth


def _stripped(text: str) -> str:
    return text.replace(",", "").replace("$", "").strip().removesuffix(".")
