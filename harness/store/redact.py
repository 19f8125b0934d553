"""Texts as they leave: without secrets, and without characters that do more than be read.

What a secret looks like is known in one place, ``secrets.py``; to that come the values of this process's own
secret environment variables, which only it knows. Whoever shortens a text takes :func:`safe_line`, which hides first
and cuts then. No caller of these has to think of it: errors, files (``run_directory.py``), the
log of a training job (:mod:`harness.training.log`) and the terminal (:mod:`harness.plugin.terminal`) all apply them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from harness.store.secrets import (
    hide_values,
    redact,
    redact_command,
    redact_data,
    redact_tree,
    secret_values,
    within_data,
)

# Controls except tab and newline, soft hyphen, bidirectional marks and overrides, zero-width and separator characters,
# byte order mark, lone surrogates, noncharacters and the invisible tag characters. Zero-width joiners stay: emoji and
# several scripts are written with them.
RANGES: tuple[tuple[int, int], ...] = (
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
INVISIBLE = re.compile("[" + "".join(f"{chr(low)}-{chr(high)}" for low, high in RANGES) + "]")
CONTROL_NAMES = dict(enumerate("␀␁␂␃␄␅␆␇␈␉␊␋␌␍␎␏␐␑␒␓␔␕␖␗␘␙␚␛␜␝␞␟")) | {0x7F: "␡"}


def symbol_of(character: str) -> str:
    code = ord(character)
    return CONTROL_NAMES.get(code) or f"U+{code:04X}"


def _plain(match: re.Match[str]) -> str:
    symbol = symbol_of(match[0])
    return symbol if len(symbol) == 1 else f"⟨{symbol}⟩"


def visible(text: str) -> str:
    """``text`` with invisible characters written as symbols. Safe to encode as UTF-8; not yet escaped for HTML.

    >>> visible("a\\x00b\\u202ec")
    'a␀b⟨U+202E⟩c'
    """
    return INVISIBLE.sub(_plain, text)


def clean(text: str) -> str:
    """A text without secrets."""
    return redact(hide_values(text, secret_values(os.environ)))


def clean_tree(value: Any) -> Any:
    """Plain JSON or TOML without secrets; a telling key (``hub_token``) hides its whole value."""
    return redact_tree(hide_values(value, secret_values(os.environ)))


def clean_command(arguments: Sequence[str]) -> str:
    """A command line, as a shell would take it."""
    return redact_command(hide_values(arguments, secret_values(os.environ)))


def clean_data(value: Any) -> Any:
    """Data that is read again (answers, prompts): hidden is only what cannot be anything but a secret, and no id."""
    return within_data(value, _clean_data)


def clean_line(row: Mapping[str, Any]) -> str:
    """:func:`clean_data` of plain JSON as one line of JSON. Nearly all hold nothing, so it looks at the whole line."""
    line = json.dumps(row, allow_nan=False)
    return line if _clean_data(line) == line else json.dumps(clean_data(row), allow_nan=False)


def _clean_data(text: str) -> str:
    return redact_data(str(hide_values(text, secret_values(os.environ), data=True)))


def safe_text(text: str) -> str:
    """A text of several lines to be shown: no secrets, and control, bidirectional and invisible characters as symbols.

    >>> safe_text("red: \\x1b[31m")
    'red: ␛[31m'
    """
    return visible(clean(text))


def safe_line(text: str, limit: int | None = None) -> str:
    """The same in one line; of more than ``limit`` characters, the first.

    >>> safe_line("a ghp_0123456789abcdef\\n  and more", limit=20)
    'a [redacted] and ...'
    """
    first, *rest = clean(text).replace("\r\n", "\n").split("\n")
    line = visible(" ".join([first, *filter(None, map(str.strip, rest))]))
    return line if limit is None or len(line) <= limit else f"{line[: limit - 3]}..."


def escaped_toml(text: str) -> str:
    """TOML as tomli_w writes it, with invisible characters as the escapes that mean the same."""
    return re.sub(r"[^\n\t -~\w]", _escape, text)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    if visible(character) == character:
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
