"""What all tests share."""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from harness.models.device import visible_gpus

if TYPE_CHECKING:
    from collections.abc import Iterator

os.environ["HF_HUB_OFFLINE"] = "1"
# Several tests work at once, each with inner pytests and training jobs that inherit it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
settings.register_profile("busy", deadline=None)  # a machine that is busy is no failure
settings.load_profile("busy")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = pytest.mark.skip(reason="needs a GPU and none is visible")
    for item in items:
        if item.get_closest_marker("gpu") and not visible_gpus():
            item.add_marker(missing)


@pytest.fixture
def user() -> Iterator[ModuleType]:
    """An importable, empty module ``users_own``; tests put a user's reward functions into it."""
    module = ModuleType("users_own")
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


@pytest.fixture(scope="module")
def one_core() -> Iterator[None]:
    """Processes that tests start compute on one core each: at this size more of them gain nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield
