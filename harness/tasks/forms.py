r"""The form in which answers are written: the one that is rewarded is asked for, shown, taught and tested.

A grading reward function says which one it reads (``.form``); a recipe's is that of the function that decides whether
an answer is correct (:func:`form_of`). Where that is a function of the user's that does not say, nothing is claimed.

    >>> print(in_form("6 * 200 = 1200, so it is \\boxed{1200}.", "1200", "tags"))
    6 * 200 = 1200, so it is <answer>1200</answer>.
    >>> print(in_form("6 * 200 = 1200", "1200", "thought"))
    <think>
    6 * 200 = 1200
    </think>
    <answer>1200</answer>
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, NamedTuple

from harness.store.errors import RewardError
from harness.tasks.boxes import last_box
from harness.tasks.tags import last_tag
from harness.tasks.thought import CLOSING, OPENING


class Form(NamedTuple):
    """What stands before an answer and behind it."""

    before: str
    behind: str


FORMS: Mapping[str, Form] = MappingProxyType(
    {
        "box": Form(r"\boxed{", "}"),
        "tags": Form("<answer>", "</answer>"),
        "thought": Form("<think>We add.</think>\n<answer>", "</answer>"),
        "hashes": Form("#### ", "\n"),
        "plain": Form("", ""),
    }
)
"""The forms by name. ``thought`` is tags behind a thought."""

PROMPTS: Mapping[str, str] = MappingProxyType(
    {
        "box": r"Reason step by step, then put the final answer in \boxed{}.",
        "tags": "Reason step by step, then put the final answer in <answer></answer>.",
        "thought": "Reason step by step in <think></think>, then put the final answer in <answer></answer>.",
        "hashes": "Reason step by step, then write the final answer on a line of its own, behind ####.",
        "plain": "Reason step by step, and end with the final answer.",
    }
)
"""The system prompt that asks for a form, where a recipe has none of its own."""

_HASHES = re.compile(r"^####[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)


def check_form(name: str, form: str) -> None:
    """Raises ``RewardError`` where the reward function called ``name`` says an unknown form."""
    if form not in FORMS:
        close = get_close_matches(str(form), FORMS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"write one of {', '.join(FORMS)}"
        raise RewardError(f"reward function {name}: there is no form {form!r}; {hint}")


def form_of(functions: Mapping[str, Any]) -> str | None:
    """The form that a recipe's reward functions (by name) read, ``None`` where they do not say.

    It is that of the first function that grades, or else of the first that says one. Where one of the others pays for
    a thought before the tags, that belongs to it.
    """
    said = {name: form for name, each in functions.items() if (form := getattr(each, "form", None)) is not None}
    for name, form in said.items():
        check_form(name, form)
    graders = [name for name, each in functions.items() if callable(getattr(each, "grade", None))]
    form = said.get(graders[0]) if graders else next(iter(said.values()), None)
    return "thought" if form == "tags" and "thought" in said.values() else form


def in_form(solution: str, answer: str, form: str) -> str:
    """A worked solution with its final ``answer`` in a form. One that has it stays as it is; else the last answer that
    it marks in another form is written anew, and where it marks none, a sentence says the answer."""
    marked = _marked(solution)
    if form in marked:
        return solution
    start, end, content = max(marked.values(), default=(len(solution), len(solution), ""))
    before, behind = solution[:start], solution[end:]
    if form == "thought":
        steps = f"{before}{content}{behind}".replace(OPENING, "").replace(CLOSING, "").strip()
        return f"{OPENING}\n{steps}\n{CLOSING}\n<answer>{content or answer}</answer>"
    if form == "hashes":
        steps = f"{before}{content}{behind}".rstrip()
        return f"{steps}\n#### {content or answer}" if steps else f"#### {answer}"
    written = f"{FORMS[form].before}{content or answer}{FORMS[form].behind}"
    if content and not _HASHES.match(solution, start):
        return f"{before}{written}{behind}"
    sentence = f"The answer is {written}" + ("." if form != "plain" else "")
    steps = before.rstrip()
    return f"{steps}\n{sentence}" if steps else sentence


def _marked(solution: str) -> dict[str, tuple[int, int, str]]:
    """Start, end and content of the last answer that a solution marks behind its thought, by form."""
    found = {}
    thought, _, said = solution.rpartition(CLOSING)
    offset = len(solution) - len(said)
    if (box := last_box(said)) is not None:
        found["box"] = box
    if (tag := last_tag(said, "answer")) is not None:
        found["tags"] = (*tag[:2], tag[2].strip())
        if thought.lstrip().startswith(OPENING) and not f"{said[: tag[0]]}{said[tag[1] :]}".strip():
            found["thought"] = found["tags"]
    for line in _HASHES.finditer(said):
        found["hashes"] = (line.start(), line.end(), line[1])
    return {form: (start + offset, end + offset, content) for form, (start, end, content) in found.items()}
