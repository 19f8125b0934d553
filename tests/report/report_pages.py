"""Rendered reports as strings, and the words in them."""

from __future__ import annotations

import html
import re
from pathlib import Path

from harness.report.render import render_session


def page_of(*runs: Path, output: Path) -> str:
    """The session page, then each run's page with the pages of its further questions, one after another."""
    pages = (page.read_text(encoding="utf-8") for page in pages_of(render_session(runs, output)))
    return re.sub(r"<template\b.*?</template>", "", "\n".join(pages), flags=re.S)


def pages_of(index: Path) -> list[Path]:
    """Every page of a report, in the order in which a reader turns them."""
    runs = sorted(path for path in index.parent.glob("*.html") if path != index)
    return [index, *(page for run in runs for page in (run, *question_pages(run)))]


def run_page_of(index: Path, number: int = 0) -> Path:
    """The page of one run, in alphabetical order."""
    return sorted(path for path in index.parent.glob("*.html") if path != index)[number]


def question_pages(run_page: Path) -> list[Path]:
    """The pages of a run's further questions, in order."""
    return sorted(run_page.with_suffix("").glob("questions-*.html"), key=lambda page: int(page.stem.split("-")[1]))


def words_of(page: str) -> str:
    """The page's text: no tags, one space between words."""
    body = re.sub(r"<(script|style|template)\b[^>]*>.*?</\1>", " ", page, flags=re.S)
    body = re.sub(r"</?mark\b[^>]*>", "", body)  # stands within words
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())
