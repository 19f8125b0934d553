"""Untrusted text made safe to look at: what is invisible becomes visible, what is endless is folded."""

from __future__ import annotations

import re
import unicodedata

from markupsafe import Markup, escape

FOLD_AT = 20_000
"""Characters of one text that are shown; the rest is left out of the middle."""

# Controls except tab and newline, soft hyphen, bidirectional marks and overrides, zero-width and separator characters,
# byte order mark, lone surrogates, noncharacters and the invisible tag characters. Zero-width joiners stay: emoji and
# several scripts are written with them.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)
_CONTROL_NAMES = dict(enumerate("␀␁␂␃␄␅␆␇␈␉␊␋␌␍␎␏␐␑␒␓␔␕␖␗␘␙␚␛␜␝␞␟")) | {0x7F: "␡"}


def _symbol(character: str) -> str:
    code = ord(character)
    return _CONTROL_NAMES.get(code) or f"U+{code:04X}"


def _plain(match: re.Match[str]) -> str:
    symbol = _symbol(match[0])
    return symbol if len(symbol) == 1 else f"⟨{symbol}⟩"


def _marked(match: re.Match[str]) -> str:
    code = ord(match[0])
    name = "surrogate" if 0xD800 <= code <= 0xDFFF else unicodedata.name(match[0], "control character")
    return f'<span class="ctl" title="U+{code:04X} {name.lower()}">{_symbol(match[0])}</span>'


def visible(text: str) -> str:
    """``text`` with invisible characters written as symbols. Safe to encode as UTF-8; not yet escaped for HTML.

    >>> visible("a\\x00b\\u202ec")
    'a␀b⟨U+202E⟩c'
    """
    return _INVISIBLE.sub(_plain, text)


def shown(text: object) -> Markup:
    """The body-text form of :func:`visible`: escaped, each symbol in a span that tells its name. Not for attributes."""
    return Markup(_INVISIBLE.sub(_marked, str(escape(str(text)))))


def fold(text: str, limit: int = FOLD_AT) -> tuple[str, str, int]:
    """``(head, tail, characters left out between them)``; ``(text, "", 0)`` where it is short enough.

    >>> fold("abcdefghij", limit=4)
    ('abc', 'j', 6)
    """
    if len(text) <= limit:
        return text, "", 0
    tail = limit // 3
    return text[: limit - tail], text[-tail:], len(text) - limit


def folded(text: str, where: str = "records.jsonl") -> Markup:
    """:func:`shown` of at most :data:`FOLD_AT` characters; a note tells how many are left out and which file has them.

    >>> folded("<b>")
    Markup('&lt;b&gt;')
    """
    head, tail, left_out = fold(text)
    if not left_out:
        return shown(head)
    note = Markup('<span class="fold">… {:,} characters left out here: {} has them all …</span>')
    return shown(head) + note.format(left_out, where) + shown(tail)


def shorten(text: str, limit: int = 160) -> str:
    """One line of at most ``limit`` characters."""
    line = " ".join(text[: limit * 8].split())
    return line if len(line) <= limit and len(text) <= limit * 8 else line[: limit - 1].rstrip() + "…"
