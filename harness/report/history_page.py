"""``history.html``: many runs on one page, beside the pages of the runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from harness.report import files
from harness.report.document import STYLES, document
from harness.report.history import Recipe, recipes_of, run_folders
from harness.report.page import page_of
from harness.report.read import read_run
from harness.report.render import write_run_pages
from harness.store.stages import STAGES

if TYPE_CHECKING:
    from markupsafe import Markup

WIDE, NARROW = 720, 342
LEGEND = 12
"""Seeds that are named beside a chart."""


@dataclass(frozen=True, slots=True)
class Section:
    """A recipe ready to be shown; ``charts`` are for a wide and for a narrow screen, or none."""

    id: str
    recipe: Recipe
    charts: tuple[Markup, ...]
    links: dict[Path, str]


def render_history(
    runs_dir: Path, output_dir: Path, *, run_pages: bool = True, told: Callable[[str], None] = lambda text: None
) -> Path:
    """Write ``output_dir/history.html`` about every run directory in ``runs_dir`` and return its path.

    Args:
        run_pages: draw the pages of runs that have none, or one that is older than the run. Otherwise only runs with a
            page that is still true are linked.
        told: called with the name of each run whose page is drawn.
    """
    folders = run_folders(runs_dir)
    links = {}
    for folder, stem in zip(folders, files.stems(folder.name for folder in folders), strict=True):
        page = output_dir / f"{stem}.html"
        if _is_stale(page, folder):
            if not run_pages:
                continue
            told(folder.name)
            write_run_pages(page_of(1, read_run(folder), stem), output_dir, home="history.html")
        links[folder] = quote(page.name)
    target = output_dir / "history.html"
    files.write(target, history_page(recipes_of(folders), links, runs_dir.name))
    return target


def history_page(recipes: list[Recipe], links: dict[Path, str], name: str) -> str:
    """The page as a string; ``links`` are addresses of run pages by run directory."""
    from markupsafe import Markup

    from harness.report.history_chart import draw_history

    sections = []
    for index, recipe in enumerate(recipes, 1):
        widths = (WIDE, NARROW) if recipe.dated else ()
        charts = tuple(Markup(draw_history(recipe, width=width)) for width in widths)
        sections.append(Section(f"recipe{index}", recipe, charts, links))
    return document(
        "history.html.j2",
        styles=(*STYLES, "history.css"),
        scripts=("history.js",),
        sections=sections,
        runs=sum(len(recipe.entries) for recipe in recipes),
        name=name,
        LEGEND=LEGEND,
    )


def _is_stale(page: Path, folder: Path) -> bool:
    """Whether a run has something that its page cannot know of."""
    try:
        drawn = page.stat().st_mtime_ns
        newest = 0
        for place in (folder, *(folder / stage for stage in STAGES)):
            if place.is_dir():
                with os.scandir(place) as entries:
                    files = [entry.stat().st_mtime_ns for entry in entries if entry.is_file() and entry.name[:1] != "."]
                newest = max(newest, *files, 0)
        return newest > drawn
    except OSError:
        return True
