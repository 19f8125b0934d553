"""What changed between two runs, or since a baseline: keys of the recipe, model, data, graders, versions, machine and
commit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from harness.store.run_files import ENVIRONMENT, IDENTITY, QUESTIONS, Environment, HeldAgainst, Identity
from harness.store.siblings import recipe_leaves, toml_leaves, worded

Part = Literal["recipe", "model", "data", "graders", "versions", "machine", "commit"]
PARTS: tuple[Part, ...] = get_args(Part)
Facts = Mapping[tuple[Part, str], Any]


@dataclass(frozen=True, slots=True)
class Change:
    """A ``key`` of a ``part`` with its values in the first run and in the second, as text."""

    part: Part
    key: str
    first: str
    second: str


def changes(first: Path, second: Path) -> tuple[Change, ...]:
    """What differs, part by part. What a recipe's keys decide is said once, as those keys.

    Raises:
        RecordError: a file of a run does not fit.
    """
    return _apart(dict(_facts(first)), dict(_facts(second)), _data(first, second))


def changes_since(held: HeldAgainst, run: Path) -> tuple[Change, ...]:
    """What differs between a baseline and a run, of what a baseline says: its recipe, some versions and its commit.

    Raises:
        RecordError: a file of the run does not fit.
    """
    recipe = _recipe(toml_leaves(held.recipe_toml))
    then: dict[tuple[Part, str], Any] = {("recipe", "recipe"): held.recipe, ("recipe", "seed"): held.seed, **recipe}
    then |= {("versions", name): version for name, version in held.versions.items()}
    then["commit", "commit"] = None if held.commit == "no commit" else held.commit[:10]
    now = {key: value for key, value in _facts(run) if key in then or (recipe and key[0] == "recipe")}
    return _apart(then, now)


def commit_of(environment: Environment | None) -> str:
    """A commit in ten digits, and whether files differed from it; ``""`` outside of a checkout."""
    git = environment.git if environment else None
    return f"{git['commit'][:10]}{' with uncommitted changes' if git['dirty'] else ''}" if git else ""


def _apart(first: Facts, second: Facts, more: Iterable[Change] = ()) -> tuple[Change, ...]:
    keys = dict.fromkeys((*first, *second))
    every = (*(Change(*key, worded(first.get(key)), worded(second.get(key))) for key in keys), *more)
    return tuple(sorted((each for each in every if each.first != each.second), key=lambda each: PARTS.index(each.part)))


def _facts(run: Path) -> Iterator[tuple[tuple[Part, str], Any]]:
    environment, identity = ENVIRONMENT.read(run, hide=True), IDENTITY.read(run, hide=True)
    if environment is not None:
        yield ("recipe", "recipe"), environment.recipe
        yield ("recipe", "seed"), environment.seed
    yield from _recipe(recipe_leaves(run)).items()
    if identity is not None:
        yield from _decided(identity)
    if environment is not None:
        yield from _surroundings(environment)


def _recipe(leaves: Mapping[str, Any]) -> Facts:
    return {("recipe", key): value for key, value in leaves.items() if key not in ("description", "seeds", "requires")}


def _decided(identity: Identity) -> Iterator[tuple[tuple[Part, str], Any]]:
    generation, grading, training = identity["generation"], identity["grading"], identity["training"]
    for key, value in generation["model"].items():
        yield ("model", key), value
    yield ("data", "training questions"), training["questions"]
    for key, value in grading["graders"].items():
        yield ("graders", key), value
    yield ("versions", "prompts"), generation["prompt"]
    yield ("versions", "scoring"), grading["scoring"]
    yield ("versions", "engine"), generation["engine"].get("version")
    yield ("machine", "device"), generation["device"]
    yield ("machine", "dtype"), generation["dtype"]


def _surroundings(environment: Environment) -> Iterator[tuple[tuple[Part, str], Any]]:
    yield ("versions", "python"), environment.python
    for key, value in environment.packages.items():
        yield ("versions", key), value
    yield ("machine", "platform"), environment.platform
    yield ("machine", "processor"), environment.processor
    yield ("commit", "commit"), commit_of(environment) or None


def _data(first: Path, second: Path) -> Iterator[Change]:
    """The test questions, counted."""
    sides = [{each.id: each for each in QUESTIONS.read(run)} for run in (first, second)]
    one, two = ({key: (each.text, each.ground_truth, each.columns) for key, each in side.items()} for side in sides)
    if one != two:
        alone = [_absent(one, two), _absent(two, one)]
        yield Change("data", "test questions", *(f"{len(s)}, {n} not there" for s, n in zip(sides, alone, strict=True)))
    shared = [key for key in one.keys() & two.keys() if one[key] == two[key]]
    if apart := sum(sides[0][key].prompt != sides[1][key].prompt for key in shared):
        yield Change("data", "prompts", "", f"other for {apart} of {len(shared)} questions")


def _absent(one: Mapping[str, Any], two: Mapping[str, Any]) -> int:
    return sum(two.get(key) != value for key, value in one.items())
