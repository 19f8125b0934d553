"""``history.html``: many runs over time, grouped by recipe, with a break where runs stop being comparable.

Thousands of runs must do, so what each directory's small files say is enough: no record and no completion is read.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from harness.report import files, svg
from harness.report.present import Told, outcome_told, percent
from harness.report.read import Reader, read_run, text_of
from harness.report.render import document, green_link, page_of, run_page
from harness.report.svg import SERIES, Scale
from harness.store.outcome import shortfall
from harness.store.records import SUMMARY, Summary
from harness.store.run_directory import own_folder
from harness.store.run_files import ENVIRONMENT, IDENTITY, TRAINED, VERDICTS, Identity, Verdict
from harness.store.secrets import redact
from harness.store.stages import ASKED, SIDES, STAGES

PRINTS = ("questions", "prompts", "ground truths", "graders", "decoding")
"""What two runs must share for their accuracies to be comparable."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One run. ``time`` is its date in UTC, if it says one; ``prints`` are hashes by :data:`PRINTS`."""

    path: Path
    recipe: str
    seed: int | None
    time: datetime | None
    commit: str
    dirty: bool
    model: str
    method: str
    before: Summary | None
    after: Summary | None
    verdicts: tuple[Verdict, ...]
    failed: bool
    shortfall: str | None
    tokens: int
    seconds: float | None
    prints: Mapping[str, str]

    @property
    def score(self) -> Summary | None:
        """What the chart shows: the accuracy after training, or of a run that only asked."""
        return self.after or self.before

    @property
    def told(self) -> Told:
        """The outcome in a mark and a word."""
        return outcome_told(self.verdicts, failed=self.failed, shortfall=self.shortfall)


@dataclass(frozen=True, slots=True)
class Break:
    """Runs from ``entry`` on are not comparable with the one before it, for what is named in ``changed``."""

    number: int
    previous: Entry
    entry: Entry
    changed: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """The runs of a recipe, oldest first; those without a date are the first."""

    name: str
    entries: tuple[Entry, ...]
    breaks: tuple[Break, ...]

    @property
    def starts(self) -> dict[Path, Break]:
        """The breaks by the directory of the first run after each."""
        return {each.entry.path: each for each in self.breaks}

    @property
    def seeds(self) -> list[int | None]:
        """The seeds in order; a run without one comes last."""
        return sorted({entry.seed for entry in self.entries}, key=lambda seed: (seed is None, seed or 0))

    @property
    def dated(self) -> list[Entry]:
        """The runs that a chart can show."""
        return [entry for entry in self.entries if entry.time is not None and entry.score is not None]


def run_folders(folder: Path) -> list[Path]:
    """The run directories in ``folder``: those that hold a run's description."""
    try:
        found = [path for path in folder.iterdir() if not path.name.startswith(".") and path.is_dir()]
    except OSError:
        return []
    marks = ("environment.json", "identity.json")
    return sorted(path for path in found if any((path / mark).is_file() for mark in marks))


def recipes_of(folders: Iterable[Path]) -> list[Recipe]:
    """The runs by recipe, the recipe that ran last first. Never raises for what lies in a directory."""
    by_name: dict[str, list[Entry]] = {}
    for folder in folders:
        entry = read_entry(folder)
        by_name.setdefault(entry.recipe, []).append(entry)
    recipes = []
    for name, entries in by_name.items():
        ordered = tuple(sorted(entries, key=_moment))
        recipes.append(Recipe(name, ordered, tuple(_breaks(ordered))))
    return sorted(recipes, key=lambda recipe: (_moment(recipe.entries[-1]), recipe.name), reverse=True)


def _moment(entry: Entry) -> tuple[datetime, str]:
    return entry.time or datetime.min.replace(tzinfo=UTC), entry.path.name


def _breaks(entries: Sequence[Entry]) -> Iterable[Break]:
    scored = [entry for entry in entries if entry.score is not None]
    count = 0
    for previous, entry in itertools.pairwise(scored):
        if changed := what_changed(previous.prints, entry.prints):
            count += 1
            yield Break(count, previous, entry, changed)


def what_changed(first: Mapping[str, str], second: Mapping[str, str]) -> str:
    """Why two runs cannot be compared, in words; ``""`` where they can."""
    if not first or not second:
        return "unknown: identity.json is missing or torn" if first != second else ""
    names = [name for name in PRINTS if first.get(name) != second.get(name)]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def read_entry(folder: Path) -> Entry:
    """One run from its small files. What is missing, or does not fit, is left out: the run's own page says so."""
    reader = Reader(folder, hide=False)
    environment, judged, identity = reader.file(ENVIRONMENT), reader.file(VERDICTS), reader.file(IDENTITY)
    summaries, training = {stage: reader.file(SUMMARY, stage) for stage in ASKED}, reader.file(TRAINED, "train")
    told = judged or environment
    model, train = (_table(_recipe(text_of(folder / "recipe.toml", [])), key) for key in ("model", "train"))
    times = [each.seconds for each in (*summaries.values(), training) if each and each.seconds is not None]
    sides = [each for side in SIDES if (each := summaries[side])]
    git = environment.git if environment else None
    return Entry(
        path=folder,
        recipe=_short(told.recipe if told else folder.name),
        seed=told.seed if told else None,
        time=_time(environment.created) if environment else None,
        commit=_short(git["commit"])[:10] if git else "",
        dirty=bool(git and git["dirty"]),
        model=_short(str(model.get("name", ""))),
        method=_short(str(identity["training"]["method"] if identity else train.get("method", ""))),
        before=summaries["before"],
        after=summaries["after"],
        verdicts=tuple(replace(each, gate=_short(each.gate)) for each in (judged.verdicts[:20] if judged else ())),
        failed=(folder / "train" / "error.txt").exists(),
        shortfall=shortfall(folder),
        tokens=sum(each.prompt_tokens + each.completion_tokens for each in sides),
        seconds=sum(times) if times else None,
        prints={} if identity is None else _prints(identity),
    )


def _prints(identity: Identity) -> dict[str, str]:
    generation, grading = identity["generation"], identity["grading"]
    left_out = ("samples_per_question", "seed")
    values = (
        generation["questions"],
        generation["prompts"],
        [grading["ground_truths"], grading.get("columns")],
        [[name for name, _ in grading["rewards"]], grading["graders"]],  # a reward's weight trains and does not judge
        {key: value for key, value in generation["decoding"].items() if key not in left_out},
    )
    return {name: json.dumps(value, sort_keys=True) for name, value in zip(PRINTS, values, strict=True)}


def _time(value: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(value)
        time = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return time if 1971 <= time.year <= 9000 else None  # what a chart's axis can hold, with room to either side


def _short(text: str) -> str:
    return redact(text)[:200]


def _table(tree: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = tree.get(key)
    return value if isinstance(value, dict) else {}


@functools.lru_cache(maxsize=512)
def _recipe(text: str) -> dict[str, Any]:
    """Runs share their recipes, and parsing one takes longer than reading it."""
    try:
        return tomllib.loads(text.replace("\r\n", "\n"))
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


# The page

SIZES = ((1000, 230), (360, 200))
"""Of a chart, for a wide and for a narrow screen."""
LEGEND = 12
"""Seeds that are named beside a chart."""
_MOMENTS = (
    *(timedelta(minutes=each) for each in (5, 15, 30, 60, 180, 360, 720)),
    *(timedelta(days=each) for each in (1, 2, 7, 14, 30, 91, 182, 365, 1826, 36525)),
)


def render_history(
    runs_dir: Path, output_dir: Path, *, run_pages: bool = True, told: Callable[[str], None] = lambda text: None
) -> Path:
    """Write ``output_dir/history.html`` about every run directory in ``runs_dir`` and return its path.

    Args:
        run_pages: draw the pages of runs that have none, or one that is older than the run. Otherwise only runs with a
            page that is still true are linked.
        told: called with the name of each run whose page is drawn.
    """
    own_folder(output_dir)
    folders = run_folders(runs_dir)
    links = {}
    stems = dict(zip(folders, files.stems(folder.name for folder in folders), strict=True))
    named = {folder.resolve(): stem for folder, stem in stems.items()}
    for folder, stem in stems.items():
        page = output_dir / f"{stem}.html"
        if _is_stale(page, folder):
            if not run_pages:
                continue
            told(folder.name)
            run = read_run(folder)
            green = green_link(run.green, named, output_dir)
            files.write(page, run_page(page_of(run, stem, green=green), home="history.html"))
        links[folder] = quote(page.name)
    target = output_dir / "history.html"
    files.write(target, history_page(recipes_of(folders), links, runs_dir.name))
    return target


def history_page(recipes: Sequence[Recipe], links: Mapping[Path, str], name: str) -> str:
    """The page as a string; ``links`` are addresses of run pages by run directory."""
    charts = [[draw_history(recipe, *size) for size in SIZES] if recipe.dated else [] for recipe in recipes]
    return document(
        "history.html.j2",
        scripts=("report.js",),
        sections=list(zip(recipes, charts, strict=True)),
        links=links,
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
                    times = [entry.stat().st_mtime_ns for entry in entries if entry.is_file() and entry.name[:1] != "."]
                newest = max(newest, *times, 0)
        return newest > drawn
    except OSError:
        return True


def draw_history(recipe: Recipe, width: int, height: int) -> Markup:
    """The recipe's dated runs: a line a seed, broken where runs stop being comparable; one run at least."""
    entries = recipe.dated
    moments = [entry.time.timestamp() for entry in entries if entry.time]
    spare = (max(moments) - min(moments)) * 0.03 or 3600
    across = Scale(min(moments) - spare, max(moments) + spare, 44, width - 10)
    low, high = _range(entries)
    along = Scale(low, high, height - 22, 16)
    out = []
    for tick in svg.nice(low, high, 4):
        out.append(f'<path class="grid" d="M44,{along(tick)}H{width - 10}"/>')
        out.append(f'<text x="38" y="{along(tick) + 4}" text-anchor="end">{percent(tick)}</text>')
    for moment, words in _dates(across, 4 if width < 500 else 8):
        out.append(f'<text x="{across(moment)}" y="{height - 6}" text-anchor="middle">{words}</text>')
    out += _breaks_drawn(recipe, across, height)
    for entry in entries:
        if entry.after and entry.before and entry.time:
            x = across(entry.time.timestamp())
            out.append(f'<path class="s5 thin" d="M{x - 3.5},{along(entry.before.accuracy)}h7"/>')
    for index, seed in enumerate(recipe.seeds):
        for stretch in _stretches(recipe, [entry for entry in entries if entry.seed == seed]):
            out += _series(stretch, f"s{index % SERIES}", across, along)
    head = f'<svg class="plot" viewBox="0 0 {width} {height}" aria-hidden="true" focusable="false">'
    return Markup(f"{head}{''.join(out)}</svg>")


def _range(entries: Sequence[Entry]) -> tuple[float, float]:
    """The accuracies with their intervals, at least 20 points, so that noise looks as small as it is."""
    scores = [score for entry in entries for score in (entry.before, entry.after) if score is not None]
    ends = [end for score in scores for end in (*score.interval, score.accuracy)]
    low, high = min(ends), max(ends)
    short = max(0.0, 0.2 - (high - low)) / 2
    low, high = low - short, high + short
    shift = -low if low < 0 else min(0.0, 1 - high)
    return max(0.0, low + shift), min(1.0, high + shift)


def _dates(across: Scale, most: int) -> Iterable[tuple[float, str]]:
    """Round moments in the range, and how they are called."""
    rough = (across.high - across.low) / most
    step = next((each for each in _MOMENTS if each.total_seconds() >= rough), _MOMENTS[-1]).total_seconds()
    shape = "%H:%M" if step < 86_400 else "%Y-%m-%d" if step < 27 * 86_400 else "%Y-%m"
    start = across.low - across.low % step + step
    for place in range(most + 1):
        if (moment := start + place * step) < across.high - 0.02 * (across.high - across.low):
            yield moment, f"{datetime.fromtimestamp(moment, UTC):{shape}}"


def _stretches(recipe: Recipe, entries: Sequence[Entry]) -> list[list[Entry]]:
    """A seed's runs, apart where any run of the recipe stopped being comparable."""
    era, eras, starts = 0, {}, {each.entry.path for each in recipe.breaks}
    for entry in recipe.entries:
        era += entry.path in starts
        eras[entry.path] = era
    return [list(group) for _, group in itertools.groupby(entries, lambda entry: eras[entry.path])]


def _series(entries: Sequence[Entry], colour: str, across: Scale, along: Scale) -> list[str]:
    """A round mark passed, a hollow diamond is undecided, a cross failed: shapes, not colours alone."""
    places = [
        (across(entry.time.timestamp()), along(entry.score.accuracy), entry)
        for entry in entries
        if entry.time and entry.score
    ]
    out = [f'<path class="{colour}" d="M{"L".join(f"{x},{y}" for x, y, _ in places)}"/>'] if len(places) > 1 else []
    for x, y, entry in places:
        low, high = entry.score.interval if entry.score else (0.0, 0.0)
        out.append(f'<path class="{colour} thin" d="M{x},{along(low)}V{along(high)}"/>')
        if entry.told.kind == "bad":
            out.append(f'<path class="cross" d="M{x},{y}m-4,-4l8,8m0,-8l-8,8"/>')
        elif entry.told.kind != "good":
            out.append(f'<path class="{colour} open" d="M{x},{y}m0,-4.5l4.5,4.5l-4.5,4.5l-4.5,-4.5z"/>')
        else:
            out.append(f'<path class="{colour} dot" d="M{x},{y}h0"/>')
    return out


def _breaks_drawn(recipe: Recipe, across: Scale, height: int) -> Iterable[str]:
    labelled = -1e9
    for each in recipe.breaks:
        if each.previous.time is None or each.entry.time is None:
            continue
        x = across((each.previous.time.timestamp() + each.entry.time.timestamp()) / 2)
        yield f'<path class="at warning" d="M{x},{height - 22}V14"/>'
        if x - labelled > 14:  # a number that would stand on another is told by the list alone
            yield f'<text x="{x}" y="11" text-anchor="middle">{each.number}</text>'
            labelled = x
