r"""The forms in which answers are written and found: boxes, tags, thoughts.

The form that is rewarded is asked for, shown, taught and tested. A grading reward function says which one it reads
(``.form``); a recipe's is that of the function that decides whether an answer is correct
(:func:`harness.rewards.grader.form_of`). Where that is a function of the user's that does not say, nothing is claimed.

    >>> last_boxed(r"First \boxed{3}, no: \boxed{\frac{1}{2}}. So \boxed{4")
    '\\frac{1}{2}'
    >>> last_tagged("<answer>3</answer> no: <answer>4</answer> <answer>5", "answer")
    '4'
    >>> behind_thought(r"<think>\boxed{41}? No.</think> \boxed{42}"), behind_thought(r"<think>Is it \boxed{42}? Wait")
    (' \\boxed{42}', '')
    >>> print(in_form("6 * 200 = 1200, so it is \\boxed{1200}.", "1200", "tags"))
    6 * 200 = 1200, so it is <answer>1200</answer>.

What is not closed (the completion was cut off inside it), or holds only white space, is no answer. Everything is found
in one linear scan.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

OPENING, CLOSING = "<think>", "</think>"

Found = tuple[int, int, str]
"""Start and end of a whole form in a text, and its content as written."""

# In the order in which they are tried: the opening of a box (TeX allows blanks in it); an escaped brace, or an escaped
# backslash that is not the first half of a doubled \\boxed (as JSON-minded models write it); a plain brace.
_MARK = re.compile(r"\\boxed\s*\{|\\[{}]|\\\\(?!boxed)|[{}]")

# What may stand between two boxes that are one answer, and the opening of the second.
_BETWEEN = re.compile(
    r"(?:[\s$,;&]|\\[()\[\],; ]|\\q?quad|\\text\s*\{\s*(?:and|or)\s*\}|\b(?:and|or)\b|\b[A-Za-z](?:_\{?\w\}?)?\s*=)*"
    r"\\+boxed\s*\{"
)
_HASHES = re.compile(r"^####[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)
_LINE = re.compile(r"^Answer:[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)


def last_boxed(text: str) -> str | None:
    r"""Content of the last closed, non-empty ``\boxed{...}`` as written, or ``None``; of nested boxes the inner."""
    found = last_box(text)
    return None if found is None else found[2]


def last_box(text: str) -> Found | None:
    r"""The last closed, non-empty ``\boxed{...}``."""
    for start, end in sorted(_boxes(text), reverse=True):
        if text[start:end].strip():
            return text.rindex(r"\boxed", 0, start), end + 1, text[start:end]
    return None


def closing_boxes(text: str) -> list[str]:
    r"""Contents of the boxes that follow one another up to the last, with no more between them than "and" or a comma.

    >>> closing_boxes(r"\boxed{1}. So $x = \boxed{2}$ and $\boxed{3}$.")
    ['2', '3']
    """
    found: list[tuple[int, int]] = []
    for start, end in sorted(_boxes(text), reverse=True):
        if found and not _BETWEEN.fullmatch(text, end + 1, found[-1][0]):
            break
        if text[start:end].strip():
            found.append((start, end))
    return [text[start:end] for start, end in reversed(found)]


def _boxes(text: str) -> list[tuple[int, int]]:
    """(start, end) of the content of every closed box. Spans, not strings: nested contents would add up to n²."""
    closed: list[tuple[int, int]] = []
    open_braces: list[int | None] = []  # where a box's content starts, or None for any other brace
    for mark in _MARK.finditer(text):
        token = mark.group()
        if token == "{":
            open_braces.append(None)
        elif token == "}":
            start = open_braces.pop() if open_braces else None
            if start is not None:
                closed.append((start, mark.start()))
        elif token.startswith(r"\boxed"):
            open_braces.append(mark.end())
    return closed


def last_tagged(text: str, tag: str) -> str | None:
    """Content of the last closed, non-empty ``<tag>...</tag>`` as written, or ``None``; of nested tags the inner."""
    found = last_tag(text, tag)
    return None if found is None else found[2]


def last_tag(text: str, tag: str) -> Found | None:
    """The last closed, non-empty ``<tag>...</tag>``, lower case and without attributes, as prompts ask for it."""
    return next((each for each in reversed(list(_tagged(text, tag))) if each[2].strip()), None)


def _tagged(text: str, tag: str) -> Iterator[Found]:
    """Every closed ``<tag>...</tag>``; of nested tags the inner."""
    opened = None
    for mark in re.finditer(rf"<(/?){re.escape(tag)}>", text):
        if not mark[1]:
            opened = mark
        elif opened is not None:
            yield opened.start(), mark.end(), text[opened.end() : mark.start()]
            opened = None


# "Answer: B", "**Final answer:** B", "the answer is B", "the correct option is (B)"; what is said ends with the line.
_STATED = re.compile(
    r"\b(?:answer|(?:correct|right|best)[ *_]+(?:option|choice|letter|one))(?:[ ]+(?:choice|option|letter))?[*_]*[ \t]*"
    r"(?:(?:is|would be|must be|should be)\b[*_]*[ \t]*:?|[:\uff1a=])[*_]*\s*(\S.*)",
    re.IGNORECASE,
)


def stated_answers(text: str) -> list[Found]:
    """All that a text marks as its answer, in any form or in words: start and end of what is said, and that.

    >>> [said for _, _, said in stated_answers("The answer is 4? No.\\nAnswer: \\\\boxed{5}")]
    ['4? No.', '\\\\boxed{5}', '5']
    """
    boxes = sorted(_boxes(text))
    inside = [start for start, _ in boxes[1:]] + [len(text)]  # of nested boxes the inner
    found = [(*box, text[slice(*box)]) for box, following in zip(boxes, inside, strict=False) if following >= box[1]]
    found += [(start + len("<answer>"), end - len("</answer>"), said) for start, end, said in _tagged(text, "answer")]
    found += [(*mark.span(1), mark[1]) for line in (_HASHES, _STATED) for mark in line.finditer(text)]
    return sorted(each for each in found if each[2].strip())


def behind_thought(completion: str) -> str:
    """What a completion says after its last thought, without a thought that is begun there and not finished: what
    every grader reads. Where a chat template opens the thought in the prompt, the harness puts that (:func:`opened_by`)
    back before the completion where completions are made, so that it is always the whole turn."""
    return completion.rpartition(CLOSING)[2].partition(OPENING)[0]


def opened_by(prompt: str) -> str:
    r"""The ``<think>`` in which a rendered prompt ends, with the blanks behind it; ``""`` where it ends otherwise.

    >>> opened_by("<|assistant|><think>\n"), opened_by("<|assistant|><think>\n\n</think>\n\n")
    ('<think>\n', '')
    """
    end = prompt.rstrip()
    return prompt[len(end) - len(OPENING) :] if end.endswith(OPENING) else ""


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
        "line": Form("Answer: ", "\n"),
        "letter": Form("Answer: ", "\n"),
        "json": Form("```json\n", "\n```"),
    }
)
"""The forms by name. ``thought`` is tags behind a thought, ``letter`` a line with the letter of an option,
``json`` a fenced block."""

PROMPTS: Mapping[str, str] = MappingProxyType(
    {
        "box": r"Reason step by step, then put the final answer in \boxed{}.",
        "tags": "Reason step by step, then put the final answer in <answer></answer>.",
        "thought": "Reason step by step in <think></think>, then put the final answer in <answer></answer>.",
        "hashes": "Reason step by step, then write the final answer on a line of its own, behind ####.",
        "plain": "Reason step by step, and end with the final answer.",
        "line": 'Reason step by step, and end with a line that says "Answer: " and the final answer, and no more.',
        "letter": 'Reason step by step, and end with a line that says "Answer: " and the letter of the right option.',
        "json": "Reason step by step, and end with the answer as JSON in one fenced block: ```json",
    }
)
"""The system prompt that asks for a form, where a recipe has none of its own."""


def in_form(solution: str, answer: str, form: str) -> str:
    """A worked solution with its final ``answer`` in a form. One that has it stays as it is; else the last answer that
    it marks in another form is written anew, and where it marks none, a sentence says the answer. JSON is not made: the
    ground truth may be a schema."""
    marked = _marked(solution)
    if form in marked or form == "json":
        return solution
    start, end, content = max(marked.values(), default=(len(solution), len(solution), ""))
    before, behind = solution[:start], solution[end:]
    if form == "thought":
        steps = f"{before}{content}{behind}".replace(OPENING, "").replace(CLOSING, "").strip()
        return f"{OPENING}\n{steps}\n{CLOSING}\n<answer>{content or answer}</answer>"
    of_a_line = any(line.match(solution, start) for line in (_HASHES, _LINE))
    if FORMS[form].behind == "\n":
        steps = (before if of_a_line else f"{before}{content}{behind}").rstrip()
        return f"{steps}\n{FORMS[form].before}{content or answer}".lstrip("\n")
    written = f"{FORMS[form].before}{content or answer}{FORMS[form].behind}"
    if content and not of_a_line:
        return f"{before}{written}{behind}"
    sentence = f"The answer is {written}" + ("." if form != "plain" else "")
    steps = before.rstrip()
    return f"{steps}\n{sentence}" if steps else sentence


def _marked(solution: str) -> dict[str, Found]:
    """The last answer that a solution marks behind its thought, by form."""
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
    for line in _LINE.finditer(said):
        found["line"] = found["letter"] = (line.start(), line.end(), line[1])
    return {form: (start + offset, end + offset, content) for form, (start, end, content) in found.items()}
