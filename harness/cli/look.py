"""``rl-harness runs``, ``report``, ``history``, ``methods`` and ``recipes``, which read what is there.
None needs torch."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from harness.store.errors import HarnessError
from harness.store.run_directory import read_json, run_directories
from harness.store.stages import SIDES

NEEDS = {"gpu": "requires a GPU", "request": "runs when asked for by name"}  # the words of [requires]


def runs(options: argparse.Namespace) -> int:
    """One line a run directory, oldest first: date, accuracy before and after, verdicts."""
    from harness.gate.wording import percent

    found = run_directories(options.runs_dir)
    if not found:
        raise HarnessError(f"{options.runs_dir}: no run directories; pytest suites/ makes one, or give --runs-dir")
    width = max(len(directory.name) for directory in found)
    for directory in found:
        created = str((read_json(directory / "environment.json") or {}).get("created", ""))[:16].replace("T", " ")
        accuracies = [
            percent(summary["accuracy"]) if (summary := read_json(directory / stage / "summary.json")) else "-"
            for stage in SIDES
        ]
        verdicts = (read_json(directory / "verdicts.json") or {}).get("verdicts", [])
        words = ", ".join(f"{each['gate']} {each['verdict']}" for each in verdicts) or "no verdict"
        print(f"{directory.name:<{width}}  {created}  {' -> '.join(accuracies):<18}  {words}")
    return 0


def report(options: argparse.Namespace) -> int:
    """Draw the report again from run directories."""
    for directory in options.runs:
        require_run(directory)
    render(options.runs, options.report_dir)
    return 0


def history(options: argparse.Namespace) -> int:
    """Draw the history of all runs in a folder, and the pages of those runs that have none or an old one."""
    from harness.cli.progress import Progress
    from harness.report.history_page import render_history

    folder: Path = options.runs_dir
    if not folder.is_dir():
        raise HarnessError(f"{folder}: no such folder; pytest suites/ makes rl-runs, or name another")
    if not run_directories(folder):
        raise HarnessError(
            f"{folder}: no run directories; give the folder that holds them, as in rl-harness history rl-runs"
        )
    try:
        with Progress() as progress:
            page = render_history(
                folder,
                options.report_dir,
                run_pages=not options.no_run_pages,
                told=lambda name: progress("history", f"drawing {name}"),
            )
    except OSError as error:
        where = options.report_dir
        raise HarnessError(f"{where}: the history cannot be written ({error}); choose another --report-dir") from None
    print(f"history: {page}")
    return 0


def methods(options: argparse.Namespace) -> int:
    """The table of methods from finished runs: accuracy, what it cost, and every pair on the same questions."""
    from harness.pipeline.methods import compare_methods

    for directory in options.runs:
        require_run(directory)
    print(*compare_methods(options.runs, alpha=options.alpha).lines(), sep="\n")
    return 0


def recipes(options: argparse.Namespace) -> int:
    """One line a recipe."""
    from harness.recipe.catalog import find_recipe, recipe_files

    for name in recipe_files(options.recipes_dir):
        recipe = find_recipe(name, options.recipes_dir)
        needs = "".join(f" ({NEEDS[each]})" for each in recipe.requires)
        print(f"{name}{needs}: {recipe.description}")
    return 0


def require_run(directory: Path) -> None:
    """Raise ``HarnessError`` where there is no run directory."""
    if not directory.is_dir():
        raise HarnessError(f"{directory}: no such run directory")
    if not (directory / "environment.json").is_file():
        raise HarnessError(f"{directory}: not a run directory (it has no environment.json)")


def render(directories: Sequence[Path], folder: Path) -> None:
    """Write the report and say where it is."""
    from harness.report.render import render_session

    try:
        page = render_session(directories, folder)
    except OSError as error:
        raise HarnessError(f"{folder}: the report cannot be written ({error}); choose another --report-dir") from None
    print(f"report: {page}")
