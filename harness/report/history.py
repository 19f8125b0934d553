"""Many runs over time: what each directory's small files say, grouped by recipe, with a break where runs stop being
comparable. Thousands of runs must do, so no record and no completion is read."""

from __future__ import annotations

import functools
import itertools
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.report.loose import dicts, number, string, whole
from harness.store.secrets import redact
from harness.store.stages import SIDES, STAGES

LARGEST = 4_000_000
"""Bytes of a file that is read here; a larger one is no file of ours."""

PRINTS = ("questions", "prompts", "ground truths", "graders", "decoding")
"""What two runs must share for their accuracies to be comparable."""


@dataclass(frozen=True, slots=True)
class Score:
    """An accuracy with its 95 % interval."""

    accuracy: float
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Said:
    """One verdict in words."""

    gate: str
    word: str
    passed: bool | None


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
    before: Score | None
    after: Score | None
    verdicts: tuple[Said, ...]
    failed: bool
    tokens: int
    seconds: float | None
    prints: Mapping[str, str]

    @property
    def score(self) -> Score | None:
        """What the chart shows: the accuracy after training, or of a run that only asked."""
        return self.after or self.before

    @property
    def outcome(self) -> bool | None:
        """As :attr:`harness.report.views.Run.outcome`: that there is no baseline yet leaves nothing open."""
        judged = [verdict for verdict in self.verdicts if verdict.word != "NO BASELINE"] or self.verdicts
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
    """One run from its small files. What is missing, torn or of another shape is left out."""
    environment, judged = _object(folder / "environment.json"), _object(folder / "verdicts.json")
    summaries = {stage: _object(folder / stage / "summary.json") for stage in STAGES}
    match = re.fullmatch(r"(.+)-(\d{1,18})-[0-9a-f]{12}", folder.name)
    recipe, identity = _recipe(_text(folder / "recipe.toml")), _object(folder / "identity.json")
    git, training = _table(environment, "git"), _table(identity, "training")
    times = [seconds for each in summaries.values() if (seconds := number(each.get("seconds"))) is not None]
    tokens = [number(summaries[side].get(key)) or 0 for side in SIDES for key in ("prompt_tokens", "completion_tokens")]
    return Entry(
        path=folder,
        recipe=_short(judged.get("recipe") or environment.get("recipe") or (match[1] if match else folder.name)),
        seed=whole(judged.get("seed"), environment.get("seed"), int(match[2]) if match else None),
        time=_time(environment.get("created")),
        commit=_short(git.get("commit"))[:10],
        dirty=git.get("dirty") is True,
        model=_short(_table(recipe, "model").get("name")),
        method=_short(training.get("method") or _table(recipe, "train").get("method")),
        before=_score(summaries["before"]),
        after=_score(summaries["after"]),
        verdicts=tuple(_said(row) for row in dicts(judged.get("verdicts"))[:20]),
        failed=(folder / "train" / "error.txt").exists(),
        tokens=int(sum(tokens)),
        seconds=sum(times) if times else None,
        prints=_prints(identity),
    )


def _prints(identity: Mapping[str, Any]) -> dict[str, str]:
    generation, grading = _table(identity, "generation"), _table(identity, "grading")
    if not generation and not grading:
        return {}
    rewards = grading.get("rewards")
    names = [row[0] if isinstance(row, list) and row else row for row in rewards] if isinstance(rewards, list) else []
    decoding = {key: value for key, value in _table(generation, "decoding").items() if key != "samples_per_question"}
    values = (
        generation.get("questions"),
        generation.get("prompts"),
        grading.get("ground_truths"),
        [names, grading.get("graders")],  # a reward's weight trains and does not judge
        {key: value for key, value in decoding.items() if key != "seed"},
    )
    return {name: json.dumps(value, sort_keys=True) for name, value in zip(PRINTS, values, strict=True)}


def _score(summary: Mapping[str, Any]) -> Score | None:
    accuracy = number(summary.get("accuracy"))
    if accuracy is None or not 0 <= accuracy <= 1:
        return None
    given = summary.get("interval")
    ends = [number(end) for end in given] if isinstance(given, list) and len(given) == 2 else [None, None]
    if ends[0] is None or ends[1] is None or not 0 <= ends[0] <= ends[1] <= 1:
        return Score(accuracy, None)
    return Score(accuracy, (ends[0], ends[1]))


def _said(row: Mapping[str, Any]) -> Said:
    passed = row.get("passed")
    return Said(
        _short(row.get("gate")) or "gate",
        (_short(row.get("verdict")) or "NO VERDICT").replace("_", " "),
        passed if isinstance(passed, bool) else None,
    )


def _time(value: Any) -> datetime | None:
    try:
        time = datetime.fromisoformat(value)
        time = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        return None
    return time if 1971 <= time.year <= 9000 else None  # what a chart's axis can hold, with room to either side


def _short(value: Any) -> str:
    return redact(string(value))[:200] if not isinstance(value, (dict, list)) else ""


def _table(tree: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = tree.get(key)
    return value if isinstance(value, dict) else {}


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST:
            return ""
        return path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""


def _object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(_text(path) or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


@functools.lru_cache(maxsize=512)
def _recipe(text: str) -> dict[str, Any]:
    """Runs share their recipes, and parsing one takes longer than reading it."""
    try:
        return tomllib.loads(text.replace("\r\n", "\n"))
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}
