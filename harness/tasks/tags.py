"""Finds ``<answer>...</answer>`` in a completion, in one linear scan.

The tags are lower case and without attributes, as prompts ask for them. A tag that is not closed is no answer (the
completion was cut off inside it), and neither is a tag with only white space. Of nested tags the inner one counts.

    >>> last_tagged("<answer>3</answer> no: <answer>4</answer> <answer>5", "answer")
    '4'
"""

from __future__ import annotations

import re


def last_tagged(text: str, tag: str) -> str | None:
    """Content of the last closed, non-empty ``<tag>...</tag>`` as written, or ``None``."""
    found = last_tag(text, tag)
    return None if found is None else found[2]


def last_tag(text: str, tag: str) -> tuple[int, int, str] | None:
    """Start, end and content of the last closed, non-empty ``<tag>...</tag>``; start and end are those of the whole."""
    found, opened = None, None
    for mark in re.finditer(rf"<(/?){re.escape(tag)}>", text):
        if not mark[1]:
            opened = mark
        elif opened is not None:
            content = text[opened.end() : mark.start()]
            if content.strip():
                found = opened.start(), mark.end(), content
            opened = None
    return found
