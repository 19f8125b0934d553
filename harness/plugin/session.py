"""One object a pytest session: which recipes, which runs, and what every hook and fixture shares."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from harness.catalog import find_recipe, recipe_files
from harness.errors import HarnessError
from harness.plugin.options import get_option, get_path
from harness.plugin.progress import Progress
from harness.recipe import Recipe, parse_changes

SESSION: pytest.StashKey[Session] = pytest.StashKey()


class Session:
    """Recipes are read when tests are collected, runs are made when a test asks for them."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.strict = bool(get_option(config, "strict"))
        self.runs: dict[str, Any] = {}  # id -> harness.pipeline.Run
        self.directories: dict[str, None] = {}  # run directories that tests of this session used, in order
        self.memory: dict[str, int] = {}  # peak bytes by test module

    @cached_property
    def named(self) -> list[str]:
        """Recipes asked for by name or path."""
        return list(get_option(self.config, "recipe") or [])

    @cached_property
    def recipes(self) -> list[Recipe]:
        """The recipes of this session, overrides applied."""
        folder = get_path(self.config, "recipes-dir")
        names = self.named or sorted(recipe_files(folder))
        return [self.adjusted(find_recipe(self._located(name), folder)) for name in names]

    def _located(self, name: str) -> str:
        return str(self.config.invocation_params.dir / name) if name.endswith(".toml") else name

    def adjusted(self, recipe: Recipe) -> Recipe:
        """A recipe under this session's ``--rl-model``, ``--rl-limit`` and ``--rl-set``."""
        changes = parse_changes(get_option(self.config, "set") or [])
        if model := get_option(self.config, "model"):
            local = self.config.invocation_params.dir / model
            changes["model.name"] = str(local) if local.exists() else model
        if changes:
            recipe = recipe.override(changes)
        limit = get_option(self.config, "limit")
        return recipe if limit is None else recipe.limited(limit)

    def parameters(self, marker: pytest.Mark | None = None) -> list[tuple[Recipe, int]]:
        """(recipe, seed) pairs: of the marker's recipes where a test names its own, else of the session's."""
        recipes = self.recipes
        if marker is not None and marker.args and not self.named:
            folder = get_path(self.config, "recipes-dir")
            recipes = [self.adjusted(find_recipe(each, folder)) for each in marker.args]
        return [(recipe, seed) for recipe in recipes for seed in recipe.seeds]

    def unmet(self, recipe: Recipe) -> str | None:
        """Why this machine or this command line cannot run a recipe, or ``None``."""
        from harness.policy.device import visible_gpus
        from harness.tasks import reads_data

        asked = bool(self.named) or recipe.source is None
        if "gpu" in recipe.requires and not visible_gpus():
            return f"recipe {recipe.name} requires a GPU and none is visible"
        if get_option(self.config, "data") is not None and not asked and not reads_data(recipe.task):
            return f"recipe {recipe.name} makes its own questions; --rl-data is not for it"
        if "request" in recipe.requires and not asked and get_option(self.config, "data") is None:
            return f"recipe {recipe.name} runs when asked for: --rl-recipe {recipe.name}"
        return None

    @cached_property
    def settings(self) -> Any:
        from harness.pipeline import Settings

        data = get_option(self.config, "data")
        return Settings(
            runs_dir=get_path(self.config, "runs-dir"),
            data=None if data is None else self.config.invocation_params.dir / data,
            device=get_option(self.config, "device"),
            fresh=bool(get_option(self.config, "fresh")),
            in_process=bool(get_option(self.config, "in-process")),
            # xdist's workers are one session: what one of them makes fresh, the others use
            session=os.environ.get("PYTEST_XDIST_TESTRUNUID", f"pid-{os.getpid()}-{id(self)}"),
            announce=Progress(self.config),
        )

    def run_of(self, recipe: Recipe, seed: int) -> Any:
        """The :class:`~harness.pipeline.Run` of a parameter, one for the whole session."""
        from harness.pipeline import Run

        run = Run(recipe, seed, self.settings)
        return self.runs.setdefault(run.id, run)

    def release(self) -> None:
        for run in self.runs.values():
            run.release()


def session_of(config: pytest.Config) -> Session:
    return config.stash[SESSION]


@contextmanager
def plainly() -> Iterator[None]:
    """A user's mistake fails the test with its sentence alone, not with a traceback from inside the harness."""
    try:
        yield
    except HarnessError as error:
        message = str(error)
    else:
        return
    pytest.fail(message, pytrace=False)


def opened_directory(run: Any) -> Path | None:
    """A run's directory if some test has opened it."""
    directory: Path | None = run.__dict__.get("directory")
    return directory
