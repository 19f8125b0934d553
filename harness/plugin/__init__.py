"""The pytest plugin ``rl-harness``: thin hooks over one session object. Collection imports no torch."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import HarnessError
from harness.plugin.fixtures import (
    after,
    audit,
    before,
    device,
    policy,
    questions,
    recipe,
    require,
    rl_run,
    trained,
    verdicts,
)
from harness.plugin.options import add_options, get_option
from harness.plugin.session import SESSION, Session, opened_directory, session_of
from harness.plugin.summary import DIRECTORY, HANDED, MEMORY, UNDERPOWERED, Summary

if TYPE_CHECKING:
    from harness.recipe import Recipe

__all__ = [
    "after",
    "audit",
    "before",
    "device",
    "policy",
    "questions",
    "recipe",
    "require",
    "rl_run",
    "trained",
    "verdicts",
]


WEAK: pytest.StashKey[str] = pytest.StashKey()
_HANDED: pytest.StashKey[list[list[str | int]]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "rl_recipe(*recipes): names, files or Recipe objects that a test runs with")
    session = config.stash[SESSION] = Session(config)
    if hasattr(config, "workerinput"):
        return
    config.pluginmanager.register(session.progress, "rl-harness-progress")
    config.pluginmanager.register(Summary(config), "rl-harness-summary")
    if get_option(config, "plan") and config.pluginmanager.hasplugin("xdist"):
        config.option.dist, config.option.tx = "no", []  # a plan starts no workers; xdist looks after we do


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "rl_run" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("rl_recipe")
    try:
        parameters = session_of(metafunc.config).parameters(marker)
    except (HarnessError, pytest.UsageError) as error:
        raise pytest.Collector.CollectError(str(error)) from None
    ids = [f"{recipe.name}-seed{seed}" for recipe, seed in parameters]
    metafunc.parametrize("rl_run", parameters, ids=ids, scope="session", indirect=True)


@pytest.hookimpl(trylast=True)  # what -k leaves out shares no alpha
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    uses_device, has_xdist = False, config.pluginmanager.hasplugin("xdist")
    heavy: list[tuple[pytest.Item, Recipe, int]] = []
    for item in items:
        parameter = _parameter(item)
        if parameter is None:
            continue
        recipe, seed = parameter
        if has_xdist:  # it is xdist that knows this marker
            item.add_marker(pytest.mark.xdist_group(f"{recipe.name}-{seed}"))
        if "device" in getattr(item, "fixturenames", ()):
            uses_device = True
            if reason := session_of(config).unmet(recipe):
                item.add_marker(pytest.mark.skip(reason=reason))
            else:
                heavy.append((item, recipe, seed))
    _refuse_underpowered(session_of(config), heavy)
    if uses_device and hasattr(config, "workerinput"):
        take_one_gpu(config.workerinput["workerid"])


def _refuse_underpowered(session: Session, heavy: list[tuple[pytest.Item, Recipe, int]]) -> None:
    """Nothing is generated for gates that could not see what they are asked to see."""
    gated: list[tuple[Recipe, int]] = []
    for item, asked, seed in heavy:
        if "verdicts" in getattr(item, "fixturenames", ()) and (asked, seed) not in gated:
            gated.append((asked, seed))
    if not gated:
        return
    weak = session.plan_gates(gated)
    for item, asked, seed in heavy:
        if sentence := weak.get(f"{asked.name}-{seed}"):
            item.stash[WEAK] = f"{asked.name}, seed {seed}: {sentence}"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    sentence = item.stash.get(WEAK, None)
    if sentence is None:
        return
    _hand_over(item, UNDERPOWERED, sentence)
    if session_of(item.config).strict and "verdicts" in getattr(item, "fixturenames", ()):
        pytest.fail(f"UNDERPOWERED {sentence}", pytrace=False)
    pytest.skip(f"UNDERPOWERED {sentence}")


def take_one_gpu(worker: str) -> None:
    """Leave an xdist worker (``"gw3"``) one GPU of those that its caller may see, before CUDA looks."""
    from harness.policy.device import gpu_for_worker, visible_gpus

    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return
    gpu = gpu_for_worker(int(worker.removeprefix("gw")), visible_gpus())
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    if not get_option(session.config, "plan"):
        return None
    from harness.plugin.plan import write_plan

    parameters: list[tuple[Recipe, int]] = []
    for parameter in map(_parameter, session.items):
        if parameter is not None and parameter not in parameters:
            parameters.append(parameter)
    write_plan(session_of(session.config), parameters)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[Any]:
    session = session_of(item.config)
    try:
        return (yield)
    finally:
        session.progress.clear()  # the test may have been interrupted
        # Only now is the test itself, with the fixtures it was given, out of the way of the garbage collector.
        if session.runs and _ends_module(item, nextitem):
            session.release()
            if "torch" in sys.modules:
                from harness.policy.device import reset_peak_memory

                for each in _used_devices(session):
                    reset_peak_memory(each)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    yield
    session = session_of(item.config)
    if session.runs and "torch" in sys.modules and _ends_module(item, nextitem):
        from harness.policy.device import peak_memory

        for each in _used_devices(session):
            _hand_over(item, MEMORY, peak_memory(each))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    parameter = _parameter(item)
    if parameter is not None:
        run = session_of(item.config).find_run(*parameter)
        directory = run and opened_directory(run)
        if directory:
            _hand_over(item, DIRECTORY, str(directory))
    report = yield
    handed = item.stash.setdefault(_HANDED, [])
    setattr(report, HANDED, [*handed])
    return report


def _hand_over(item: pytest.Item, name: str, value: str | int) -> None:
    """Not as a user property: JUnit's schema has none for a single test."""
    handed = item.stash.setdefault(_HANDED, [])
    if [name, value] not in handed:
        handed.append([name, value])


def _parameter(item: pytest.Item) -> tuple[Recipe, int] | None:
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("rl_run") if callspec else None


def _ends_module(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    return nextitem is None or nextitem.location[0] != item.location[0]


def _used_devices(session: Session) -> set[str]:
    return {run.device for run in session.runs if "device" in run.__dict__}
