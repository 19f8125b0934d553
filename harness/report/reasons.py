r"""Why an answer has nothing to grade, and what each grader accepts.

>>> form_of(["format_boxed", "boxed_numeric"]).why("so the answer is 9")
'no \\boxed{} in the text, so nothing to grade'
>>> form_of(["somebody.own"]).why("so the answer is 9")
'nothing that the grader could take for an answer'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Form(NamedTuple):
    """The form in which a grader looks for an answer: what begins it, and a sentence for a text that has no such
    beginning (``absent``) and for one that has it and still holds no answer (``empty``)."""

    token: str
    absent: str
    empty: str

    def why(self, completion: str) -> str:
        """Why nothing was extracted from a completion."""
        thought, _, said = completion.rpartition("</think>")
        if "<think>" in said and self.token not in (said := said.partition("<think>")[0]):
            return "the thought is not finished, so there is no answer behind it to grade"
        if thought and self.token in thought and self.token not in said:
            return "what it says in its thought is no answer, and behind it there is none to grade"
        return self.empty if self.token in said else self.absent


_BOX = Form(
    "\\boxed",
    "no \\boxed{} in the text, so nothing to grade",
    "no closed \\boxed{} with something in it, so nothing to grade",
)
_TAGS = Form(
    "<answer>",
    "no <answer> in the text, so nothing to grade",
    "no closed <answer> with something in it, so nothing to grade",
)
_OTHER = Form("", "", "nothing that the grader could take for an answer")
_FORMS: Mapping[str, Form] = {
    "boxed_exact": _BOX,
    "boxed_numeric": _BOX,
    "math_equivalent": _BOX,
    "answer_in_tags": _TAGS,
}

RULES: Mapping[str, str] = {
    "boxed_exact": "the strict grader reads the first \\boxed{} and wants the ground truth character for character",
    "boxed_numeric": "the flexible grader reads the last \\boxed{} and compares numbers, so 18.0 is 18",
    "tags_exact": "the strict grader reads the last <answer> and wants the ground truth character for character",
    "math_equivalent": "math_equivalent reads the last \\boxed{} and takes any expression of equal value",
    "answer_in_tags": "the flexible grader reads the last <answer> and compares numbers, so 18.0 is 18",
}
"""What a grader accepts, in one line."""


def form_of(functions: Iterable[str]) -> Form:
    """The form that the first grader among a recipe's reward functions looks for."""
    return next((_FORMS[function] for function in functions if function in _FORMS), _OTHER)


def rules_of(graders: Iterable[str]) -> str:
    """The rules of the graders that are known, as one sentence; ``""`` where none is."""
    told = "; ".join(RULES[grader] for grader in dict.fromkeys(graders) if grader in RULES)
    return f"{told[:1].upper()}{told[1:]}." if told else ""
