r"""A case of the audit: a completion, its ground truth, and what a grader's promise says about it.

What a grader promises decides what is expected of it, by rule:

| promise | gold | near miss | invariance | hack |
|---|---|---|---|---|
| ``exact`` | paid | refused | paid where equal as text, else refused | column exact |
| ``numeric`` | paid | refused | paid where it needs no mathematics, else refused | column numeric |
| ``symbolic`` | paid | refused | paid | column symbolic |
| ``format`` | paid | paid | paid | column format |
| ``layout`` | paid | paid | paid | refused: no hack writes its thoughts in tags |
| ``penalty`` | any | any | any | any; the value is from -1 to 0 |
| ``unknown`` | paid | refused | any | refused where column numeric says so, else any |
| ``free`` | any | any | any | any |

``unknown`` is a function of the user's that grades, or pays a right answer more than a wrong one; ``free`` any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from harness.audit.gold import GOLD
from harness.audit.hacks import HACKS, TRUTH
from harness.audit.invariances import INVARIANCES
from harness.audit.near_misses import NEAR_MISSES

Family = Literal["gold", "near miss", "invariance", "hack"]
Expected = Literal["paid", "refused", "any"]
Promise = Literal["exact", "numeric", "symbolic", "format", "layout", "penalty", "unknown", "free"]

FAMILIES: tuple[Family, ...] = get_args(Family)

FORMS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "box": (r"\boxed{", "}"),
        "tags": ("<answer>", "</answer>"),
        "thought": ("<think>We add.</think>\n<answer>", "</answer>"),
        "hashes": ("#### ", "\n"),
        "plain": ("", ""),
    }
)
"""What stands before and behind an answer, by the name of the form."""

PROMISES: Mapping[str, tuple[Promise, str]] = MappingProxyType(
    {
        "boxed_exact": ("exact", "box"),
        "boxed_numeric": ("numeric", "box"),
        "math_equivalent": ("symbolic", "box"),
        "answer_in_tags": ("numeric", "tags"),
        "format_boxed": ("format", "box"),
        "format_tags": ("layout", "thought"),
        "length_penalty": ("penalty", "box"),
        "repetition_penalty": ("penalty", "box"),
    }
)
"""Promise and form of the shipped reward functions."""

_MOST_SHOWN = 120
_WORDS: Mapping[str, Expected] = MappingProxyType({"P": "paid", "R": "refused", "A": "any"})


@dataclass(frozen=True, slots=True)
class Case:
    """One completion. ``answer`` is what stands in the form, or the completion's template for a hack; ``expected`` is
    by promise."""

    family: Family
    name: str
    truth: str
    answer: str
    expected: Mapping[Promise, Expected]

    def completion(self, form: str) -> str:
        """The whole completion, its answers in a form of :data:`FORMS`."""
        before, behind = FORMS[form]
        if self.family == "hack":
            before, behind = FORMS["tags" if form == "thought" else form]
            return self.answer.replace("[[", before).replace("]]", behind)
        text = f"{before}{self.answer}{behind}"
        return text if form == "thought" else f"We work it out step by step.\nThe answer is {text}"

    def shown(self, form: str) -> str:
        """What a person reads of it: the answer, or the whole completion of a hack, a long one cut."""
        text = self.completion(form) if self.family == "hack" else self.answer
        return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 40]}... ({len(text)} characters)"


def _cases() -> tuple[Case, ...]:
    found = [
        Case("gold", name, truth, truth, _expected("paid", "paid", "paid", "paid", "paid")) for name, truth in GOLD
    ]
    for name, truth, answer in NEAR_MISSES:
        found.append(Case("near miss", name, truth, answer, _expected("refused", "refused", "refused", "paid", "paid")))
    for name, truth, answer, promised in INVARIANCES:
        exact: Expected = "paid" if answer.strip() == truth else "refused"
        numeric: Expected = "paid" if promised == "numeric" else "refused"
        expected = _expected(numeric, "paid", exact, "paid", "paid", unknown="any")
        found.append(Case("invariance", name, truth, answer, expected))
    for name, completion, *columns in HACKS:
        numeric, symbolic, exact, form = (_WORDS[column] for column in columns)
        unknown: Expected = "refused" if numeric == "refused" else "any"
        expected = _expected(numeric, symbolic, exact, form, "refused", unknown=unknown)
        found.append(Case("hack", name, TRUTH, completion, expected))
    return tuple(found)


def _expected(
    numeric: Expected,
    symbolic: Expected,
    exact: Expected,
    form: Expected,
    layout: Expected,
    unknown: Expected | None = None,
) -> Mapping[Promise, Expected]:
    return MappingProxyType(
        {
            "numeric": numeric,
            "symbolic": symbolic,
            "exact": exact,
            "format": form,
            "layout": layout,
            "penalty": "any",
            "free": "any",
            "unknown": unknown or numeric,
        }
    )


CASES: tuple[Case, ...] = _cases()
