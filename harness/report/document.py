"""What every page has: one Jinja environment, its style and scripts inline, and a policy that allows no others."""

from __future__ import annotations

import base64
import functools
import hashlib
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from harness.report import TEMPLATES, audit, present, ran, text
from harness.report.at_k import METRICS, at_k_of
from harness.report.methods import COLUMNS
from harness.report.views import FLIPS
from harness.store.redact import visible

if TYPE_CHECKING:
    from jinja2 import Environment

STYLES = ("base.css", "report.css", "questions.css", "training.css", "audit.css", "print.css")
"""Joined to the one inline style sheet of a page."""


def document(
    template: str,
    *,
    head: tuple[str, ...] = (),
    scripts: tuple[str, ...] = (),
    styles: tuple[str, ...] = STYLES,
    **context: Any,
) -> str:
    """A page with its styles, its scripts (``head`` run before anything is drawn, the others at the end and in one
    scope) and a Content-Security-Policy that allows these and nothing else."""
    style, *sources = (_joined(names) for names in (styles, head, scripts))
    allowed = " ".join(_hash(source) for source in sources if source) or "'none'"
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {allowed}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    marked = {"css": Markup(style), "head_script": Markup(sources[0]), "script": Markup(sources[1])}
    return environment().get_template(template).render(policy=policy, **marked, **context)


@functools.cache
def _joined(names: tuple[str, ...]) -> str:
    return "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names)


@functools.cache
def environment() -> Environment:
    """The Jinja environment: escaping is on for every template, an unknown name is an error, and every printed string
    has its invisible characters made visible."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    def finalize(value: object) -> object:
        return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value

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
        "plural": present.plural,
        "seconds": present.seconds,
        "shorten": text.shorten,
        "shown": text.shown,
        "signed": present.signed,
        "typed": present.typed,
    }
    jinja.globals |= {
        "FLIPS": FLIPS,
        "flip_words": present.flip_words,
        "held_against": ran.held_against,
        "ran": ran.ran,
        "finish_words": present.FINISH_WORDS,
        "METHOD_COLUMNS": COLUMNS,
        "METRICS": METRICS,
        "at_k_of": at_k_of,
        "cells_of": audit.cells_of,
        "hacks_of": audit.hacks_of,
        "kind_of": audit.kind_of,
        "kinds": present.KINDS,
        "marks": present.MARKS,
        "status_words": present.STATUS_WORDS,
    }
    return jinja


def _hash(source: str) -> str:
    digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    return f"'sha256-{digest}'"
