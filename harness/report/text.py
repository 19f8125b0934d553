"""Untrusted text made safe to look at: what is invisible becomes visible, what is endless is folded."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup, escape

from harness.store.redact import CONTROL_NAMES, INVISIBLE, RANGES, symbol_of, visible

FOLD_AT = 20_000
"""Characters of one text that are shown; the rest is left out of the middle."""


def _name(code: int) -> str:
    return "surrogate" if 0xD800 <= code <= 0xDFFF else unicodedata.name(chr(code), "control character").lower()


def _marked(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f'<span class="ctl" title="U+{code:04X} {_name(code)}">{symbol_of(match[0])}</span>'


def rules() -> dict[str, Any]:
    """What a page's script needs to do the same: the ranges, the symbols of controls, and the names of the others."""
    names = {code: _name(code) for low, high in RANGES for code in range(low, high + 1) if not 0xD800 <= code <= 0xDFFF}
    return {
        "ranges": RANGES,
        "symbols": {str(code): symbol for code, symbol in CONTROL_NAMES.items()},
        "names": {str(code): name for code, name in names.items() if name != "control character"},
        "fold": FOLD_AT,
    }


def shown(text: object) -> Markup:
    """The body-text form of :func:`visible`: escaped, each symbol in a span that tells its name. Not for attributes."""
    return str.__new__(Markup, INVISIBLE.sub(_marked, str.__str__(escape(str(text)))))


def fold(text: str, limit: int = FOLD_AT) -> tuple[str, str, int]:
    """``(head, tail, characters left out between them)``; ``(text, "", 0)`` where it is short enough.

    >>> fold("abcdefghij", limit=4)
    ('abc', 'j', 6)
    """
    if len(text) <= limit:
        return text, "", 0
    tail = limit // 3
    return text[: limit - tail], text[-tail:], len(text) - limit


def folded(text: str, where: str = "records.jsonl", spots: Sequence[tuple[int, int, str]] = ()) -> Markup:
    """:func:`shown` of at most :data:`FOLD_AT` characters; a note tells how many are left out and which file has them.
    ``spots`` are ``(start, end, title)`` of passages to mark, in order, none over another.

    >>> folded("<b>")
    Markup('&lt;b&gt;')
    """
    head, tail, left_out = fold(text)
    if not left_out:
        return _spotted(head, 0, spots)
    note = Markup('<span class="fold">… {:,} characters left out here: {} has them all …</span>')
    ends = _spotted(head, 0, spots), _spotted(tail, len(text) - len(tail), spots)
    return ends[0] + note.format(left_out, where) + ends[1]


def _spotted(text: str, offset: int, spots: Sequence[tuple[int, int, str]]) -> Markup:
    """One end of a text that begins ``offset`` characters into the whole; a spot that it cuts is left."""
    if not spots:
        return shown(text)
    out: list[str] = []
    at = 0
    for start, end, title in spots:
        if start >= offset + at and end <= offset + len(text):
            name, words = escape(visible(title)), shown(text[start - offset : end - offset])
            out += (shown(text[at : start - offset]), f'<mark class="spot" title="{name}">{words}</mark>')
            at = end - offset
    out.append(shown(text[at:]))
    return Markup("".join(out))


def shorten(text: str, limit: int = 160) -> str:
    """One line of at most ``limit`` characters."""
    line = " ".join(text[: limit * 8].split())
    return line if len(line) <= limit and len(text) <= limit * 8 else line[: limit - 1].rstrip() + "…"
