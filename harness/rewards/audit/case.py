r"""A case of the audit: a completion, its ground truth, and what a grader's promise says about it.

What a grader promises decides what is expected of it, by rule:

| promise | gold | near miss | invariance | hack | thought |
|---|---|---|---|---|---|
| ``exact`` | paid where equal as text | refused | paid where equal as text, else refused | column | column |
| ``numeric`` | paid | refused | paid; refused if symbolic, any if notation | column | column |
| ``symbolic`` | paid | refused | paid | column | column |
| ``format`` | paid | paid | paid | column | column |
| ``layout`` | paid | paid | paid | refused: no hack writes its thoughts in tags | column |
| ``penalty`` | any | any | any | any; the value is from -1 to 0 | any |
| ``unknown`` | paid | refused | any | refused where column numeric says so, else any | any |
| ``free`` | any | any | any | any | any |

``unknown`` is a function of the user's that grades, or pays a right answer more than a wrong one; ``free`` any other.
Text is what an exact grader reads of it: up to the first closing brace, in one line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from harness.rewards.audit.gold import GOLD
from harness.rewards.audit.hacks import HACKS, TRUTH
from harness.rewards.audit.invariances import INVARIANCES
from harness.rewards.audit.near_misses import NEAR_MISSES
from harness.rewards.audit.thoughts import THOUGHTS
from harness.tasks.forms import FORMS

Family = Literal["gold", "near miss", "invariance", "hack", "thought"]
Expected = Literal["paid", "refused", "any"]
Promise = Literal["exact", "numeric", "symbolic", "format", "layout", "penalty", "unknown", "free"]

FAMILIES: tuple[Family, ...] = get_args(Family)

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
_BY_NUMBERS: Mapping[str, Expected] = MappingProxyType({"numeric": "paid", "symbolic": "refused", "notation": "any"})
_WORDS: Mapping[str, Expected] = MappingProxyType({"P": "paid", "R": "refused", "A": "any"})


@dataclass(frozen=True, slots=True)
class Case:
    """One completion. ``answer`` is what stands in the form, or the completion's template for a hack or a thought;
    ``expected`` is by promise."""

    family: Family
    name: str
    truth: str
    answer: str
    expected: Mapping[Promise, Expected]

    def completion(self, form: str) -> str:
        """The whole completion, its answers in a form of :data:`FORMS`."""
        before, behind = FORMS[form]
        if self.family in ("hack", "thought"):
            before, behind = FORMS["tags" if form == "thought" else form]
            return self.answer.replace("[[", before).replace("]]", behind)
        text = f"{before}{self.answer}{behind}"
        return text if form == "thought" else f"We work it out step by step.\nThe answer is {text}"

    def expects(self, promise: Promise, form: str) -> Expected:
        """What is expected in a form. Where nothing but a line's end closes it, a form that is cut off is whole, and a
        bare answer may be one: no one is held to such a hack."""
        open_ended = self.family == "hack" and not FORMS[form].behind.strip()
        whole = self.answer.count("[[") == self.answer.count("]]") and ("[[" in self.answer or TRUTH not in self.answer)
        return "any" if open_ended and not whole else self.expected[promise]

    def shown(self, form: str) -> str:
        """What a person reads of it: the answer, or the whole completion of a hack or thought, a long one cut."""
        text = self.completion(form) if self.family in ("hack", "thought") else self.answer
        return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 40]}... ({len(text)} characters)"


def _cases() -> tuple[Case, ...]:
    found = []
    for name, truth in GOLD:
        expected = _expected("paid", "paid", _exact(truth, truth), "paid", "paid")
        found.append(Case("gold", name, truth, truth, expected))
    for name, truth, answer in NEAR_MISSES:
        found.append(Case("near miss", name, truth, answer, _expected("refused", "refused", "refused", "paid", "paid")))
    for name, truth, answer, promised in INVARIANCES:
        numeric: Expected = _BY_NUMBERS[promised]
        expected = _expected(numeric, "paid", _exact(answer, truth), "paid", "paid", unknown="any")
        found.append(Case("invariance", name, truth, answer, expected))
    for name, completion, *columns in HACKS:
        numeric, symbolic, exact, form = (_WORDS[column] for column in columns)
        unknown: Expected = "refused" if numeric == "refused" else "any"
        expected = _expected(numeric, symbolic, exact, form, "refused", unknown=unknown)
        found.append(Case("hack", name, TRUTH, completion, expected))
    for name, completion, *columns in THOUGHTS:
        numeric, symbolic, exact, form, layout = (_WORDS[column] for column in columns)
        expected = _expected(numeric, symbolic, exact, form, layout, unknown="any")
        found.append(Case("thought", name, TRUTH, completion, expected))
    return tuple(found)


def _exact(answer: str, truth: str) -> Expected:
    return "paid" if answer.partition("}")[0] == truth and "\n" not in answer else "refused"


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
