"""Small jobs of every method on the embedded model."""

from __future__ import annotations

import pytest

from harness.models import load_policy
from harness.pipeline.run import Run, Settings
from harness.recipe.catalog import find_recipe
from tests.small_recipes import SUPERVISED


@pytest.fixture(scope="module", autouse=True)
def _calm(one_core):
    """For every training here."""


@pytest.fixture(scope="session")
def kept_runs(tmp_path_factory):
    """A folder of runs that many tests share: the samples that one of them made, the others find."""
    return tmp_path_factory.mktemp("kept-runs")


@pytest.fixture(scope="session")
def supervised(kept_runs):
    """``supervised("sft", **overrides)``: a run of a small SFT or DPO recipe, its samples shared."""

    def make(method, runs_dir=None, seed=0, in_process=True, **overrides):
        recipe = find_recipe(f"tiny-arithmetic-{method}").override({**SUPERVISED, **overrides})
        return Run(recipe, seed, Settings(runs_dir=runs_dir or kept_runs, in_process=in_process))

    return make


@pytest.fixture(scope="session")
def tiny():
    return load_policy("tiny", device="cpu")
