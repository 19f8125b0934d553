"""The markup of a question, written once in ``reports/cards.html`` for the page's script and for the static pages.

Each ``<template>`` of that file has slots: an empty element with ``data-slot="name"`` is filled with text or further
markup, and ``{name}`` in an attribute with text. ``fill`` in ``open.js`` does in a browser what :func:`fill` does here.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from harness.report import TEMPLATES
from harness.store.redact import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

SOURCE = TEMPLATES / "cards.html"

_TEMPLATE = re.compile(r'<template id="([\w-]+)">(.*?)</template>', re.DOTALL)
_SLOT = re.compile(r' data-slot="(\w+)">|\{(\w+)\}')


def fill(template: str, /, **slots: str) -> Markup:
    """The markup of one template. A slot takes ``Markup`` as it is; a plain string is made visible and escaped.

    >>> fill("soft", words="a < b")
    Markup('<span class="soft">a &lt; b</span>')
    """
    pieces = _skeletons()[template]
    out = pieces.copy()
    for place in range(1, len(pieces), 2):
        value = slots[pieces[place]]
        out[place] = value if type(value) is Markup else escape(visible(value))
    return joined(out)


def joined(pieces: Iterable[str], between: str = "") -> Markup:
    """Pieces that are markup already, one after another; ``Markup.join`` would look at each again."""
    return str.__new__(Markup, between.join(pieces))


@functools.cache
def source() -> Markup:
    """The templates as they stand in a page."""
    return Markup(re.sub(r">\n", ">", SOURCE.read_text(encoding="utf-8")))


@functools.cache
def _skeletons() -> dict[str, list[str]]:
    """Template to literal, slot, literal, slot ... literal."""
    found: dict[str, list[str]] = {}
    for name, body in _TEMPLATE.findall(source()):
        pieces: list[str] = [""]
        at = 0
        for match in _SLOT.finditer(body):
            pieces[-1] += body[at : match.start()] + (">" if match[1] else "")
            pieces += [match[1] or match[2], ""]
            at = match.end()
        pieces[-1] += body[at:]
        found[name] = pieces
    return found
