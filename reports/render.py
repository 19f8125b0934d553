"""The pages of a session: one of all runs, one a run, and its questions page by page for readers without JavaScript."""

from __future__ import annotations

import base64
import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from reports import cards, files, present, skeleton, text
from reports.blocks import blocks_of
from reports.pack import parts
from reports.page import page_of
from reports.read import read_run
from reports.titles import differences
from reports.views import FLIPS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Environment

    from reports.page import Page
    from reports.views import Question

TEMPLATES = Path(__file__).parent / "templates"
STYLES = ("base.css", "report.css", "questions.css", "training.css", "print.css")
"""Joined to the one inline style sheet of every page."""

HEAD_SCRIPT = "head.js"
SCRIPTS = (
    "unpack.js",
    "address.js",
    "texts.js",
    "answers.js",
    "query.js",
    "diff.js",
    "open.js",
    "table.js",
    "export.js",
    "questions.js",
    "groups.js",
)
"""Joined to the one inline script at the end of a run's page. They share one scope."""

STATIC_QUESTIONS, STATIC_ANSWERS = 50, 200
"""How many questions, and about how many completions, stand on one page for readers without JavaScript."""


def render_session(runs: Sequence[Path], output_dir: Path) -> Path:
    """Write ``output_dir/index.html``, a page for each run directory beside it, and return the path of the first.

    The pages depend on what lies in the directories alone: the same runs give the same bytes. Each is written under
    another name and renamed, so a reader never meets half a page. One run is read at a time.
    """
    paths = [Path(path) for path in runs]
    stems = files.stems(path.name for path in paths)
    pages: list[Page] = []
    for number, (path, stem, differs) in enumerate(zip(paths, stems, differences(paths), strict=True), 1):
        page = page_of(number, read_run(path), stem, differs, records=_records(path, output_dir))
        write_run_pages(page, output_dir)
        pages.append(page.light())
        del page  # its records: the next run's take their place
    target = output_dir / "index.html"
    files.write(target, session_page(pages))
    return target


def write_run_pages(page: Page, folder: Path, home: str = "index.html") -> Path:
    """Write a run's page and the pages of its further questions; return the path of the first.

    ``home`` is where the page's top leads back to, ``""`` for nowhere.
    """
    pages = static_parts(page)
    siblings = folder / page.stem
    for number, part in enumerate(pages[1:], 2):
        files.write(siblings / question_page_name(number), questions_page(page, part, number, len(pages)))
    files.remove_stale(siblings, [question_page_name(number) for number in range(2, len(pages) + 1)])
    target = folder / f"{page.stem}.html"
    files.write(target, run_page(page, pages[0], len(pages), home))
    return target


def session_page(pages: Sequence[Page]) -> str:
    """The page of all runs as a string."""
    mark, sentence, kind = present.headline([page.run for page in pages])
    created = max((str(page.run.environment.get("created") or "") for page in pages), default="")
    return _document(
        "session.html.j2", scripted=False, pages=pages, mark=mark, sentence=sentence, kind=kind, created=created
    )


def run_page(page: Page, first: Sequence[Question], page_count: int, home: str) -> str:
    """The page of one run as a string: ``first`` of its questions as they stand, all of them packed for the script."""
    return _document(
        "page.html.j2",
        scripted=True,
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
    return _document(
        "questions-page.html.j2",
        scripted=False,
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
    return cards.earlier(page.common, "every prompt begins with these turns") if page.common else None


def _document(template: str, *, scripted: bool, **context: Any) -> str:
    """A page with its style, its scripts and a policy that allows only these."""
    style = _joined(STYLES)
    head = _joined((HEAD_SCRIPT,)) if scripted else ""
    script = _joined(SCRIPTS) if scripted else ""
    allowed = " ".join(_hash(source) for source in (head, script)) if scripted else "'none'"
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {allowed}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        environment()
        .get_template(template)
        .render(policy=policy, css=Markup(style), head_script=Markup(head), script=Markup(script), **context)
    )


@functools.cache
def _joined(names: tuple[str, ...]) -> str:
    return "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names)


def _records(path: Path, folder: Path) -> dict[str, str]:
    links = {side: path / side / "records.jsonl" for side in ("before", "after")}
    found = {side: files.relative(link, folder) for side, link in links.items() if link.is_file()}
    return {side: link for side, link in found.items() if link is not None}


@functools.cache
def environment() -> Environment:
    """The Jinja environment: escaping is on for every template, an unknown name is an error, and every printed string
    has its invisible characters made visible."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    def finalize(value: object) -> object:
        return text.visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    jinja = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    jinja.filters |= {
        "brief": present.brief,
        "bytes": present.size,
        "count": present.count,
        "folded": text.folded,
        "interval": present.interval,
        "leaves": present.leaves,
        "moment": present.moment,
        "percent": present.percent,
        "plain": present.plain,
        "seconds": present.seconds,
        "shorten": text.shorten,
        "shown": text.shown,
        "signed": present.signed,
    }
    jinja.globals |= {
        "FLIPS": FLIPS,
        "flip_words": present.flip_words,
        "held_against": present.held_against,
        "finish_words": present.FINISH_WORDS,
        "status_words": present.STATUS_WORDS,
    }
    return jinja


def _hash(source: str) -> str:
    digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    return f"'sha256-{digest}'"
