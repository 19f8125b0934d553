from __future__ import annotations

import os

import pytest
import torch

from harness.policy import threads


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """``machine(8, workers="2", files={...})``: its cores, pytest-xdist's workers and its control group's files."""
    monkeypatch.setattr(threads, "_CGROUPS", tmp_path)

    def make(cores, *, workers=None, files=()):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(cores), raising=False)
        monkeypatch.delenv("PYTEST_XDIST_WORKER_COUNT", raising=False)
        if workers is not None:
            monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", workers)
        for name, text in dict(files).items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)

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
