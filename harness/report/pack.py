"""Data inside a page: JSON, deflated, as base 85 in ``<script>`` blocks that a browser does not run.

A page of ten thousand completions is megabytes of text that nobody reads at once. Packed, it is a third of the size,
and the page's script unpacks a block when a reader opens, searches or exports what lies in it.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from harness.report.words import Words

T = TypeVar("T")

_DIGITS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;,=>?@^_`{|}~"


def pack(value: object, words: Words | None = None) -> str:
    """``value`` as base 85 of raw deflate (RFC 1951) of JSON; ``unpack`` in ``unpack.js`` is the way back.

    Base 85 is base64's quarter more instead of its third. Python's alphabet has a ``<``, written as ``,`` here, so
    whatever a model wrote cannot end the block it stands in. ``words`` write the JSON's words as codes first.
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    deflate = zlib.compressobj(wbits=-15, memLevel=9)  # more effort makes it a thousandth smaller
    raw = deflate.compress(text.encode("ascii") if words is None else words.encode(text)) + deflate.flush()
    return _base85(raw)


def unpack(packed: str, words: Words | None = None) -> object:
    """The value of :func:`pack`."""
    raw = zlib.decompress(base64.b85decode(packed.encode("ascii").replace(b",", b"<")), wbits=-15)
    return json.loads(raw if words is None else words.decode(raw))


def _base85(raw: bytes) -> str:
    """:func:`base64.b85encode` with ``,`` for ``<``: megabytes of it, so by numpy."""
    import numpy as np

    padding = -len(raw) % 4
    rest = np.frombuffer(raw + bytes(padding), dtype=">u4").astype(np.uint32)
    digits = np.empty((len(rest), 5), dtype=np.uint8)
    for place in range(4, -1, -1):
        rest, digits[:, place] = np.divmod(rest, np.uint32(85))
    text = np.frombuffer(_DIGITS, dtype=np.uint8)[digits].tobytes()
    return text[: len(text) - padding].decode("ascii")


def parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """``items`` in stretches of at most ``size``."""
    return (items[start : start + size] for start in range(0, len(items), size))
