"""Which tests a session runs, with which recipes and seeds, in what order, and on which GPUs."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from harness.plugin.options import get_option
from harness.plugin.session import Session, Unmet, session_of
from harness.store.errors import HarnessError
from harness.store.redact import safe_text

if TYPE_CHECKING:
    from harness.recipe import Recipe


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Give a test that asks for runs those of the session's recipes and seeds."""
    asked = [name for name in ("rl_run", "rl_runs") if name in metafunc.fixturenames]
    if not asked:
        return
    session = session_of(metafunc.config)
    recipes, method = (metafunc.definition.get_closest_marker(name) for name in ("rl_recipe", "method"))
    try:
        if "rl_run" in asked:
            parameters = session.parameters(recipes, method)
            for recipe, _ in parameters:
                session.untrainable(recipe, metafunc.fixturenames)
                session.check_needs(recipe, metafunc.fixturenames)
            ids = [f"{_id(recipe)}-seed{seed}" for recipe, seed in parameters]
            metafunc.parametrize("rl_run", parameters, ids=ids, scope="session", indirect=True)
        if "rl_runs" in asked:
            groups = session.groups(recipes)
            for recipe, _ in (pair for group in groups for pair in group):
                session.untrainable(recipe, metafunc.fixturenames)
                session.check_needs(recipe, metafunc.fixturenames)
            ids = ["+".join(dict.fromkeys(_id(recipe) for recipe, _ in group)) for group in groups]
            metafunc.parametrize("rl_runs", groups, ids=ids, scope="session", indirect=True)
    except (HarnessError, pytest.UsageError) as error:
        if session.mistaken(str(error)):
            raise pytest.Collector.CollectError(safe_text(str(error))) from None
        for name in asked:
            metafunc.parametrize(name, [])  # told already, for another file


def _id(recipe: Recipe) -> str:
    """A recipe in a test's id: its name, and the values that it has of those that keys are given."""
    if not recipe.swept:
        return recipe.name
    from harness.pipeline.naming import swept_words
    from harness.store.siblings import slug

    return f"{recipe.name}-{slug(' '.join(swept_words(recipe)))}"


def choose(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what cannot run here, set the rest in order, count the gates, and say to xdist which tests belong
    together."""
    session = session_of(config)
    kept: list[pytest.Item] = []
    left: list[pytest.Item] = []
    for item in items:
        unmet = {} if get_option(config, "plan") else _unmet(item)  # a plan says it of each
        session.left_out |= unmet
        (left if unmet or _without_recipe(item) else kept).append(item)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept
    if left and not (kept or session.left_out or session.mistakes):  # else pytest ends without a reason
        names = ", ".join(dict.fromkeys(recipe.name for recipe in session.recipes))
        session.nothing = f"no recipe here trains by the method that these tests are of; recipes: {names}"
    _set_in_order(session, items)
    uses_device, has_xdist = False, config.pluginmanager.hasplugin("xdist")
    heavy: list[tuple[pytest.Item, Recipe, int]] = []
    for item in items:
        parameters = parameters_of(item)
        if not parameters:
            continue
        recipe, seed = parameters[0]
        if has_xdist:  # it is xdist that knows this marker
            item.add_marker(pytest.mark.xdist_group(f"{_id(recipe)}-{seed}"))
        if "device" in getattr(item, "fixturenames", ()) or len(parameters) > 1:
            uses_device = True
            if not _unmet(item):
                heavy += [(item, recipe, seed) for recipe, seed in parameters]
    session.plan_gates(_gated(heavy))
    if uses_device and hasattr(config, "workerinput"):
        processes = max((recipe.launch.nproc_per_node for _, recipe, _ in heavy), default=1)
        take_gpus(config.workerinput["workerid"], processes)


def _set_in_order(session: Session, items: list[pytest.Item]) -> None:
    """By recipe and seed, so that one model is in memory at a time and one run's tests stand together; those that
    compare several runs last. Other tests keep their places."""
    known = {recipe.name: place for place, recipe in enumerate(session.__dict__.get("recipes", ()))}
    met: dict[Any, int] = {}

    def place(item: pytest.Item) -> tuple[int, ...]:
        (recipe, seed), *more = parameters_of(item)
        run, module = (met.setdefault(each, len(met)) for each in ((recipe.name, seed), item.location[0]))
        return bool(more), known.get(recipe.name, len(known)), run, module

    ours = [index for index, item in enumerate(items) if parameters_of(item)]
    for index, item in zip(ours, sorted((items[each] for each in ours), key=place), strict=True):
        items[index] = item


def _unmet(item: pytest.Item) -> dict[str, Unmet]:
    """Why a test that does work cannot run here, by recipe."""
    parameters, fixtures = parameters_of(item), getattr(item, "fixturenames", ())
    if "device" not in fixtures and len(parameters) < 2:
        return {}
    session = session_of(item.config)
    found = {each.name: session.unmet(each) or session.untrainable(each, fixtures) for each, _ in parameters}
    return {name: unmet for name, unmet in found.items() if unmet}


def _without_recipe(item: pytest.Item) -> bool:
    """Whether a test is of a training method that none of the session's recipes has."""
    callspec = getattr(item, "callspec", None)
    given = callspec.params if callspec else {}
    return any(name in given and not isinstance(given[name], tuple) for name in ("rl_run", "rl_runs"))


def _gated(heavy: list[tuple[pytest.Item, Recipe, int]]) -> list[tuple[Recipe, int]]:
    """The recipes and seeds of which some test asks for verdicts."""
    gated: list[tuple[Recipe, int]] = []
    for item, asked, seed in heavy:
        judged = {"verdicts", "rl_runs"} & set(getattr(item, "fixturenames", ()))
        if judged and (asked, seed) not in gated:
            gated.append((asked, seed))
    return gated


def take_gpus(worker: str, count: int = 1) -> None:
    """Leave an xdist worker (``"gw3"``) one GPU of those that its caller may see, or as many as its recipes ask for
    (``[launch] nproc_per_node``), before CUDA looks."""
    from harness.models.device import gpus_for_worker, visible_gpus

    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return
    if gpus := gpus_for_worker(int(worker.removeprefix("gw")), visible_gpus(), count):
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)


def parameters_of(item: pytest.Item) -> tuple[tuple[Recipe, int], ...]:
    """The (recipe, seed) pairs that a test runs with: one, or several that it compares."""
    callspec = getattr(item, "callspec", None)
    given = callspec.params if callspec else {}
    one, several = given.get("rl_run"), given.get("rl_runs")  # of no recipe is a mark of pytest's own
    return (*([one] if isinstance(one, tuple) else ()), *(several if isinstance(several, tuple) else ()))
