"""The pytest plugin ``rl-harness``: thin hooks over one session object. Collection imports no torch."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.plugin.fixtures import after, before, device, policy, questions, recipe, rl_run, trained, verdicts
from harness.plugin.options import add_options, get_option
from harness.plugin.session import SESSION, Session, opened_directory, session_of
from harness.plugin.summary import DIRECTORY, MEMORY, Summary

__all__ = ["after", "before", "device", "policy", "questions", "recipe", "rl_run", "trained", "verdicts"]


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    planned = getattr(early_config.known_args_namespace, "rl_plan", None)
    if planned and early_config.pluginmanager.hasplugin("xdist"):
        args.append("-n0")  # a plan starts no workers


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "rl_recipe(*recipes): names, files or Recipe objects that a test runs with")
    config.stash[SESSION] = Session(config)
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Summary(config), "rl-harness-summary")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "rl_run" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("rl_recipe")
    try:
        parameters = session_of(metafunc.config).parameters(marker)
    except HarnessError as error:
        raise pytest.Collector.CollectError(str(error)) from None
    ids = [f"{recipe.name}-seed{seed}" for recipe, seed in parameters]
    metafunc.parametrize("rl_run", parameters, ids=ids, scope="session", indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    uses_device = False
    for item in items:
        parameter = _parameter(item)
        if parameter is None:
            continue
        recipe, seed = parameter
        item.add_marker(pytest.mark.xdist_group(f"{recipe.name}-{seed}"))
        if "device" in getattr(item, "fixturenames", ()):
            uses_device = True
            if reason := session_of(config).unmet(recipe):
                item.add_marker(pytest.mark.skip(reason=reason))
    if uses_device and hasattr(config, "workerinput") and "torch" not in sys.modules:
        _take_one_gpu(config.workerinput["workerid"])


def _take_one_gpu(worker: str) -> None:
    from harness.policy.device import gpu_for_worker, visible_gpus

    gpu = gpu_for_worker(int(worker.removeprefix("gw")), visible_gpus())
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    if not get_option(session.config, "plan"):
        return None
    from harness.plugin.plan import write_plan

    seen = {f"{recipe.name}-{seed}": (recipe, seed) for recipe, seed in filter(None, map(_parameter, session.items))}
    write_plan(session_of(session.config), list(seen.values()))
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    yield
    session = session_of(item.config)
    last_of_module = nextitem is None or nextitem.location[0] != item.location[0]
    if not (last_of_module and session.runs):
        return
    if "torch" in sys.modules:
        from harness.policy.device import peak_memory

        used = {run.device for run in session.runs.values() if "device" in run.__dict__}
        item.user_properties += [(MEMORY, peak_memory(each)) for each in used]
    session.release()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    parameter = _parameter(item)
    if parameter is not None:
        run = session_of(item.config).runs.get(f"{parameter[0].name}-{parameter[1]}")
        directory = run and opened_directory(run)
        if directory and not any(name == DIRECTORY for name, _ in item.user_properties):
            item.user_properties.append((DIRECTORY, str(directory)))
    return (yield)


def _parameter(item: pytest.Item) -> Any:
    callspec = getattr(item, "callspec", None)
    return callspec.params.get("rl_run") if callspec else None
