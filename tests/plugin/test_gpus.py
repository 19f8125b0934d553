"""One GPU for each xdist worker, within what its caller may see; no GPU is needed to see that."""

from __future__ import annotations

import os
import sys
import types

import pytest

from harness.models import device
from harness.plugin.choosing import take_gpus

GPUS = [("GPU-aaaa", None), ("GPU-bbbb", None), ("GPU-cccc", None)]

# CUDA_VISIBLE_DEVICES of the caller, worker, what the worker is left with
CASES = [
    (None, "gw0", "GPU-aaaa"),
    (None, "gw1", "GPU-bbbb"),
    (None, "gw2", "GPU-cccc"),
    (None, "gw3", "GPU-aaaa"),  # more workers than GPUs share
    (None, "gw10", "GPU-bbbb"),
    ("2,0", "gw0", "2"),
    ("2,0", "gw1", "0"),
    ("2,0", "gw2", "2"),
    ("GPU-b", "gw0", "GPU-b"),
    ("", "gw0", ""),  # all hidden: they stay hidden
]


@pytest.fixture(autouse=True)
def _machine(monkeypatch):
    monkeypatch.setattr(device, "_nvml_gpus", lambda: GPUS)
    monkeypatch.delitem(sys.modules, "torch", raising=False)


@pytest.mark.parametrize(("visible", "worker", "left"), CASES)
def test_a_worker_takes_one(monkeypatch, visible, worker, left):
    if visible is None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "set so that it is put back")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    take_gpus(worker)
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == left


@pytest.mark.parametrize(
    ("worker", "count", "left"),
    [
        ("gw0", 2, "GPU-aaaa,GPU-bbbb"),
        ("gw1", 2, "GPU-aaaa,GPU-bbbb"),  # a third GPU alone is not two
        ("gw0", 3, "GPU-aaaa,GPU-bbbb,GPU-cccc"),
        ("gw1", 8, "GPU-aaaa,GPU-bbbb,GPU-cccc"),  # too few: said when they are needed
        ("gw2", 1, "GPU-cccc"),
    ],
)
def test_a_worker_takes_as_many_as_its_recipes_have_processes(monkeypatch, worker, count, left):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "set so that it is put back")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    take_gpus(worker, count)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == left


def test_no_gpu_changes_nothing(monkeypatch):
    monkeypatch.setattr(device, "_nvml_gpus", list)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    take_gpus("gw0")
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize(("initialized", "left"), [(True, "0,1"), (False, "1")])
def test_a_torch_that_has_looked_already_is_left_alone(monkeypatch, initialized, left):
    """CUDA reads the variable once; changing it later would only make what we say and what it does differ."""
    torch = types.SimpleNamespace(cuda=types.SimpleNamespace(is_initialized=lambda: initialized))
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    take_gpus("gw1")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == left


MACHINE = """
import os
from harness.models import device

device._nvml_gpus = lambda: [("GPU-aaaa", None), ("GPU-bbbb", None)]
"""
TESTS = """
import os
import pathlib

def note(test):
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    pathlib.Path(__file__).with_name(f"{test}-{worker}.txt").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "all"))

def test_note():
    note("seen")
"""


def test_workers_of_a_session(project):
    """Where nobody asks for a device, other people's tests keep all GPUs."""
    project.write(**{"conftest.py": MACHINE, "test_note.py": TESTS})
    for options, seen in (
        (["-n2", "--dist=each"], {"gw0": "all", "gw1": "all"}),
        (["-n2", "--dist=each"], {"gw0": "GPU-aaaa", "gw1": "GPU-bbbb"}),
        ([], {"main": "all"}),
    ):
        assert project.pytest("--rl-device=cpu", *options).ret == 0
        found = {path.stem.removeprefix("seen-"): path for path in project.path.glob("seen-*.txt")}
        assert {worker: path.read_text() for worker, path in found.items()} == seen
        for path in found.values():
            path.unlink()
        project.write(test_device="def test_device(device):\n    pass\n")
