"""The pytest plugin ``rl-harness``: options, fixtures, what a terminal says, all thin over one session object.

Collection imports no torch. Nothing is decided here: verdicts come from the pipeline, sentences from ``gate/wording``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.plugin.fixtures import (
    after,
    audit,
    before,
    device,
    methods,
    policy,
    questions,
    recipe,
    require,
    rl_run,
    rl_runs,
    trained,
    verdicts,
)
from harness.plugin.options import add_options, check_root, get_option
from harness.plugin.session import SESSION, Session, Unmet, session_of
from harness.plugin.summary import (
    DIRECTORY,
    HANDED,
    MEMORY,
    METHODS,
    PLANNED,
    REUSED,
    VERDICTS,
    Summary,
)
from harness.plugin.terminal import Leaving, make_safe
from harness.store.errors import HarnessError
from harness.store.redact import safe_text

if TYPE_CHECKING:
    from harness.recipe import Recipe

__all__ = [
    "after",
    "audit",
    "before",
    "device",
    "methods",
    "policy",
    "questions",
    "recipe",
    "require",
    "rl_run",
    "rl_runs",
    "trained",
    "verdicts",
]


_HANDED: pytest.StashKey[list[list[str | int]]] = pytest.StashKey()
_BENCHMARK: pytest.StashKey[list[str]] = pytest.StashKey()  # pytest-benchmark's line of the header


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "rl_recipe(*recipes): names, files or Recipe objects that a test runs with")
    config.addinivalue_line("markers", "method(name): run a test only with recipes that train by this method")
    session = config.stash[SESSION] = Session(config)
    config.pluginmanager.register(Leaving(lambda: session.concerned), "rl-harness-leaving")
    if hasattr(config, "workerinput"):
        return
    check_root(config)
    config.pluginmanager.register(session.progress, "rl-harness-progress")
    config.pluginmanager.register(Summary(config), "rl-harness-summary")
    if get_option(config, "plan") and config.pluginmanager.hasplugin("xdist"):
        config.option.dist, config.option.tx = "no", []  # a plan starts no workers; xdist looks after we do


def pytest_unconfigure(config: pytest.Config) -> None:
    """pytest-benchmark, which comes with this package, makes a folder also where nothing is timed."""
    kind, _, folder = config.getoption("benchmark_storage", "").partition("://")
    if kind == "file":
        with suppress(OSError):  # it holds something
            Path(folder).rmdir()


@pytest.hookimpl(wrapper=True)
def pytest_report_header(config: pytest.Config) -> Generator[None, list[Any], list[Any]]:
    lines = yield
    ours = config.stash[_BENCHMARK] = [line for line in lines if str(line).startswith("benchmark: ")]
    return [line for line in lines if line not in ours]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
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


@pytest.hookimpl(trylast=True)  # what -k leaves out shares no alpha
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
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
        parameters = _parameters(item)
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
        (recipe, seed), *more = _parameters(item)
        run, module = (met.setdefault(each, len(met)) for each in ((recipe.name, seed), item.location[0]))
        return bool(more), known.get(recipe.name, len(known)), run, module

    ours = [index for index, item in enumerate(items) if _parameters(item)]
    for index, item in zip(ours, sorted((items[each] for each in ours), key=place), strict=True):
        items[index] = item


def _unmet(item: pytest.Item) -> dict[str, Unmet]:
    """Why a test that does work cannot run here, by recipe."""
    parameters, fixtures = _parameters(item), getattr(item, "fixturenames", ())
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


def pytest_report_collectionfinish(config: pytest.Config, items: Sequence[pytest.Item]) -> list[str]:
    """What may go unseen with as many questions as the gates have, where they are about to be asked; and how is timed
    what is."""
    timed = any("benchmark" in getattr(item, "fixturenames", ()) for item in items)
    lines = config.stash.get(_BENCHMARK, []) if timed else []
    if get_option(config, "plan") or config.option.collectonly:
        return lines
    return [*lines, *(f"rl-harness: {line}" for line in session_of(config).warnings)]


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    with _told_plainly(item):
        return (yield)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    with _told_plainly(item):
        return (yield)


def _told_plainly(item: pytest.Item) -> AbstractContextManager[None]:
    """For tests of recipes; in any other, an error of ours may be what the test is about."""
    return session_of(item.config).plainly() if _parameters(item) else nullcontext()


def take_gpus(worker: str, count: int = 1) -> None:
    """Leave an xdist worker (``"gw3"``) one GPU of those that its caller may see, or as many as its recipes ask for
    (``[launch] nproc_per_node``), before CUDA looks."""
    from harness.models.device import gpus_for_worker, visible_gpus

    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return
    if gpus := gpus_for_worker(int(worker.removeprefix("gw")), visible_gpus(), count):
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    if not get_option(session.config, "plan"):
        return None
    from harness.plugin.plan import write_plan

    parameters: list[tuple[Recipe, int]] = []
    for parameter in (each for item in session.items for each in _parameters(item)):
        if parameter not in parameters:
            parameters.append(parameter)
    session.testsfailed += write_plan(session_of(session.config), parameters)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # it is a worker that collects, and another process that tells
        ours = session_of(session.config)
        left_out = {name: [*unmet] for name, unmet in ours.left_out.items()}
        session.config.workeroutput[HANDED] = {"left_out": left_out, "nothing": ours.nothing}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[Any]:
    session, parameters = session_of(item.config), _parameters(item)
    if parameters:
        session.progress.begin_test()
    try:
        return (yield)
    except KeyboardInterrupt:
        session.progress.interrupt()
        raise
    finally:
        ends = nextitem is None or _parameters(nextitem) != parameters
        session.progress.end_test(_name(session, parameters) if ends and parameters else None)
        # Only now is the test itself, with the fixtures it was given, out of the way of the garbage collector.
        if session.runs and _ends_module(item, nextitem):
            session.release()
            if "torch" in sys.modules:
                from harness.models.device import reset_peak_memory

                for each in _used_devices(session):
                    reset_peak_memory(each)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    yield
    session = session_of(item.config)
    if session.runs and "torch" in sys.modules and _ends_module(item, nextitem):
        from harness.models.device import peak_memory

        for each in _used_devices(session):
            _hand_over(item, MEMORY, peak_memory(each))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    for parameter in _parameters(item):
        run = session_of(item.config).find_run(*parameter)
        directory = run.opened if run else None
        if run and directory:
            _hand_over(item, DIRECTORY, str(directory))
            verdicts = [verdict.to_json() for verdict in run.judged.values()]
            _hand_over(item, VERDICTS, json.dumps([str(directory), verdicts]))
            for stage, count in run.reused.items():
                _hand_over(item, REUSED, json.dumps([str(directory), stage, count]))
            if "methods" in getattr(item, "fixturenames", ()) and (directory / "methods.json").is_file():
                _hand_over(item, METHODS, str(directory))
    if hasattr(item.config, "workerinput"):
        for line in session_of(item.config).warnings:
            _hand_over(item, PLANNED, line)
    report = yield
    if _parameters(item):
        make_safe(report)
    handed = item.stash.setdefault(_HANDED, [])
    setattr(report, HANDED, [*handed])
    return report


def _hand_over(item: pytest.Item, name: str, value: str | int) -> None:
    """Not as a user property: JUnit's schema has none for a single test."""
    handed = item.stash.setdefault(_HANDED, [])
    if [name, value] not in handed:
        handed.append([name, value])


def _parameters(item: pytest.Item) -> tuple[tuple[Recipe, int], ...]:
    """The (recipe, seed) pairs that a test runs with: one, or several that it compares."""
    callspec = getattr(item, "callspec", None)
    given = callspec.params if callspec else {}
    one, several = given.get("rl_run"), given.get("rl_runs")  # of no recipe is a mark of pytest's own
    return (*([one] if isinstance(one, tuple) else ()), *(several if isinstance(several, tuple) else ()))


def _name(session: Session, parameters: tuple[tuple[Recipe, int], ...]) -> str:
    """What the line of marks of a run's tests is called, as its stages are."""
    from harness.pipeline.naming import run_name

    (recipe, seed), *more = parameters
    if more:
        return f"{len({each.name for each, _ in parameters})} recipes compared"
    return run_name(recipe, seed, session.name_given(recipe)).name


def _ends_module(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    return nextitem is None or nextitem.location[0] != item.location[0]


def _used_devices(session: Session) -> set[str]:
    return {run.device for run in session.runs if "device" in run.__dict__}
