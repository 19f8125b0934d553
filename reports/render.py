"""One self-contained HTML page for a session of runs."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports import present, ran, text
from reports.comparison import compare_runs
from reports.page import page_of
from reports.read import read_run
from reports.shell import TEMPLATES, joined, policy_of, write_page
from reports.views import FLIPS, Run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2 import Environment

STYLES = ("report.css", "training.css")
SCRIPTS = ("unpack.js", "report.js", "groups.js")


def render_session(runs: Sequence[Path], output_dir: Path) -> Path:
    """Write ``output_dir/index.html`` from the run directories and return its path.

    The page depends on what lies in the directories alone: the same runs give the same bytes. It is written under
    another name and renamed, so a reader never meets half a page.
    """
    return write_page(output_dir / "index.html", session_page([read_run(Path(path)) for path in runs]))


def render_comparison(a: Path, b: Path, verdict: Mapping[str, Any], output_dir: Path) -> Path:
    """Write the page of two runs and return its path; ``verdict`` is one as in ``verdicts.json``."""
    target = output_dir / f"compare-{a.resolve().name}-{b.resolve().name}.html"
    return write_page(target, session_page([compare_runs(a, b, verdict)]))


def session_page(runs: Sequence[Run]) -> str:
    """The page of already read runs as a string."""
    from markupsafe import Markup

    css, script = joined(STYLES), joined(SCRIPTS)
    mark, sentence, kind = present.headline(runs)
    return (
        environment()
        .get_template("session.html.j2")
        .render(
            policy=policy_of(css, script),
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
        "signed": present.signed,
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
        "held_against": ran.held_against,
        "ran": ran.ran,
    }
    return jinja
