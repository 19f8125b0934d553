"""What changed between two runs: keys of the recipe, model, data, graders, versions, machine and commit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.store.run_files import ENVIRONMENT, IDENTITY, QUESTIONS, Environment, Identity
from harness.store.siblings import recipe_leaves, worded

Part = Literal["recipe", "model", "data", "graders", "versions", "machine", "commit"]


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
    sides = [dict(_facts(run)) for run in (first, second)]
    apart = _data(first, second)
    keys = dict.fromkeys((*sides[0], *sides[1]))
    found = [Change(*key, *(worded(side.get(key)) for side in sides)) for key in keys]
    order: dict[str, int] = {part: place for place, part in enumerate(Part.__args__)}  # type: ignore[attr-defined]
    told = (each for each in (*found, *apart) if each.first != each.second)
    return tuple(sorted(told, key=lambda change: order[change.part]))


def _facts(run: Path) -> Iterator[tuple[tuple[Part, str], Any]]:
    environment, identity = ENVIRONMENT.read(run), IDENTITY.read(run)
    if environment is not None:
        yield ("recipe", "recipe"), environment.recipe
        yield ("recipe", "seed"), environment.seed
    for key, value in recipe_leaves(run).items():
        if key not in ("description", "seeds", "requires"):
            yield ("recipe", key), value
    if identity is not None:
        yield from _decided(identity)
    if environment is not None:
        yield from _surroundings(environment)


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
    git = environment.git
    yield ("commit", "commit"), git and f"{git['commit'][:10]}{' and changes' if git['dirty'] else ''}"


def _data(first: Path, second: Path) -> Iterator[Change]:
    """The test questions, counted."""
    sides = [{each.id: each for each in QUESTIONS.read(run)} for run in (first, second)]
    one, two = ({key: (each.text, each.ground_truth) for key, each in side.items()} for side in sides)
    if one != two:
        alone = [_apart(one, two), _apart(two, one)]
        yield Change("data", "test questions", *(f"{len(s)}, {n} not there" for s, n in zip(sides, alone, strict=True)))
    shared = [key for key in one.keys() & two.keys() if one[key] == two[key]]
    if apart := sum(sides[0][key].prompt != sides[1][key].prompt for key in shared):
        yield Change("data", "prompts", "", f"other for {apart} of {len(shared)} questions")


def _apart(one: Mapping[str, Any], two: Mapping[str, Any]) -> int:
    return sum(two.get(key) != value for key, value in one.items())
