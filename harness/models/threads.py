"""How many CPU threads torch takes, and what they do while they wait."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from harness.models.container import cpu_quota

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
_SPINS = "30000"  # a hundred take about a microsecond
_HELD: list[FileLock] = []


def settle_threads() -> None:
    """Say how torch's idle CPU threads wait, unless the user has. Call before torch loads.

    They sleep, or, in one process on a machine that has nothing else to do, spin for a third of a millisecond first.
    On 4 cores that makes steps of a small model a third shorter, for sleeping threads take longer to wake than they
    have to do. OpenMP's own default, 3 ms, is as fast, until a second process does the same: either then takes twenty
    times as long. https://gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html
    """
    if any(name in os.environ for name in WAITING):
        return
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    if _alone():
        os.environ["GOMP_SPINCOUNT"] = _SPINS


def sleeping(environment: Mapping[str, str]) -> dict[str, str]:
    """``environment`` for processes that work at once: what one may do alone is not passed on to several."""
    return {name: value for name, value in environment.items() if (name, value) != ("GOMP_SPINCOUNT", _SPINS)}


def _alone() -> bool:
    """Whether nobody else uses these cores: no other process of ours spins, no other worker, nobody pays by time, and
    a look at them finds them idle."""
    if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT") or 1) > 1 or cpu_quota() is not None:
        return False
    user = os.getuid() if hasattr(os, "getuid") else ""
    lock = FileLock(Path(tempfile.gettempdir()) / f"rl-harness-{user}.spins")
    try:
        lock.acquire(timeout=0)
    except (OSError, Timeout):
        return False
    idle = _idle()
    if idle:
        _HELD.append(lock)  # until this process ends, however it ends
    else:
        lock.release()
    return idle


def _idle() -> bool:
    """Whether the cores that this process may run on have next to nothing to do, by a look of a tenth of a second."""
    import psutil  # type: ignore[import-untyped]

    busy = psutil.cpu_percent(0.1, percpu=True)
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(busy))
    return bool(sum(busy[core] for core in allowed if core < len(busy)) < 50)  # half a core


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
    return max(1, min(allowed, cpu_quota() or allowed))
