"""One self-contained HTML page for a session of runs."""

from __future__ import annotations

import base64
import functools
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from reports import present, text
from reports.page import page_of
from reports.read import read_run
from reports.views import FLIPS, Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
STYLES = ("report.css", "audit.css")


def render_session(runs: Sequence[Path], output_dir: Path) -> Path:
    """Write ``output_dir/index.html`` from the run directories and return its path.

    The page depends on what lies in the directories alone: the same runs give the same bytes. It is written under
    another name and renamed, so a reader never meets half a page.
    """
    page = session_page([read_run(Path(path)) for path in runs])
    output_dir.mkdir(parents=True, exist_ok=True)
    target = output_dir / "index.html"
    unfinished = output_dir / f".index.html.{os.getpid()}.tmp"
    try:
        unfinished.write_bytes(page.encode("utf-8", "replace"))
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return target


def session_page(runs: Sequence[Run]) -> str:
    """The page of already read runs as a string."""
    from markupsafe import Markup

    css = "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in STYLES)
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; style-src {_hash(css)}; script-src {_hash(script)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    mark, sentence, kind = present.headline(runs)
    return (
        environment()
        .get_template("session.html.j2")
        .render(
            policy=policy,
            css=Markup(css),
            script=Markup(script),
            mark=mark,
            sentence=sentence,
            kind=kind,
            created=max((str(run.environment.get("created") or "") for run in runs), default=""),
            pages=[page_of(index, run) for index, run in enumerate(runs, 1)],
        )
    )


@functools.cache
def environment() -> Environment:
    """The Jinja environment: escaping is on for every template, an unknown name is an error, and every printed string
    has its invisible characters made visible."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

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
        "side": present.side,
    }
    jinja.globals |= {
        "KINDS": present.KINDS,
        "MARKS": present.MARKS,
        "STATUS_WORDS": present.STATUS_WORDS,
        "FINISH_WORDS": present.FINISH_WORDS,
        "GRADER_WORDS": present.GRADER_WORDS,
        "FLIPS": FLIPS,
        "flip_words": present.flip_words,
    }
    return jinja


def _hash(source: str) -> str:
    digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    return f"'sha256-{digest}'"
