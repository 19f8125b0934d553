"""The pages of a session: one of all runs, and one of each."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from markupsafe import Markup

from harness.report import TEMPLATES, files, groups, present, svg, tables
from harness.report.charts import charts_of
from harness.report.pack import marked_up, question_blocks
from harness.report.read import Reader, compare_runs, read_run, told_apart
from harness.report.training import TrainingPage, training_page
from harness.report.views import FLIPS
from harness.store.changes import PARTS, commit_of
from harness.store.outcome import shortfall
from harness.store.redact import visible
from harness.store.run_directory import own_folder
from harness.store.siblings import leaves
from harness.store.stages import SIDES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2 import Environment

    from harness.report.charts import Line
    from harness.report.groups import GroupsPage
    from harness.report.present import Told
    from harness.report.views import Evaluation, Question, Run
    from harness.store.run_files import Verdict

SECONDS = 5
"""After how long a page of a session that is still running loads itself again."""
FEW = 3
"""Questions that a run's overview shows."""
TABS = ("overview", "questions", "training", "groups", "rewards", "setup")


@dataclass(frozen=True, slots=True)
class Page:
    """A run ready to be shown.

    ``stem`` is the file name of the run's page without ``.html``, ``told`` its outcome, ``differs`` tells the run from
    its like in the session, ``words`` names the evaluations and ``sides`` those whose answers are shown, ``flips``
    counts questions, those lost to the baseline as ``baseline``, ``few`` are the questions that the overview shows,
    ``curve`` is the line of the training that a page of all runs shows, ``records`` links each evaluation's
    ``records.jsonl`` where a relative path leads there, and ``green`` the page of the last green run, if it has one.
    """

    run: Run
    stem: str
    told: Told
    differs: tuple[tuple[str, str], ...]
    evaluations: tuple[Evaluation, ...]
    words: Mapping[str, str]
    sides: tuple[str, ...]
    flips: Mapping[str, int]
    few: tuple[Question, ...]
    asked: int
    samples: int
    curve: Line | None
    threshold: float | None
    training: TrainingPage | None
    groups: GroupsPage | None
    distributions: list[tables.Distribution]
    records: Mapping[str, str]
    green: str

    @property
    def change(self) -> float | None:
        """After less before, as a share."""
        before, after = self.run.before, self.run.after
        there = before and after and before.accuracy is not None and after.accuracy is not None
        return after.accuracy - before.accuracy if there else None  # type: ignore[union-attr,operator]

    @property
    def baseline(self) -> float | None:
        """The accuracy of the baseline that the run is held against."""
        return self.run.baseline.accuracy if self.run.baseline else None

    @property
    def seconds(self) -> float | None:
        """What asking, training and asking again took, as far as it is known."""
        known = [stage.seconds for stage in tables.stages_of(self.run) if stage.seconds is not None]
        return sum(known) if known else None

    @property
    def tokens(self) -> int:
        """Tokens in and out."""
        return round(sum((stage.tokens_in or 0) + (stage.tokens_out or 0) for stage in tables.stages_of(self.run)))

    @property
    def tabs(self) -> list[str]:
        """The tabs that have something to show."""
        there = {"training": self.training, "groups": self.groups, "rewards": self.run.audit or self.distributions}
        return [tab for tab in TABS if there.get(tab, True)]

    def bell(self, low: float = 0.0, high: float = 1.0) -> Markup:
        """Before and after, drawn."""
        sides = [(each.name, each.accuracy, each.interval) for each in self.evaluations]
        return svg.dumbbell(sides, self.threshold, self.baseline, low, high)

    def light(self) -> Page:
        """The page without questions, steps and charts: what a page of all runs needs, in little memory."""
        training = self.run.training and replace(self.run.training, steps=self.run.training.steps[-1:])
        run = replace(self.run, questions=(), training=training)
        return replace(self, run=run, few=(), training=None, groups=None, distributions=[])


def page_of(
    run: Run,
    stem: str = "run",
    differs: Sequence[tuple[str, str]] = (),
    records: Mapping[str, str] | None = None,
    green: str = "",
    drawn: bool = True,
) -> Page:
    """The page of a run; without its charts, groups and bars unless ``drawn``: a page of all runs shows none."""
    reader = Reader(run.path)
    sampled = reader.tried(lambda: groups.scan(run.path / "train"), None) if drawn and run.versus is None else None
    run = replace(run, notes=(*run.notes, *reader.notes))
    trains = run.training is not None or run.compares or bool(run.recipe.get("train"))
    words = {"before": "before", "after": "after"} if trains else {"before": "accuracy", "after": "after"}
    if run.versus is not None:
        words = dict(run.versus.words)
    gate = run.recipe.get("gate")
    curve = charts_of(run.training.steps)[:1] if run.training else []
    asked_after = any(question.after for question in run.questions)
    return Page(
        run=run,
        stem=stem,
        told=present.outcome_told(
            run.verdicts,
            failed=bool(run.training and run.training.error),
            running=run.progress is not None,
            shortfall=None if run.versus else shortfall(run.path),
        ),
        differs=tuple(differs),
        evaluations=tuple(evaluation for evaluation in (run.before, run.after) if evaluation is not None),
        words=words,
        sides=SIDES if run.compares else ("after",) if asked_after else ("before",),
        flips=Counter([*(each.flip for each in run.questions), *("baseline" for each in run.questions if each.fell)]),
        few=_few(run),
        asked=len(run.questions),
        samples=max((len(side) for q in run.questions for side in (q.before, q.after)), default=0),
        curve=curve[0].lines[0] if curve else None,
        threshold=present.number(gate.get("min_accuracy")) if isinstance(gate, dict) else None,
        training=training_page(run, run.training, sampled) if drawn and run.training is not None else None,
        groups=None if sampled is None else groups.groups_page(sampled),
        distributions=tables.distributions_of(run, words) if drawn else [],
        records=records or {},
        green=green,
    )


def _few(run: Run) -> tuple[Question, ...]:
    """The first three questions, of which one was gained if any was."""
    answered = [question for question in run.questions if question.before or question.after]
    found = answered[:FEW]
    gained = next((question for question in answered if question.flip == "gained"), None)
    if gained is not None and gained not in found:
        found = [*found[:-1], gained]
    return tuple(found)


def render_session(runs: Sequence[Path], output_dir: Path, *, live: str = "") -> Path:
    """Write ``output_dir/index.html``, a page for each run directory beside it, and return the path of the first.

    The pages depend on what lies in the directories alone: the same runs give the same bytes. Each is written under
    another name and renamed, so a reader never meets half a page. One run is read at a time, and a page that shows
    what its directory holds is left as it is.

    Args:
        live: what the session is doing, where it is not at its end yet: the page of all runs says so and loads itself
            again every few seconds, until it is written once more without this.
    """
    own_folder(output_dir)
    paths = [Path(path) for path in runs]
    stems = files.stems(path.name for path in paths)
    named = dict(zip((path.resolve() for path in paths), stems, strict=True))
    pages: list[Page] = []
    for path, stem, differs in zip(paths, stems, told_apart(paths), strict=True):
        records = _records(path, output_dir)
        page = page_of(read_run(path), stem, differs, records, drawn=False)
        green, link = page.run.green, green_link(page.run.green, named, output_dir)
        since = files.stamp_of(green) if green else ""
        stamp = files.stamp_of(path, path.name, stem, differs, sorted(records.items()), since, link)
        if not files.is_drawn(output_dir / f"{stem}.html", stamp):
            page = page_of(page.run, stem, differs, records, link)
            files.write(output_dir / f"{stem}.html", run_page(page) + stamp)
        pages.append(page.light())
        del page  # its records: the next run's take their place
    target = output_dir / "index.html"
    files.write(target, session_page(pages, live))
    return target


def green_link(green: Path | None, stems: Mapping[Path, str], folder: Path) -> str:
    """The address of the last green run's page, ``""`` where there is none. ``stems`` are of the pages drawn now."""
    if green is None:
        return ""
    stem, (own,) = stems.get(green.resolve()), files.stems([green.name])
    if stem is None and own not in stems.values() and (folder / f"{own}.html").is_file():
        stem = own
    return f"{quote(stem)}.html" if stem else ""


def render_comparison(a: Path, b: Path, verdict: Verdict, output_dir: Path) -> Path:
    """Write the page of two runs and return its path."""
    own_folder(output_dir)
    (stem,) = files.stems([f"compare-{a.resolve().name}-{b.resolve().name}"])
    target = output_dir / f"{stem}.html"
    files.write(target, run_page(page_of(compare_runs(a, b, verdict), stem), home=""))
    return target


def session_page(pages: Sequence[Page], live: str = "") -> str:
    """The page of all runs as a string."""
    ends = [
        end for page in pages for side in page.evaluations for end in (*(side.interval or ()), side.accuracy or 0.0)
    ]
    ends += [page.baseline for page in pages if page.baseline is not None]
    environments = [page.run.environment for page in pages if page.run.environment]
    times = [page.seconds for page in pages if page.seconds is not None]
    newest = max(environments, key=lambda each: each.created, default=None)
    machine = newest and (newest.processor if newest.device == "cpu" else newest.device)
    return document(
        "index.html.j2",
        scripts=("report.js",),
        pages=pages,
        told=present.session_told([page.told for page in pages]),
        zoom=svg.zoom(ends),
        sparks=_sparks([page.curve for page in pages]),
        created=newest.created if newest else "",
        commits=list(dict.fromkeys(commit_of(each) for each in environments if each.git)),
        machine=machine or "",
        seconds=sum(times) if times else None,
        tokens=sum(page.tokens for page in pages),
        methods=tables.methods_of(page.run.methods for page in pages),
        live=live,
        refresh=SECONDS if live else 0,
    )


def _sparks(curves: Sequence[Line | None]) -> list[Markup]:
    """The curves of some runs, those of one metric on one scale."""
    known: dict[str, list[float]] = {}
    for curve in filter(None, curves):
        known.setdefault(curve.key, []).extend(each for each in svg.trailing_mean(curve.values) if each is not None)
    scales = {key: (min(values), max(values)) for key, values in known.items()}
    return [svg.spark(curve.values, *scales[curve.key]) if curve else Markup("") for curve in curves]


def run_page(page: Page, home: str = "index.html") -> str:
    """The page of one run as a string; ``home`` is where its top leads back to, ``""`` for nowhere."""
    run = page.run
    blocks = question_blocks(run, page.words, page.sides) + (page.groups.blocks if page.groups else [])
    return document(
        "run.html.j2",
        scripts=(*(("vendor/marked.js", "vendor/temml.js") if marked_up(run.questions) else ()), "report.js"),
        page=page,
        run=run,
        home=home,
        blocks=[(name, Markup(packed)) for name, packed in blocks],
        rules=present.rules(),
        refresh=0,
    )


def document(template: str, *, scripts: Sequence[str] = (), **context: Any) -> str:
    """A page with its style and scripts inline, and a Content-Security-Policy that allows these and nothing else."""
    style = _source("report.css")
    head = _source("head.js")
    sources = [_source(name) for name in scripts]
    allowed = " ".join(_hash(source) for source in (head, *sources))
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {allowed}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    marked = {"css": Markup(style), "head_script": Markup(head), "scripts": list(map(Markup, sources))}
    return environment().get_template(template).render(policy=policy, **marked, **context)


@functools.cache
def _source(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _hash(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


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
    names = (
        "brief count folded moment percent plain plural points seconds shorten shown signed typed within worst_first"
    )
    jinja.filters |= {name: getattr(present, name) for name in names.split()} | {"bytes": present.size}
    jinja.globals |= {
        "FLIPS": FLIPS,
        "FINISHES": present.FINISHES,
        "METHOD_COLUMNS": tables.COLUMNS,
        "METRICS": tables.METRICS,
        "PARTS": PARTS,
        "leaves": leaves,
        "STATUSES": present.STATUSES,
        "MARKS": present.MARKS,
        "KINDS": present.KINDS,
        **{name: getattr(tables, name) for name in ("at_k_of", "cases_of", "hacks_of", "kind_of", "stages_of")},
        **{name: getattr(present, name) for name in ("comparison", "flip_words", "form_of", "interval_told", "said")},
        **{name: getattr(present, name) for name in ("verdict_told", "verdict_figures", "verdict_statistics")},
    }
    return jinja


def _records(path: Path, folder: Path) -> dict[str, str]:
    links = {side: path / side / "records.jsonl" for side in SIDES}
    found = {side: files.relative(link, folder) for side, link in links.items() if link.is_file()}
    return {side: link for side, link in found.items() if link is not None}
