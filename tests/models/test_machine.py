from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
import torch

from harness.models import device


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """``machine(8, workers="2", files={...})``: its cores, pytest-xdist's workers and its control group's files."""
    monkeypatch.setattr(device, "_CGROUPS", tmp_path / "cgroup")

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
        device.share_cores()
        assert torch.get_num_threads() == expected, "a share is never more than torch had"
    finally:
        torch.set_num_threads(before)


V1 = ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")
QUOTAS = {"max 100000": 64, "200000 100000": 2, "150000 100000": 2, "10000 100000": 1, "9900000 100000": 64, "what": 64}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 64),
        *(({"cpu.max": f"{quota}\n"}, cores) for quota, cores in QUOTAS.items()),
        (dict(zip(V1, ("400000\n", "100000\n"), strict=True)), 4),
        (dict(zip(V1, ("-1\n", "100000\n"), strict=True)), 64),
    ],
)
def test_a_container_keeps_no_more_cores_busy_than_it_is_paid(machine, files, expected):
    machine(64, files=files)
    assert device.cores() == expected


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
    assert device.available_memory() == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, {"OMP_WAIT_POLICY": "PASSIVE"}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}),
        ({"GOMP_SPINCOUNT": "0"}, {"GOMP_SPINCOUNT": "0"}),
    ],
)
def test_idle_threads_sleep_unless_the_user_says_otherwise(monkeypatch, said, expected):
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    for name in names:
        monkeypatch.setenv(name, "")  # so that what is set here is undone
        monkeypatch.delenv(name)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    device.settle_threads()
    assert {name: os.environ[name] for name in names if name in os.environ} == expected
