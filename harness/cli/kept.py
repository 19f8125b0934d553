"""The commands about what is kept: ``runs``, a line a run or what two of them differ in, and ``clean``."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from harness.store.changes import changes
from harness.store.clean import find, remove
from harness.store.errors import HarnessError
from harness.store.files import RecordError
from harness.store.records import RECORDS, SUMMARY, is_torn
from harness.store.run_directory import run_directories
from harness.store.run_files import ENVIRONMENT, VERDICTS, Verdict
from harness.store.siblings import differences, distinct_names, find_run, recipe_leaves
from harness.store.stages import SIDES
from harness.store.words import percent

_KINDS = {"replaced": "replaced run", "run": "whole run"}


def runs(options: argparse.Namespace) -> int:
    """A table of the runs, oldest first, or what differs between two of them."""
    if options.diff:
        _print_changes(*(find_run(word, options.runs_dir) for word in options.diff))
        return 0
    found = run_directories(options.runs_dir)
    if not found:
        raise HarnessError(f"{options.runs_dir}: no run directories; pytest suites/ makes one, or give --runs-dir")
    rows: list[tuple[str, ...]] = [("run", "date", "commit", "differs in", "before", "after", "verdict")]
    for directory, name, told in zip(found, distinct_names(found), differences(found, beyond_names=False), strict=True):
        try:
            rows.append((name, *_row(directory, ", ".join(map(str, told)) or "-")))
        except RecordError as error:  # the others are still told
            rows.append((name, str(error)))
    print(*_aligned(rows), sep="\n")
    return 0


def _row(directory: Path, differs: str) -> tuple[str, ...]:
    environment, said = ENVIRONMENT.read(directory), VERDICTS.read(directory)
    created = environment.created[:16].replace("T", " ") if environment else "-"
    commit = environment.git["commit"][:10] if environment and environment.git else "-"
    recipe_leaves(directory)  # one that is torn is told, and not taken for an empty one
    summaries = [SUMMARY.read(directory / stage) for stage in SIDES]
    for stage, summary in zip(SIDES, summaries, strict=True):
        if summary and is_torn(directory / stage):
            raise RecordError(
                f"{RECORDS.path(directory / stage)}: is torn", "run again, which asks for what is missing"
            )
    accuracies = [percent(summary.accuracy) if summary else "-" for summary in summaries]
    return created, commit, differs, *accuracies, verdict_words(said.verdicts if said else ())


def verdict_words(verdicts: Iterable[Verdict]) -> str:
    """What a run comes to: the verdicts that fail, else those that stay open, else whether it improved."""
    judged = [each for each in verdicts if each.verdict != "NO_BASELINE"]
    telling = [each for each in judged if each.holds is False] or [each for each in judged if each.holds is None]
    if telling:
        by_word = {each.verdict: [other.gate for other in telling if other.verdict == each.verdict] for each in telling}
        return "; ".join(f"{word} {', '.join(gates)}" for word, gates in by_word.items())
    words = {each.verdict for each in judged}
    return "IMPROVED" if "IMPROVED" in words else "OK" if words else "-"


def clean(options: argparse.Namespace) -> int:
    """Say what can go and what that frees; with ``--yes`` free it."""
    if options.runs and options.older_than is None and options.max_size is None:
        raise HarnessError("--runs would take every run; say which by --older-than DAYS or --max-size SIZE")
    if not options.runs_dir.is_dir():
        raise HarnessError(f"{options.runs_dir}: no such folder; give --runs-dir")
    age = None if options.older_than is None else options.older_than * 86_400
    found = find(options.runs_dir, runs=options.runs, older_than=age, max_size=options.max_size)
    for sentence in found.kept:
        print(f"stays: {sentence}")
    freed, rows = 0, []
    for piece in found.pieces:
        if options.yes and not remove(piece, options.runs_dir):
            print(f"stays: {piece.name}: somebody is at work there")
            continue
        freed += piece.size
        what = f"{len(piece.paths)} {piece.kind}" if piece.kind == "checkpoints" else _KINDS[piece.kind]
        rows.append((f"  {what}", piece.name, f"used {_date(piece.used)}", _bytes(piece.size)))
    if rows:
        print(*_aligned(rows), sep="\n")
    whole = f"{_bytes(freed)} of {_bytes(found.size)} in {options.runs_dir}"
    print(f"freed {whole}" if options.yes else f"{whole} can be freed{'; --yes frees it' if rows else ''}")
    return 0


def _date(time: float) -> str:
    return datetime.fromtimestamp(time).date().isoformat()


def _bytes(size: int) -> str:
    for unit, least in (("GB", 1e9), ("MB", 1e6)):
        if size >= least:
            return f"{size / least:.1f} {unit}"
    return f"{size / 1e3:.1f} kB"


def _print_changes(first: Path, second: Path) -> None:
    names = distinct_names((first, second))
    told = changes(first, second)
    if not told:
        print(f"{names[0]} and {names[1]}: nothing differs that is known of them")
        return
    part, rows = "", [("", "", *names)]
    for each in told:
        rows.append((each.part if each.part != part else "", each.key, each.first, each.second))
        part = each.part
    print(*_aligned(rows), sep="\n")


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The cells below one another; a row that says one thing alone takes no part in the widths."""
    full = [row for row in rows if len(row) == len(rows[0])]
    widths = [max(len(row[column]) for row in full) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows]
