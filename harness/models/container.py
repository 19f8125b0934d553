"""What this process may use of its machine: in a container, what its control group leaves, see cgroups(7)."""

from __future__ import annotations

import math
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
# The files of both versions: limit, use, and the part of the use that is given back when it is needed.
_MEMORY = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)


def cpu_quota() -> int | None:
    """The control group's processor time in whole cores, rounded up; ``None`` without a limit."""
    try:
        return _whole(*(_CGROUPS / "cpu.max").read_text().split())
    except (OSError, ValueError, TypeError):
        pass
    try:
        names = ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")
        return _whole(*((_CGROUPS / name).read_text().strip() for name in names))
    except (OSError, ValueError):
        return None


def available_memory() -> int:
    """Bytes of memory that can be taken: what the machine has left, or the control group's limit, if that is less."""
    import psutil  # type: ignore[import-untyped]

    left = int(psutil.virtual_memory().available)
    for limit, use, stat, cached in _MEMORY:
        try:
            most, used = (int((_CGROUPS / name).read_text()) for name in (limit, use))  # "max" is no number
            counts = dict(line.split() for line in (_CGROUPS / stat).read_text().splitlines())
            return max(0, min(left, most - used + int(counts.get(cached, 0))))
        except (OSError, ValueError):
            continue
    return left


def _whole(quota: str, period: str) -> int | None:
    return math.ceil(int(quota) / int(period)) if quota not in ("max", "-1") else None
