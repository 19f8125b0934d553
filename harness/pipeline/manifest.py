"""What a run directory says of what ran: the recipe, what the command line changed in it, questions, machine, and the
baseline it was held against. The report reads run directories only, so what it shows has to lie there."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from harness.recipe import load_recipe
from harness.store.errors import HarnessError, RecipeError
from harness.store.files import RecordError
from harness.store.manifest import describe
from harness.store.redact import clean_tree
from harness.store.run_directory import write_toml
from harness.store.run_files import (
    ENVIRONMENT,
    IDENTITY,
    NAME,
    OVERRIDES,
    QUESTIONS,
    Changed,
    Environment,
    Identity,
    Name,
    Overrides,
)
from harness.store.siblings import leaves

if TYPE_CHECKING:
    from harness.models.engines.chat_server import Served
    from harness.recipe import Recipe
    from harness.tasks import Question


def held_by_another(directory: Path, session: str) -> bool:
    """Whether a run directory was opened by another session than this one."""
    return ENVIRONMENT.path(directory).exists() and not opened_by(directory, session)


def opened_by(directory: Path, session: str) -> bool:
    """Whether a run directory was made by this session."""
    environment = ENVIRONMENT.fit(directory)
    return environment is not None and environment.session == session


def write_manifest(
    directory: Path,
    recipe: Recipe,
    seed: int,
    *,
    identity: Identity,
    name: Name,
    questions: Sequence[Question],
    device: str,
    served: Served | None,
    hub: dict[str, str | None],
    session: str,
) -> None:
    """The first files of a run directory; of a run that goes on, only the recipe as it is written now, what the run is
    called, and what was lost. ``hub`` are the repositories that it was made of."""
    known = ENVIRONMENT.fit(directory)
    if IDENTITY.fit(directory) is None:
        IDENTITY.write(directory, identity)
    asked = [replace(each, solution=None) for each in questions]
    if known is None or not _holds(directory, asked):
        QUESTIONS.write(directory, asked)
    if known is None:
        server = {} if served is None else served_environment(served)
        told = {**describe(device), **server, **hub}
        own = Environment(**told, recipe=recipe.name, seed=seed, session=session, key=identity["key"])
        ENVIRONMENT.write(directory, own)
    write_toml(directory / "recipe.toml", recipe_text(recipe))
    if (changed := overrides(recipe)) is not None:
        OVERRIDES.write(directory, changed)
    earlier = NAME.fit(directory)
    if name.given or not (earlier and earlier.given):
        NAME.write(directory, name)


def _holds(directory: Path, asked: list[Question]) -> bool:
    try:
        return list(QUESTIONS.read(directory)) == asked
    except RecordError:
        return False


def recipe_text(recipe: Recipe) -> str:
    """The effective recipe as TOML, without secrets."""
    text = recipe.to_toml()
    tables = tomllib.loads(text)
    shown = clean_tree(tables)
    return text if shown == tables else tomli_w.dumps(shown)


def overrides(recipe: Recipe) -> Overrides | None:
    """What differs from the recipe's file; ``None`` where the recipe came from no file, or that file can no longer be
    read."""
    if recipe.source is None:
        return None
    try:
        written = leaves(tomllib.loads(load_recipe(recipe.source).to_toml()))
    except RecipeError:
        return None
    effective = leaves(tomllib.loads(recipe.to_toml()))
    changed = [
        Changed(key, written.get(key), effective.get(key))
        for key in dict.fromkeys((*written, *effective))
        if written.get(key) != effective.get(key)
    ]
    return Overrides(short(recipe.source), str(Path.cwd()), tuple(changed))


def short(path: Path) -> str:
    """A path from the working directory on, if it lies there."""
    whole, start = path.resolve(), Path.cwd()
    return str(whole.relative_to(start) if whole.is_relative_to(start) else path)


def served_environment(served: Served) -> dict[str, Any]:
    """Rows for a reader of ``environment.json``."""
    known = {
        "device": "endpoint",
        "endpoint": served.url,
        "served_model": served.model,
        "served_root": served.root,
        "served_owned_by": served.owned_by,
        "served_created": served.created,
        "served_context_length": served.context_length,
        "weights": "unknown: the server's word is all there is, and it may serve others under the same name",
    }
    return {key: value for key, value in known.items() if value is not None}


def require_run(directory: Path) -> None:
    """Raise ``HarnessError`` where there is no run directory."""
    if not directory.is_dir():
        raise HarnessError(f"{directory}: no such run directory")
    if not ENVIRONMENT.path(directory).is_file():
        raise HarnessError(f"{directory}: not a run directory (it has no {ENVIRONMENT.name})")
