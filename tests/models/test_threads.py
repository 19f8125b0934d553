from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from harness.models import container, threads


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """``machine(8, workers="2", files={...})``: its cores, pytest-xdist's workers and its control group's files."""
    monkeypatch.setattr(container, "_CGROUPS", tmp_path / "cgroup")

    def make(cores, *, workers=None, files=()):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(cores), raising=False)
        monkeypatch.delenv("PYTEST_XDIST_WORKER_COUNT", raising=False)
        if workers is not None:
            monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", workers)
        for name, text in dict(files).items():
            (tmp_path / "cgroup" / name).parent.mkdir(exist_ok=True, parents=True)
            (tmp_path / "cgroup" / name).write_text(text)

    return make


@pytest.mark.parametrize(("workers", "expected"), [("1", 7), ("2", 4), ("3", 2), ("99", 1), (None, 7)])
def test_workers_share_the_cores(machine, workers, expected):
    machine(8, workers=workers)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(7)
        threads.share_cores()
        assert torch.get_num_threads() == expected, "a share is never more than torch had"
    finally:
        torch.set_num_threads(before)


V1 = ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 64),
        ({"cpu.max": "max 100000\n"}, 64),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "10000 100000\n"}, 1),
        ({"cpu.max": "9900000 100000\n"}, 64),
        ({"cpu.max": "what\n"}, 64),
        (dict(zip(V1, ("400000\n", "100000\n"), strict=True)), 4),
        (dict(zip(V1, ("-1\n", "100000\n"), strict=True)), 64),
    ],
)
def test_a_container_keeps_no_more_cores_busy_than_it_is_paid(machine, files, expected):
    machine(64, files=files)
    assert threads.cores() == expected


V1_MEMORY = ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat")
V2_MEMORY = ("memory.max", "memory.current", "memory.stat")


@pytest.mark.parametrize(
    ("names", "texts", "expected"),
    [
        (V2_MEMORY, (), 1000),
        (V2_MEMORY, ("max\n", "70\n", "inactive_file 20\n"), 1000),
        (V2_MEMORY, ("100\n", "70\n", "anon 50\ninactive_file 20\n"), 50),
        (V2_MEMORY, ("100\n", "120\n", "inactive_file 0\n"), 0),
        (V2_MEMORY, ("5000\n", "70\n", "inactive_file 20\n"), 1000),
        (V2_MEMORY, ("100\n", "70\n", "torn"), 1000),
        (V1_MEMORY, ("100\n", "70\n", "inactive_file 1\ntotal_inactive_file 20\n"), 50),
        (V1_MEMORY, ("9223372036854771712\n", "70\n", "total_inactive_file 20\n"), 1000),
    ],
)
def test_a_containers_memory_is_its_own(machine, monkeypatch, names, texts, expected):
    """Where 1000 bytes of the machine are left; what the system keeps of files that were read is not in use."""
    machine(2, files=dict(zip(names, texts, strict=False)))
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=1000))
    assert container.available_memory() == expected


SPINS, SLEEPS = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": threads._SPINS}, {"OMP_WAIT_POLICY": "PASSIVE"}


@pytest.fixture
def settled(machine, monkeypatch, tmp_path):
    """``settled(busy=[0, 80], workers="2", files={...}, said={...})``: what torch's threads are told there."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(threads, "_HELD", [])

    def settle(busy=(0, 0), *, said=(), **more):
        machine(2, **more)
        monkeypatch.setattr("psutil.cpu_percent", lambda *_, **__: list(busy))
        for name in threads.WAITING:
            monkeypatch.delenv(name, raising=False)
        for name, value in dict(said).items():
            monkeypatch.setenv(name, value)
        threads.settle_threads()
        return {name: os.environ[name] for name in threads.WAITING if name in os.environ}

    yield settle
    for lock in threads._HELD:
        lock.release()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, SPINS),
        ({"busy": [10, 20]}, SPINS),
        ({"busy": [0, 80]}, SLEEPS),
        ({"busy": [0, 0, 100, 100]}, SPINS),  # cores that are not ours
        ({"workers": "1"}, SPINS),
        ({"workers": "2"}, SLEEPS),
        ({"files": {"cpu.max": "200000 100000\n"}}, SLEEPS),
        ({"files": {"cpu.max": "max 100000\n"}}, SPINS),
        ({"said": {"OMP_WAIT_POLICY": "ACTIVE"}}, {"OMP_WAIT_POLICY": "ACTIVE"}),
        ({"said": {"GOMP_SPINCOUNT": "0"}}, {"GOMP_SPINCOUNT": "0"}),
    ],
)
def test_threads_spin_where_nobody_else_wants_the_cores(settled, given, expected):
    assert settled(**given) == expected


HOLDER = """
import sys, psutil
psutil.cpu_percent = lambda *_, **__: [0] * 64
from harness.models import threads
threads.cpu_quota = lambda: None
threads.settle_threads()
print(bool(threads._HELD), flush=True)
sys.stdin.read()
"""


def test_one_process_spins_and_when_it_has_died_another_may(settled, tmp_path):
    around = {name: value for name, value in os.environ.items() if name not in threads.WAITING}
    around = {**around, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    around.pop("PYTEST_XDIST_WORKER_COUNT", None)
    start = [sys.executable, "-c", HOLDER]
    with subprocess.Popen(start, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=around) as first:
        assert first.stdout.readline() == "True\n"
        assert settled() == SLEEPS
        first.kill()
        first.wait()
        assert settled() == SPINS


def test_a_process_that_found_others_busy_leaves_the_spinning_to_a_later_one(settled):
    assert settled(busy=[100, 100]) == SLEEPS
    assert settled() == SPINS


def test_several_processes_do_not_inherit_it(settled):
    assert threads.sleeping({**settled(), "A": "1"}) == {"OMP_WAIT_POLICY": "PASSIVE", "A": "1"}
    assert threads.sleeping({"GOMP_SPINCOUNT": "70"}) == {"GOMP_SPINCOUNT": "70"}, "the user's own word"
