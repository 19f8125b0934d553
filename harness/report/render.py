"""The pages of a session: one of all runs, one a run, and its questions page by page for readers without JavaScript."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from harness.report import cards, files, present, skeleton, unchanged
from harness.report.blocks import blocks_of
from harness.report.comparison import compare_runs
from harness.report.document import document
from harness.report.methods import methods_of
from harness.report.pack import parts
from harness.report.page import page_of
from harness.report.read import read_run
from harness.report.titles import differences
from harness.store.stages import SIDES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.report.page import Page
    from harness.report.views import Question
    from harness.store.run_files import Verdict

SCRIPTS = (
    "unpack.js",
    "address.js",
    "texts.js",
    "answers.js",
    "query.js",
    "highlight.js",
    "diff.js",
    "open.js",
    "table.js",
    "export.js",
    "questions.js",
    "group-cards.js",
    "groups.js",
)
"""Of a run's page."""

STATIC_QUESTIONS, STATIC_ANSWERS = 50, 200
"""How many questions, and about how many completions, stand on one page for readers without JavaScript."""


def render_session(runs: Sequence[Path], output_dir: Path) -> Path:
    """Write ``output_dir/index.html``, a page for each run directory beside it, and return the path of the first.

    The pages depend on what lies in the directories alone: the same runs give the same bytes. Each is written under
    another name and renamed, so a reader never meets half a page. One run is read at a time, and a page that shows
    what its directory holds is left as it is.
    """
    paths = [Path(path) for path in runs]
    stems = files.stems(path.name for path in paths)
    pages: list[Page] = []
    for number, (path, stem, differs) in enumerate(zip(paths, stems, differences(paths), strict=True), 1):
        records = _records(path, output_dir)
        stamp = unchanged.stamp_of(path, path.name, number, stem, differs, records)
        page = page_of(number, read_run(path), stem, differs, records=records, drawn=False)
        siblings = [output_dir / stem / question_page_name(part) for part in range(2, len(static_parts(page)) + 1)]
        if not unchanged.is_drawn(output_dir / f"{stem}.html", stamp, siblings):
            page = page_of(number, page.run, stem, differs, records=records)
            write_run_pages(page, output_dir, stamp=stamp)
        pages.append(page.light())
        del page  # its records: the next run's take their place
    target = output_dir / "index.html"
    files.write(target, session_page(pages))
    return target


def render_comparison(a: Path, b: Path, verdict: Verdict, output_dir: Path) -> Path:
    """Write the page of two runs and return its path."""
    (stem,) = files.stems([f"compare-{a.resolve().name}-{b.resolve().name}"])
    return write_run_pages(page_of(1, compare_runs(a, b, verdict), stem), output_dir, home="")


def write_run_pages(page: Page, folder: Path, home: str = "index.html", stamp: str = "") -> Path:
    """Write a run's page and the pages of its further questions; return the path of the first.

    ``home`` is where the page's top leads back to, ``""`` for nowhere. ``stamp`` is put at its end.
    """
    pages = static_parts(page)
    siblings = folder / page.stem
    for number, part in enumerate(pages[1:], 2):
        files.write(siblings / question_page_name(number), questions_page(page, part, number, len(pages)))
    files.remove_stale(siblings, [question_page_name(number) for number in range(2, len(pages) + 1)])
    target = folder / f"{page.stem}.html"
    files.write(target, run_page(page, pages[0], len(pages), home) + stamp)
    return target


def session_page(pages: Sequence[Page]) -> str:
    """The page of all runs as a string."""
    mark, sentence, kind = present.headline([page.run for page in pages])
    methods = methods_of(page.run.methods for page in pages)
    created = max((page.run.environment.created for page in pages if page.run.environment), default="")
    return document(
        "session.html.j2", pages=pages, mark=mark, sentence=sentence, kind=kind, created=created, methods=methods
    )


def run_page(page: Page, first: Sequence[Question], page_count: int, home: str) -> str:
    """The page of one run as a string: ``first`` of its questions as they stand, all of them packed for the script."""
    return document(
        "page.html.j2",
        head=("head.js",),
        scripts=SCRIPTS,
        page=page,
        home=home,
        rows=cards.rows(first, page),
        common=_common(page),
        templates=skeleton.source(),
        blocks=[(name, words, Markup(packed)) for name, words, packed in blocks_of(page)],
        pager=_pager(page, 1, page_count, here=""),
    )


def questions_page(page: Page, part: Sequence[Question], number: int, page_count: int) -> str:
    """One of the pages that hold a run's further questions for readers without JavaScript."""
    return document(
        "questions-page.html.j2",
        page=page,
        number=number,
        page_count=page_count,
        rows=cards.rows(part, page),
        common=_common(page),
        pager=_pager(page, number, page_count, here="../"),
        back=f"../{page.stem}.html",
    )


def static_parts(page: Page) -> list[Sequence[Question]]:
    """The questions as the static pages hold them; at least one part, which may be empty."""
    sides = 2 if page.two_sided else 1
    size = max(10, min(STATIC_QUESTIONS, STATIC_ANSWERS // max(1, page.samples * sides)))
    return list(parts(page.run.questions, size)) or [()]


def question_page_name(number: int) -> str:
    """The file name of the ``number``-th page of questions, from 2 on; the first is the run's own page."""
    return f"questions-{number}.html"


def _pager(page: Page, number: int, page_count: int, here: str) -> list[tuple[str, str, bool]]:
    """``(words, href, whether it is this page)`` of the first, last and nearest pages of questions."""
    if page_count == 1:
        return []
    near = sorted({1, page_count, *range(max(1, number - 2), min(page_count, number + 2) + 1)})
    links = [(number - 1, "previous")] if number > 1 else []
    links += [(other, str(other)) for other in near]
    links += [(number + 1, "next")] if number < page_count else []
    folder = "" if here else f"{page.stem}/"
    return [
        (
            words,
            f"{here}{page.stem}.html#questions" if other == 1 else folder + question_page_name(other),
            other == number,
        )
        for other, words in links
    ]


def _common(page: Page) -> Markup | None:
    if not page.common:
        return None
    what = "this system prompt" if [turn["role"] for turn in page.common] == ["system"] else "these turns"
    return cards.earlier(page.common, f"every prompt begins with {what}")


def _records(path: Path, folder: Path) -> dict[str, str]:
    links = {side: path / side / "records.jsonl" for side in SIDES}
    found = {side: files.relative(link, folder) for side, link in links.items() if link.is_file()}
    return {side: link for side, link in found.items() if link is not None}
