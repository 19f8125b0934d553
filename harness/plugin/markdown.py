"""The verdicts as Markdown: GitHub's job summary and a pull request's comment, each within GitHub's size."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from harness.gate.verdicts import percent
from harness.redact import safe_line
from harness.runs import read_json

SUMMARY_BYTES, COMMENT_BYTES = 1_000_000, 64_000  # GitHub's limits are 1 MiB and 65,536 characters
MARKUP = str.maketrans({mark: f"&#{ord(mark)};" for mark in "|[]`*~\\"})
# Where GitHub would see an address, a name, an issue or a commit; a space of no width, written out, breaks it.
LINKS = re.compile(r"(?=://)|(?<=www)(?=\.)|(?<=@)|(?<=#)(?=\d)|(?<=gh-)(?=\d)", re.IGNORECASE)
COMMITS = re.compile(r"(?<![0-9a-z])[0-9a-f]{7,40}(?![0-9a-z])", re.IGNORECASE)
BREAK = "\u200b"
MARKS = {True: "✅", False: "❌", None: "⚠️"}


def write_markdown(
    path: Path, directories: Sequence[Path], weak: Sequence[str], *, limit: int, append: bool = False
) -> None:
    """Write a table of verdicts, cut at a whole row so that the file stays under ``limit`` bytes."""
    rows = chain((_row("⚠️", *_split(sentence)) for sentence in weak), chain.from_iterable(map(_run_rows, directories)))
    text = "### rl-harness\n\n| | run | before → after | gate | verdict |\n|---|---|---|---|---|\n"
    note = "\nMore rows than fit here; the report has them all.\n"
    there = path.stat().st_size if append and path.exists() else 0
    left = limit - there - len((text + note).encode())
    kept = []
    for row in rows:
        left -= len(row.encode())
        if left < 0:
            break
        kept.append(row)
    if left < 0 and not kept:
        return  # a step before this one has filled the file
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a" if append else "w", encoding="utf-8") as file:
        file.write("".join([text, *kept, note if left < 0 else ""]))


def _run_rows(directory: Path) -> list[str]:
    environment = read_json(directory / "environment.json") or {}
    name = f"{environment.get('recipe', directory.name)}, seed {environment.get('seed', '?')}"
    accuracies = [
        percent(summary["accuracy"])
        for stage in ("before", "after")
        if (summary := read_json(directory / stage / "summary.json"))
    ]
    verdicts = (read_json(directory / "verdicts.json") or {}).get("verdicts", [])
    return [
        _row(
            MARKS[each["passed"]], name, " → ".join(accuracies), each["gate"], f"{each['verdict']}: {each['sentence']}"
        )
        for each in verdicts
    ] or [_row("", name, " → ".join(accuracies), "", "no verdict was asked for")]


def _split(sentence: str) -> tuple[str, str, str, str]:
    name, _, text = sentence.partition(": ")
    return name, "", "", f"UNDERPOWERED: {text}"


def _row(*cells: str) -> str:
    """One row; text from recipes, questions and paths must not end a cell, open a tag, be a link or a picture, or call
    somebody."""
    plain = (LINKS.sub(BREAK, COMMITS.sub(_parted, safe_line(cell))) if len(cell) > 2 else cell for cell in cells)
    marked = (html.escape(cell).translate(MARKUP).replace(BREAK, "&#8203;") for cell in plain)
    return "| " + " | ".join(marked) + " |\n"


def _parted(commit: re.Match[str]) -> str:
    return BREAK.join(commit[0][start : start + 6] for start in range(0, len(commit[0]), 6))
