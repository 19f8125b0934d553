r"""Finds ``\boxed{...}`` in a completion.

Braces are balanced by a stack over the marks of one linear scan, so that ten thousand nested braces cost no more than
ten thousand letters. An unclosed box is no answer (the completion was cut off inside it), and neither is a box with
only white space. ``\boxed {5}`` counts, as it does in TeX; ``\fbox{5}`` does not, since no prompt asks for it.

    >>> last_boxed(r"First \boxed{3}, no: \boxed{\frac{1}{2}}. So \boxed{4")
    '\\frac{1}{2}'
"""

from __future__ import annotations

import re

# In the order in which they are tried: the opening of a box; an escaped brace, or an escaped backslash that is not
# the first half of a doubled \\boxed (as JSON-minded models write it); a plain brace.
_MARK = re.compile(r"\\boxed\s*\{|\\[{}]|\\\\(?!boxed)|[{}]")

# What may stand between two boxes that are one answer, and the opening of the second.
_BETWEEN = re.compile(
    r"(?:[\s$,;&]|\\[()\[\],; ]|\\q?quad|\\text\s*\{\s*(?:and|or)\s*\}|\b(?:and|or)\b|\b[A-Za-z](?:_\{?\w\}?)?\s*=)*"
    r"\\+boxed\s*\{"
)

_PLAIN = -1


def first_boxed(text: str) -> str | None:
    r"""Content of the first closed, non-empty ``\boxed{...}`` as written, or ``None``; of nested boxes the outer."""
    return next((content for start, end in sorted(_boxes(text)) if (content := text[start:end]).strip()), None)


def last_boxed(text: str) -> str | None:
    r"""Content of the last closed, non-empty ``\boxed{...}`` as written, or ``None``; of nested boxes the inner."""
    found = last_box(text)
    return None if found is None else found[2]


def last_box(text: str) -> tuple[int, int, str] | None:
    r"""Start, end and content of the last closed, non-empty ``\boxed{...}``; start and end are those of the whole."""
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
    open_braces: list[int] = []  # where a box's content starts, or _PLAIN for any other brace
    for mark in _MARK.finditer(text):
        token = mark.group()
        if token == "{":
            open_braces.append(_PLAIN)
        elif token == "}":
            start = open_braces.pop() if open_braces else _PLAIN
            if start != _PLAIN:
                closed.append((start, mark.start()))
        elif token.startswith(r"\boxed"):
            open_braces.append(mark.end())
    return closed
