"""What the tests of training share."""

from __future__ import annotations

from functools import partial

import pytest

from harness.models import load_policy
from tests.training.jobs import run_of


@pytest.fixture(scope="module", autouse=True)
def _calm(one_core):
    """For every training here."""


@pytest.fixture(scope="session")
def supervised(tmp_path_factory):
    """``supervised("sft", **changes)``: a run of a small SFT or DPO recipe; the samples that one made, others find."""
    return partial(run_of, tmp_path_factory.mktemp("kept-runs"))


@pytest.fixture(scope="session")
def tiny():
    return load_policy("tiny", device="cpu")
