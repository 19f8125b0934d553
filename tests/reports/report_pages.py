"""A rendered report as a string, and the words in it."""

from __future__ import annotations

import html
import re
from pathlib import Path

from reports import render_session


def page_of(*runs: Path, output: Path) -> str:
    return render_session(runs, output).read_text(encoding="utf-8")


def words_of(page: str) -> str:
    """The page's text: no tags, one space between words."""
    body = re.sub(r"<(script|style)>.*?</\1>", " ", page, flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())
