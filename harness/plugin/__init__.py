"""The pytest plugin ``rl-harness``: options, fixtures, what a terminal says, all thin over one session object.

Collection imports no torch. Nothing is decided here: verdicts come from the pipeline, sentences from ``gate/wording``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.plugin.choosing import choose, parameters_of, parametrize
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
from harness.plugin.session import SESSION, Session, session_of
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
from harness.plugin.workers import Workers

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
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(Workers(session.progress), "rl-harness-workers")
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
    parametrize(metafunc)


@pytest.hookimpl(trylast=True)  # what -k leaves out shares no alpha
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    choose(config, items)


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
    return session_of(item.config).plainly() if parameters_of(item) else nullcontext()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    if not get_option(session.config, "plan"):
        return None
    from harness.plugin.plan import write_plan

    parameters: list[tuple[Recipe, int]] = []
    for parameter in (each for item in session.items for each in parameters_of(item)):
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
    session, parameters = session_of(item.config), parameters_of(item)
    if parameters:
        session.progress.begin_test()
    try:
        return (yield)
    except KeyboardInterrupt:
        session.progress.interrupt()
        raise
    finally:
        ends = nextitem is None or parameters_of(nextitem) != parameters
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
    for parameter in parameters_of(item):
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
    if parameters_of(item):
        make_safe(report)
    handed = item.stash.setdefault(_HANDED, [])
    setattr(report, HANDED, [*handed])
    return report


def _hand_over(item: pytest.Item, name: str, value: str | int) -> None:
    """Not as a user property: JUnit's schema has none for a single test."""
    handed = item.stash.setdefault(_HANDED, [])
    if [name, value] not in handed:
        handed.append([name, value])


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
