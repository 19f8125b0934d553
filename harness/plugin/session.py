"""One object a pytest session: which recipes, which runs, and what every hook and fixture shares.

This module is imported by every pytest that has the plugin installed, so it imports nothing that costs time; recipes
bring pydantic, and the pipeline the rest, when they are first needed.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import pytest

from harness.plugin.live import Live
from harness.plugin.options import CHOICES, get_option, get_path, located
from harness.plugin.progress import Progress
from harness.store.errors import HarnessError, RecipeError

if TYPE_CHECKING:
    from pathlib import Path

    from harness.pipeline.run import Run
    from harness.pipeline.settings import Settings
    from harness.recipe import Recipe

SESSION: pytest.StashKey[Session] = pytest.StashKey()
TRAINING = frozenset({"trained", "after", "verdicts", "methods", "rl_runs"})  # fixtures for which a policy is trained
MODEL = TRAINING | {"policy", "before"}  # for which a model is loaded
NEED_WEIGHTS = TRAINING - {"rl_runs"} | {"policy"}  # what a model that is served elsewhere cannot give
QUESTIONS = MODEL | {"questions", "audit"}  # for which questions are read


class Unmet(NamedTuple):
    """Why a test cannot run with a recipe here: in a word, by which recipes are counted, and in a sentence."""

    kind: str
    reason: str


class Session:
    """Recipes are read when tests are collected, runs are made when a test asks for them."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.progress = Progress(config)
        self.runs: list[Run] = []
        self.gated: list[tuple[Recipe, int]] = []  # what gates judge, known when tests are collected
        self.gates = 1  # how many of them share alpha
        self.left_out: dict[str, Unmet] = {}  # recipes of tests that are not run here
        self.nothing: str | None = None  # why no test was left to run, where no recipe is the reason
        self.mistakes: set[str] = set()  # of recipes and options, told when tests are collected
        self._told: set[str] = set()
        self._looked: list[tuple[Recipe, list[bool]]] = []  # what was found to have all that such tests need

    @property
    def concerned(self) -> bool:
        """Whether the session has anything to do with recipes: a test asked for one, or they were looked for."""
        return bool(self.runs or self.mistakes or "recipes" in self.__dict__)

    @cached_property
    def live(self) -> Live:
        return Live(get_path(self.config, "report-dir"))

    @cached_property
    def strict(self) -> bool:
        return bool(get_option(self.config, "strict"))

    @cached_property
    def named(self) -> list[str]:
        """Recipes asked for by name or path."""
        return list(get_option(self.config, "recipe") or [])

    @cached_property
    def data(self) -> Path | None:
        """Where the questions lie that stand in for those of recipes that read some."""
        given = get_option(self.config, "data")
        return None if given is None else located(self.config, "data", given)

    @cached_property
    def recipes(self) -> list[Recipe]:
        """The recipes of this session, overrides applied: those named, or the project's own, or the shipped ones."""
        from harness.recipe.catalog import find_recipe, recipe_files

        folder = get_path(self.config, "recipes-dir")
        names = self.named or sorted(path.stem for path in folder.glob("*.toml")) or sorted(recipe_files())
        return [each for name in names for each in self.adjusted(find_recipe(self._located(name), folder))]

    def _located(self, name: str) -> str:
        return str(located(self.config, "recipe", name)) if name.endswith(".toml") else name

    def adjusted(self, recipe: Recipe) -> list[Recipe]:
        """A recipe under ``--rl-endpoint``, ``--rl-model``, ``--rl-limit``, ``--rl-nproc`` and ``--rl-set``: several
        where a key is given several values."""
        from harness.pipeline.naming import check_name, check_sweep
        from harness.recipe import parse_changes, sweep
        from harness.recipe.checks import of_endpoint

        if (name := get_option(self.config, "name")) is not None:
            check_name(name)
        changes = parse_changes(get_option(self.config, "set") or [])
        if endpoint := get_option(self.config, "endpoint"):
            served = get_option(self.config, "model") or ""
            changes = {"engine": of_endpoint(recipe.engine), **changes}
            changes |= {"model.endpoint": endpoint, "model.name": served, "model.from_recipe": None}
        elif model := get_option(self.config, "model"):
            local = located(self.config, "model", model)
            changes["model.name"] = str(local) if model != "tiny" and local.exists() else model
            changes["model.from_recipe"] = None  # that model takes the place of what another recipe trains
        if (processes := get_option(self.config, "nproc")) is not None:
            changes["launch.nproc_per_node"] = processes
        made, limit = sweep(recipe, changes, self.given), get_option(self.config, "limit")
        check_sweep(made, records=bool(get_option(self.config, "update-baselines")))
        return made if limit is None else [each.limited(limit) for each in made]

    @property
    def given(self) -> list[str]:
        """The options that change recipes, as they are written."""
        assignments = [f"--rl-set {assignment}" for assignment in get_option(self.config, "set") or []]
        others = [(name, get_option(self.config, name)) for name in ("endpoint", "model", "nproc")]
        return assignments + [f"--rl-{name} {value}" for name, value in others if value not in (None, "")]

    def parameters(
        self, marker: pytest.Mark | None = None, method: pytest.Mark | None = None
    ) -> list[tuple[Recipe, int]]:
        """(recipe, seed) pairs: of the marker's recipes where a test names its own, else of the session's.

        ``method`` leaves those that train by it.
        """
        from harness.recipe.catalog import find_recipe

        for name in CHOICES:
            get_option(self.config, name)  # a bad value in the ini file is said now
        if marker is not None and marker.args and not self.named:
            folder = get_path(self.config, "recipes-dir")
            recipes = [recipe for each in marker.args for recipe in self.adjusted(find_recipe(each, folder))]
        else:
            recipes = self.recipes
        kept = [recipe for recipe in recipes if method is None or recipe.train.method in method.args]
        return [(recipe, seed) for recipe in kept for seed in recipe.seeds]

    def mistaken(self, message: str) -> bool:
        """Whether a mistake was not told yet: one in a recipe is found anew for every file that has tests of it."""
        new = message not in self.mistakes
        self.mistakes.add(message)
        return new

    def groups(self, marker: pytest.Mark | None = None) -> list[tuple[tuple[Recipe, int], ...]]:
        """(recipe, seed) pairs of recipes that differ in their method alone: same model, task, rewards, evaluation and
        seeds, and at least two methods. What this machine cannot run is left out."""
        found: dict[str, list[tuple[Recipe, int]]] = {}
        for recipe, seed in self.parameters(marker):
            if not self.unmet(recipe):
                same = recipe.model_dump_json(include={"model", "task", "rewards", "evaluate", "seeds"})
                found.setdefault(same, []).append((recipe, seed))
        return [tuple(group) for group in found.values() if len({recipe.train.method for recipe, _ in group}) > 1]

    def known(self) -> set[tuple[str, int]]:
        """Name and seed of every recipe that there is, whether or not this session runs it."""
        from harness.recipe.catalog import find_recipe, recipe_files

        folder = get_path(self.config, "recipes-dir")
        recipes = [*self.recipes, *(find_recipe(name, folder) for name in recipe_files(folder))]
        return {(recipe.name, seed) for recipe in recipes for seed in recipe.seeds}

    def unmet(self, recipe: Recipe) -> Unmet | None:
        """Why this machine or this command line cannot run a recipe, or ``None``."""
        from harness.models.device import choose_device
        from harness.tasks import reads_data

        asked = bool(self.named) or recipe.source is None
        device = get_option(self.config, "device")
        if "gpu" in recipe.requires and recipe.model.endpoint is None and not (self.named and device == "cpu"):
            from harness.pipeline.plan import requires_gpu

            try:
                if choose_device(device) == "cpu":
                    none = "and this is to run on the CPU" if device == "cpu" else "and none is visible"
                    return Unmet("GPU", requires_gpu(recipe, none, options="--rl-" if self.named else None))
            except HarnessError as error:
                return Unmet("GPU", requires_gpu(recipe, f"and {error}"))
        if (
            self.data is not None
            and not reads_data(recipe.task)
            and (not asked or (self.named and any(reads_data(each.task) for each in self.recipes)))
        ):
            return Unmet("own questions", f"recipe {recipe.name} makes its own questions; --rl-data is not for it")
        if "request" in recipe.requires and not asked and self.data is None:
            asked_as = f"--rl-recipe {self._asked_as(recipe)}"
            return Unmet("on request", f"recipe {recipe.name} runs when asked for: {asked_as}")
        return None

    def check_needs(self, recipe: Recipe, fixtures: Collection[str]) -> None:
        """Raise ``RecipeError`` where a test with these fixtures needs what is not there, of a recipe that this
        machine can run."""
        from harness.recipe.needs import check_data, check_needs
        from harness.tasks import reads_data

        if self.unmet(recipe):
            return
        asked = [not each.isdisjoint(fixtures) for each in (QUESTIONS, MODEL, TRAINING)]
        if (recipe, asked) in self._looked:
            return
        questions, model, trains = asked
        check_needs(
            recipe,
            data=self.data,
            questions=questions,
            model=model,
            trains=trains,
            reads=not get_option(self.config, "plan"),  # a plan says it recipe by recipe
            given=self.given,
        )
        # Data named in the ini file, or beside a suite's own recipes, is for those that read it.
        if reads_data(recipe.task) or (self.named and self.config.getoption("rl_data") is not None):
            check_data(recipe, self.data, "--rl-data")
        self._looked.append((recipe, asked))

    def _asked_as(self, recipe: Recipe) -> str:
        """What a user writes for a recipe: its name, or its file where that lies beside tests that name it."""
        from harness.recipe.catalog import recipe_files

        if (
            recipe.source is None
            or recipe_files(get_path(self.config, "recipes-dir")).get(recipe.name) == recipe.source
        ):
            return recipe.name
        return os.path.relpath(recipe.source, self.config.invocation_params.dir)

    def untrainable(self, recipe: Recipe, fixtures: Collection[str]) -> Unmet | None:
        """Why a test with these fixtures cannot run with a recipe whose model is served elsewhere, or ``None``.

        Raises:
            RecipeError: for a recipe that was asked for: a session that skips all of it would look well.
        """
        from harness.pipeline.loaded import refusal

        if recipe.model.endpoint is None or not NEED_WEIGHTS & set(fixtures):
            return None
        if self.named or get_option(self.config, "endpoint"):
            raise RecipeError(refusal(recipe))
        return Unmet("served elsewhere", refusal(recipe))

    def plan_gates(self, gated: list[tuple[Recipe, int]]) -> None:
        """Count the gates of these (recipe, seed) pairs, which share alpha."""
        self.gated = gated
        if not gated:
            return
        from harness.pipeline.judge import count_gates

        folder = get_path(self.config, "baselines-dir")
        self.gates = max(1, sum(count_gates(recipe, seed, folder) for recipe, seed in gated))

    @cached_property
    def warnings(self) -> list[str]:
        """A line for each gate that its questions may not be enough for. It warns: they are asked all the same."""
        if not self.gated:
            return []
        from harness.pipeline.baselines import is_recorded
        from harness.pipeline.judge import plans
        from harness.pipeline.naming import run_name

        folder, update = get_path(self.config, "baselines-dir"), get_option(self.config, "update-baselines")
        return [
            f"{run_name(recipe, seed, self.name_given(recipe)).name}, {gate} gate: {planned.sentence}"
            for recipe, seed in self.gated
            for gate, planned in plans(recipe, seed, folder, self.gates).items()
            if not planned.enough
            and not (gate == "baseline" and is_recorded(folder, recipe.name, seed, update))  # it says so itself
        ]

    @cached_property
    def settings(self) -> Settings:
        from harness.pipeline.settings import Settings

        return Settings(
            runs_dir=get_path(self.config, "runs-dir"),
            data=self.data,
            device=get_option(self.config, "device"),
            announce=self._announce,
            say=self.progress.say,
            fresh=bool(get_option(self.config, "fresh")),
            in_process=bool(get_option(self.config, "in-process")),
            stop_early=bool(get_option(self.config, "stop-early")),
            baselines_dir=get_path(self.config, "baselines-dir"),
            update=get_option(self.config, "update-baselines"),
            allow_dirty=bool(get_option(self.config, "allow-dirty")),
            gates=self.gates,
            # xdist's workers are one session: what one of them makes fresh, the others use
            session=os.environ.get("PYTEST_XDIST_TESTRUNUID", f"pid-{os.getpid()}-{id(self)}"),
        )

    def _announce(self, stage: str, text: str, share: float | None) -> None:
        self.progress(stage, text, share)
        if not hasattr(self.config, "workerinput"):  # of xdist's processes the one with the terminal draws
            self.live([run.opened for run in self.runs if run.opened], f"{stage}: {text}")

    def find_run(self, recipe: Recipe, seed: int) -> Run | None:
        """The run of a parameter if a test asked for it. Recipes of one name may differ: they are compared whole."""
        return next((run for run in self.runs if run.seed == seed and run.recipe == recipe), None)

    def name_given(self, recipe: Recipe) -> str | None:
        """``--rl-name``, with the recipe's own where the session has several."""
        given = get_option(self.config, "name")
        return f"{given} {recipe.name}" if given and len({each.name for each in self.recipes}) > 1 else given

    def run_of(self, recipe: Recipe, seed: int) -> Run:
        """The ``Run`` of a parameter, one for the whole session."""
        from harness.pipeline.run import Run

        run = self.find_run(recipe, seed)
        if run is None:
            run = Run(recipe, seed, replace(self.settings, name=self.name_given(recipe)))
            self.runs.append(run)
        return run

    @contextmanager
    def plainly(self) -> Iterator[None]:
        """A user's mistake fails the test with its sentence alone, not with a traceback from inside the harness.

        What took several lines to say (the log of a training job) is said once a session, and then by its first line.
        """
        try:
            yield
        except HarnessError as error:
            message = str(error)
            first, *rest = message.splitlines() or [""]
            again = bool(rest) and message in self._told
            self._told.add(message)
            text = f"{first} (shown above)" if again else message
            # Not pytest.fail(): it would show our own exception as well, as the context of the failure.
            raise pytest.fail.Exception(text, pytrace=False) from None

    def release(self) -> None:
        """Let go of every loaded model."""
        for run in self.runs:
            run.release()


def session_of(config: pytest.Config) -> Session:
    return config.stash[SESSION]
