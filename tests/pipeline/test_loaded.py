"""Memory is given back when nothing holds the model any more: before the training process wants it."""

from __future__ import annotations

import gc
import weakref

import pytest

from harness.models.engines import local
from harness.pipeline import loaded
from harness.pipeline.run import Run
from harness.pipeline.settings import Settings
from harness.recipe.catalog import find_recipe


@pytest.mark.parametrize("opened", [Run.policy, Run.engine])
def test_what_gives_memory_back_finds_no_model(tmp_path, monkeypatch, opened):
    run = Run(find_recipe("tiny-arithmetic"), 0, Settings(runs_dir=tmp_path, device="cpu"))
    opened(run)
    model = weakref.ref(run.policy().model)
    alive = []

    def release_memory() -> None:
        gc.collect()
        alive.append(model() is not None)

    for module in (loaded, local):
        monkeypatch.setattr(module, "release_memory", release_memory)
    run.release()
    assert alive == [False]
