"""Many runs over time: what each directory's small files say, grouped by recipe, with a break where runs stop being
comparable. Thousands of runs must do, so no record and no completion is read."""

from __future__ import annotations

import functools
import itertools
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.report.read import Reader, name_parts, text_of
from harness.store.records import SUMMARY, Summary
from harness.store.run_files import ENVIRONMENT, IDENTITY, TRAINED, VERDICTS, Identity, Verdict
from harness.store.secrets import redact
from harness.store.stages import ASKED, SIDES

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
    tokens: int
    seconds: float | None
    prints: Mapping[str, str]

    @property
    def score(self) -> Summary | None:
        """What the chart shows: the accuracy after training, or of a run that only asked."""
        return self.after or self.before

    @property
    def outcome(self) -> bool | None:
        """As :attr:`harness.report.views.Run.outcome`: that there is no baseline yet leaves nothing open."""
        judged = [verdict for verdict in self.verdicts if verdict.verdict != "NO_BASELINE"] or self.verdicts
        passed = [verdict.passed for verdict in judged]
        if self.failed or False in passed:
            return False
        return None if None in passed or not passed else True


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
    name, seed, _ = name_parts(folder.name)
    model, train = (_table(_recipe(text_of(folder / "recipe.toml", [])), key) for key in ("model", "train"))
    times = [each.seconds for each in (*summaries.values(), training) if each and each.seconds is not None]
    sides = [each for side in SIDES if (each := summaries[side])]
    git = environment.git if environment else None
    return Entry(
        path=folder,
        recipe=_short(told.recipe if told else name),
        seed=told.seed if told else seed,
        time=_time(environment.created) if environment else None,
        commit=_short(git["commit"])[:10] if git else "",
        dirty=bool(git and git["dirty"]),
        model=_short(str(model.get("name", ""))),
        method=_short(str(identity["training"]["method"] if identity else train.get("method", ""))),
        before=summaries["before"],
        after=summaries["after"],
        verdicts=tuple(replace(each, gate=_short(each.gate)) for each in (judged.verdicts[:20] if judged else ())),
        failed=(folder / "train" / "error.txt").exists(),
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
        grading["ground_truths"],
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
