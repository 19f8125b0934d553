"""Untrusted text made safe to look at: what is invisible becomes visible, what is endless is folded."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup, escape

FOLD_AT = 20_000
"""Characters of one text that are shown; the rest is left out of the middle."""

# Controls except tab and newline, soft hyphen, bidirectional marks and overrides, zero-width and separator characters,
# byte order mark, lone surrogates, noncharacters and the invisible tag characters. Zero-width joiners stay: emoji and
# several scripts are written with them.
_RANGES: tuple[tuple[int, int], ...] = (
    (0x00, 0x08),
    (0x0B, 0x1F),
    (0x7F, 0x9F),
    (0xAD, 0xAD),
    (0x61C, 0x61C),
    (0x180E, 0x180E),
    (0x200B, 0x200B),
    (0x200E, 0x200F),
    (0x2028, 0x202E),
    (0x2060, 0x206F),
    (0xD800, 0xDFFF),
    (0xFEFF, 0xFEFF),
    (0xFFF9, 0xFFFB),
    (0xFFFE, 0xFFFF),
    (0xE0000, 0xE007F),
)
_INVISIBLE = re.compile("[" + "".join(f"{chr(low)}-{chr(high)}" for low, high in _RANGES) + "]")
_CONTROL_NAMES = dict(enumerate("␀␁␂␃␄␅␆␇␈␉␊␋␌␍␎␏␐␑␒␓␔␕␖␗␘␙␚␛␜␝␞␟")) | {0x7F: "␡"}


def _symbol(character: str) -> str:
    code = ord(character)
    return _CONTROL_NAMES.get(code) or f"U+{code:04X}"


def _plain(match: re.Match[str]) -> str:
    symbol = _symbol(match[0])
    return symbol if len(symbol) == 1 else f"⟨{symbol}⟩"


def _name(code: int) -> str:
    return "surrogate" if 0xD800 <= code <= 0xDFFF else unicodedata.name(chr(code), "control character").lower()


def _marked(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f'<span class="ctl" title="U+{code:04X} {_name(code)}">{_symbol(match[0])}</span>'


def rules() -> dict[str, Any]:
    """What a page's script needs to do the same: the ranges, the symbols of controls, and the names of the others."""
    names = {
        code: _name(code) for low, high in _RANGES for code in range(low, high + 1) if not 0xD800 <= code <= 0xDFFF
    }
    return {
        "ranges": _RANGES,
        "symbols": {str(code): symbol for code, symbol in _CONTROL_NAMES.items()},
        "names": {str(code): name for code, name in names.items() if name != "control character"},
        "fold": FOLD_AT,
    }


def visible(text: str) -> str:
    """``text`` with invisible characters written as symbols. Safe to encode as UTF-8; not yet escaped for HTML.

    >>> visible("a\\x00b\\u202ec")
    'a␀b⟨U+202E⟩c'
    """
    return _INVISIBLE.sub(_plain, text)


def shown(text: object) -> Markup:
    """The body-text form of :func:`visible`: escaped, each symbol in a span that tells its name. Not for attributes."""
    return str.__new__(Markup, _INVISIBLE.sub(_marked, str.__str__(escape(str(text)))))


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
