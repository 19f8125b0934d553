r"""Frequent words as one- and two-byte codes, so that deflate's short window holds more of a text.

Deflate looks back 32 KiB and knows no words. Texts whose frequent words are codes from a table that the page holds once
come out a fifth to a quarter smaller, for any text: codes only stand for strings, and what has no code stays as it is.

    >>> words = Words.of(['"the boxes and the boxes"'] * 9)
    >>> coded = words.encode('"the boxes \\n"')
    >>> words.decode(coded)
    '"the boxes \\n"'
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# JSON in ASCII never holds these bytes. The first two are the escapes that would tear words apart: a new line, and a
# backslash ("\\boxed"). All others stand for words.
_NEWLINE, _BACKSLASH = "\x01", "\x02"
_CODES = [chr(code) for code in (*range(0x03, 0x20), *range(0x7F, 0x100))]
_MOST = 16_384
_TOKEN = re.compile(r"( ?[A-Za-z]{2,}|\\u[0-9a-f]{4})")


@dataclass(frozen=True, slots=True)
class Words:
    """The table: ``listed`` in order of code. The first ``single`` have one byte, the others a lead byte and any other.

    ``unpack.js`` has :meth:`decode` once more; both need ``single`` and ``listed`` and nothing else.
    """

    listed: tuple[str, ...]
    single: int
    table: Mapping[str, str]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Words:
        """The table of some JSON texts (a sample is enough); the same texts give the same table."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(_TOKEN.findall(_short(text)))
        # A word has to save more than it costs to list it.
        worth = [word for word, n in counts.items() if len(word) > 2 and (len(word) - 2) * n > len(word) + 4]
        listed = sorted(worth, key=lambda word: (-counts[word], word))[:_MOST]
        leads = 0
        while len(_CODES) - leads + 256 * leads < len(listed):
            leads += 1
        single = len(_CODES) - leads
        return cls(tuple(listed), single, {word: _code(place, single) for place, word in enumerate(listed)})

    def encode(self, text: str) -> bytes:
        """ASCII JSON as bytes of letters and codes."""
        tokens = _TOKEN.split(_short(text))
        return "".join(map(self.table.get, tokens, tokens)).encode("latin-1")

    def decode(self, raw: bytes) -> str:
        """The text of :meth:`encode`."""
        letters = {code: place for place, code in enumerate(_CODES)}
        out: list[str] = []
        characters = iter(raw.decode("latin-1"))
        for character in characters:
            place = letters.get(character)
            if place is not None and place >= self.single:
                place = self.single + 256 * (place - self.single) + ord(next(characters))
            out.append(character if place is None else self.listed[place])
        return "".join(out).replace(_NEWLINE, "\\n").replace(_BACKSLASH, "\\\\")


def _short(text: str) -> str:
    # Backslashes first: in JSON they stand in pairs from the left, so what is left before an "n" is a new line.
    return text.replace("\\\\", _BACKSLASH).replace("\\n", _NEWLINE)


def _code(place: int, single: int) -> str:
    if place < single:
        return _CODES[place]
    lead, rest = divmod(place - single, 256)
    return _CODES[single + lead] + chr(rest)
