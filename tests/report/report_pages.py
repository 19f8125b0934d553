"""Rendered reports as strings, and the words in them."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

from harness.report.pack import unpack
from harness.report.render import render_session


def page_of(*runs: Path, output: Path) -> str:
    """The session page, then each run's page, one after another."""
    return "\n".join(page.read_text(encoding="utf-8") for page in pages_of(render_session(runs, output)))


def pages_of(index: Path) -> list[Path]:
    """Every page of a report, in the order in which a reader turns them."""
    return [index, *sorted(path for path in index.parent.glob("*.html") if path != index)]


def run_page_of(index: Path, number: int = 0) -> Path:
    """The page of one run, in alphabetical order."""
    return sorted(path for path in index.parent.glob("*.html") if path != index)[number]


def words_of(page: str) -> str:
    """The page's text: no tags, one space between words."""
    body = re.sub(r"<(script|style)\b[^>]*>.*?</\1>", " ", page, flags=re.S)
    body = re.sub(r"</?mark\b[^>]*>", "", body)  # stands within words
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def packed_in(page: str, block: str) -> Any:
    """What a block of a page holds."""
    match = re.search(rf'id="{block}-data">([^<]*)<', page)
    assert match is not None
    return unpack(match[1])
