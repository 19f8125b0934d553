"""Data inside a page: JSON, deflated, as base64 in ``<script>`` blocks that a browser does not run.

A page of ten thousand completions is megabytes of text that nobody reads at once. Packed, it is a fifth of the size,
and the page's script unpacks a block when a reader opens, searches or exports what lies in it.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def pack(value: object) -> str:
    """``value`` as base64 of raw deflate (RFC 1951) of JSON; ``unpack`` in ``unpack.js`` is the way back.

    Base64 has no ``<``, so whatever a model wrote cannot end the block it stands in.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    deflate = zlib.compressobj(level=9, wbits=-15, memLevel=9)
    # Lone surrogates are no UTF-8; the page shows them as symbols, so texts should come here made visible.
    raw = deflate.compress(text.encode("utf-8", "replace")) + deflate.flush()
    return base64.b64encode(raw).decode("ascii")


def unpack(packed: str) -> object:
    """The value of :func:`pack`."""
    return json.loads(zlib.decompress(base64.b64decode(packed), wbits=-15))


def parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """``items`` in stretches of at most ``size``."""
    return (items[start : start + size] for start in range(0, len(items), size))
