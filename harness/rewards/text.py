r"""Answers as text: taking off the LaTeX dressing that does not change what an answer says."""

from __future__ import annotations

import re
import unicodedata

_STYLE = (
    r"\\(?:text|textnormal|textbf|textit|textrm|mbox|mathrm|mathbf|mathit|mathsf|mathtt|boldsymbol|emph"
    r"|underline)\s*"
)
_STYLED_GROUP = re.compile(rf"(?:{_STYLE})?\{{")
_MATHS = re.compile(
    r"(\$\$?)((?:[^$\\]|\\.)*)\1|\\\(((?:[^\\]|\\[^()])*)\\\)|\\\[((?:[^\\]|\\[^\[\]])*)\\\]", re.DOTALL
)
_MARKDOWN = re.compile(r"(\*\*\*|\*\*|\*|__|_|`)(?=[^\s*_`])([^*_`]*)(?<=[^\s*_`])\1")
SIZING = r"\\(?:left|right|displaystyle|textstyle|small|normalsize|[lL]arge|LARGE|[hH]uge)(?![A-Za-z])"
_SIZING = re.compile(SIZING)
# As models write it that think in JSON: every command with two backslashes, and no other backslash.
_DOUBLED = re.compile(r"(?:[^\\]|\\\\(?=[A-Za-z]{2}|[{}$%]))*")
_MATHS_AND_WORDS = re.compile(r"\$([^$\s](?:[^$]*[^$\s])?)\$\s?([A-Za-z%][A-Za-z%. ]*)")
_SPACING = re.compile(r"\\[,;:! ]|(?<!^)~")
_DISPLAY_FRACTION = re.compile(r"\\[dtc]frac(?![A-Za-z])")

# Longer texts are compared as they stand, and a model that nests deeper is not dressing an answer.
_MAX_CHARACTERS = 10_000
_MAX_LAYERS = 8


def unwrap(text: str) -> str:
    r"""``text`` without what encloses all of it: ``$..$``, ``\(..\)``, ``{..}``, ``\text{..}``, ``**..**``, blanks."""
    text = text.strip()
    if len(text) > _MAX_CHARACTERS:
        return text
    if "\\\\" in text and _DOUBLED.fullmatch(text):
        text = text.replace("\\\\", "\\")
    for _ in range(_MAX_LAYERS):
        inner = _peel(text)
        if inner == text:
            break
        text = inner
    return text


def plain_digits(text: str) -> str:
    """``text`` with the decimal digits of every script as 0 to 9.

    >>> plain_digits("৪২ ४२ 42")
    '42 42 42'
    """
    if text.isascii():
        return text
    digits = ((mark, unicodedata.decimal(mark, None)) for mark in text)
    return "".join(mark if digit is None else str(digit) for mark, digit in digits)


def normalize(text: str) -> str:
    r"""``text`` for a comparison of words: undressed, one kind of white space, no case, no full stop at the end.

    >>> normalize(r"\text{ The  Eiffel tower. }") == normalize("the Eiffel Tower")
    True
    """
    text = _SPACING.sub(" ", _SIZING.sub("", unwrap(plain_digits(text))))
    text = _DISPLAY_FRACTION.sub(r"\\frac", text)
    text = " ".join(text.split())
    return (text if text.endswith("..") else text.removesuffix(".").rstrip()).casefold()


def _peel(text: str) -> str:
    if maths := _MATHS.fullmatch(text):
        return (maths[2] or maths[3] or maths[4] or "").strip()
    if words := _MATHS_AND_WORDS.fullmatch(text):
        return f"{words[1]} {words[2]}"
    if marked := _MARKDOWN.fullmatch(text):
        return marked[2]
    group = _STYLED_GROUP.match(text)
    if group and _closing_brace(text, group.end()) == len(text) - 1:
        return text[group.end() : -1].strip()
    return text


def _closing_brace(text: str, start: int) -> int:
    """Index of the brace that closes the group whose content begins at ``start``, or -1."""
    depth = 1
    for mark in re.compile(r"\\.|[{}]", re.DOTALL).finditer(text, start):
        depth += {"{": 1, "}": -1}.get(mark.group(), 0)
        if depth == 0:
            return mark.start()
    return -1
