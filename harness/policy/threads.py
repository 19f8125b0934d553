"""How many CPU threads torch takes, and what they do while they wait."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def calm_threads() -> None:
    """Let torch's idle CPU threads sleep instead of spin, unless the user has said otherwise. Call before torch loads.

    Spinning threads (OpenMP's default) win a third of a step of a small model on a quiet machine. With another busy
    process on the same cores they lose it many times over: two such jobs on 4 cores took over 100 times as long.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def share_cores() -> None:
    """Take this process's share of the cores: torch starts a thread for each core that it sees, also under xdist,
    where every worker does, and in a container, whose share of the machine's time is no matter of cores."""
    import torch

    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT") or 1)
    wanted = max(1, cores() // workers)
    if wanted < torch.get_num_threads():
        torch.set_num_threads(wanted)


def cores() -> int:
    """The cores that this process may keep busy: those it may run on, and no more than a container's quota pays for."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, _quota() or allowed))


def _quota() -> int | None:
    """The control group's processor time in whole cores, rounded up; ``None`` without a limit (cgroups(7))."""
    try:
        return _whole(*(_CGROUPS / "cpu.max").read_text().split())
    except (OSError, ValueError, TypeError):
        pass
    try:
        names = ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")
        return _whole(*((_CGROUPS / name).read_text().strip() for name in names))
    except (OSError, ValueError):
        return None


def _whole(quota: str, period: str) -> int | None:
    return math.ceil(int(quota) / int(period)) if quota not in ("max", "-1") else None
