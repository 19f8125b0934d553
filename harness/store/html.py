"""The little HTML that a notebook shows of what is kept. Whatever is no :class:`Markup` is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from harness.store.redact import safe_text

_CELL = "text-align:left;vertical-align:top"


def shown(text: str) -> Markup:
    """A text from outside, with its line breaks."""
    return Markup('<span style="white-space:pre-wrap">{}</span>').format(safe_text(text))


def html_table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> Markup:
    """A table; of each cell the text, or the HTML that it is."""
    head = _row("th", heads)
    return Markup("<table>{}{}</table>").format(head, Markup("").join(_row("td", row) for row in rows))


def _row(tag: str, cells: Sequence[object]) -> Markup:
    made = (Markup("<{0} style='{1}'>{2}</{0}>").format(tag, _CELL, cell) for cell in cells)
    return Markup("<tr>{}</tr>").format(Markup("").join(made))
