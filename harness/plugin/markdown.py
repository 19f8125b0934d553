"""The verdicts as Markdown: GitHub's job summary and a pull request's comment, each within GitHub's size."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, starmap
from pathlib import Path

from harness.pipeline.lost import answer_end, lost_questions
from harness.store.files import RecordError
from harness.store.records import SUMMARY
from harness.store.redact import safe_line
from harness.store.run_files import Verdict
from harness.store.siblings import name_of
from harness.store.stages import SIDES
from harness.store.words import counted, percent

SUMMARY_BYTES, COMMENT_BYTES = 1_000_000, 64_000  # GitHub's limits are 1 MiB and 65,536 characters
MARKUP = str.maketrans({mark: f"&#{ord(mark)};" for mark in "|[]`*~\\"})
# Where GitHub would see an address, a name, an issue or a commit; a space of no width, written out, breaks it.
LINKS = re.compile(r"(?=://)|(?<=www)(?=\.)|(?<=@)|(?<=#)(?=\d)|(?<=gh-)(?=\d)", re.IGNORECASE)
COMMITS = re.compile(r"(?<![0-9a-z])[0-9a-f]{7,40}(?![0-9a-z])", re.IGNORECASE)
BREAK = "\u200b"
NEVER_JUDGED = "a test failed before there was a verdict"
LOST, LONGEST = 5, 300  # questions that are shown, and characters of each cell
MARKS = {True: "✅", False: "❌", None: "⚠️"}

Judged = tuple[Sequence[Verdict], bool]  # a run's verdicts, and whether a test of it failed


def write_markdown(
    path: Path, runs: Mapping[Path, Judged], note: str | None = None, *, limit: int, append: bool = False
) -> None:
    """Write a table of this session's verdicts, by run directory, and the questions that each run lost, cut at a whole
    row so that the file stays under ``limit`` bytes.

    ``note`` is what stands above it: what nobody may overlook.
    """
    rows = chain.from_iterable(starmap(_run_rows, runs.items()))
    said = f"⚠️ {_plain(note)}\n\n" if note else ""
    text = f"### rl-harness\n\n{said}| | run | before → after | gate | verdict |\n|---|---|---|---|---|\n"
    more = "\nMore rows than fit here; the report has them all.\n"
    there = path.stat().st_size if append and path.exists() else 0
    left = limit - there - len((text + more).encode())
    kept = []
    for row in rows:
        left -= len(row.encode())
        if left < 0:
            break
        kept.append(row)
    if left < 0 and not kept:
        return  # a step before this one has filled the file
    lost = []
    for table in map(_lost, runs):
        left -= len(table.encode())
        lost += [table] if left >= 0 else []
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a" if append else "w", encoding="utf-8") as file:
        file.write("".join([text, *kept, *lost, more if left < 0 else ""]))


def _lost(directory: Path) -> str:
    """A table of the first questions that a run lost, or nothing."""
    try:
        against, lost = lost_questions(directory)
    except RecordError:  # its row says so
        return ""
    if not lost:
        return ""
    cells = (
        [
            _plain(text, LONGEST)
            for text in (each.question.text, each.question.ground_truth, each.now.extracted or answer_end(each.now))
        ]
        for each in lost[:LOST]
    )
    shown = f", the worst {LOST}" if len(lost) > LOST else ""
    return (
        f"\n**{_plain(name_of(directory))}: {counted(len(lost), 'question')} lost against the {against}{shown}**\n\n"
        "| question | truth | now |\n|---|---|---|\n"
    ) + "".join(f"| {' | '.join(row)} |\n" for row in cells)


def _run_rows(directory: Path, judged: Judged) -> Iterator[str]:
    """The rows of a run, made one by one: a file takes no more than it holds."""
    try:
        summaries = [SUMMARY.read(directory / stage) for stage in SIDES]
        accuracies = " → ".join(percent(summary.accuracy) for summary in summaries if summary)
    except RecordError as unfit:
        accuracies = str(unfit)
    run = f"{_plain(name_of(directory))} | {_plain(accuracies)}"
    verdicts, failed = judged
    for each in verdicts:
        mark = MARKS[each.holds]
        yield _row(mark, run, each.gate, f"{each.verdict}: {each.sentence}")
    error = directory / "train" / "error.txt"
    if error.is_file():
        first = error.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
        if not any(each.code == "refused" for each in verdicts):  # by the signal check, and said so above
            yield _row(MARKS[False], run, "", f"training failed: {first.partition(' Last lines of ')[0]}")
    elif not verdicts:
        yield _row(MARKS[False], run, "", NEVER_JUDGED) if failed else _row("", run, "", "no verdict was asked for")


def _row(mark: str, run: str, gate: str, text: str) -> str:
    """One row; the cells of the run are :func:`_plain` already, as they are the same in all its rows."""
    return f"| {mark} | {run} | {_plain(gate)} | {_plain(text)} |\n"


def _plain(text: str, limit: int | None = None) -> str:
    """A cell; text from recipes, questions and paths must not end it, open a tag, be a link or a picture, or call
    somebody."""
    broken = LINKS.sub(BREAK, COMMITS.sub(_parted, safe_line(text, limit)))
    return html.escape(broken).translate(MARKUP).replace(BREAK, "&#8203;")


def _parted(commit: re.Match[str]) -> str:
    return BREAK.join(commit[0][start : start + 6] for start in range(0, len(commit[0]), 6))
