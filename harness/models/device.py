"""What this process may use of its machine: an accelerator, CPU cores, memory.

GPUs are asked for through NVML, which creates no CUDA context: a pytest controller may look and leave every GPU to its
workers. What the caller hides by ``CUDA_VISIBLE_DEVICES`` stays hidden. In a container its control group has a say, see
cgroups(7). Nothing here imports torch but where a model is there already.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import math
import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from harness.store.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

Device = Literal["cuda", "mps", "cpu"]
Dtype = Literal["float32", "bfloat16", "float16"]

_CGROUPS = Path("/sys/fs/cgroup")
# The files of both versions: limit, use, and the part of the use that is given back when it is needed.
_MEMORY = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)
_SELF_STATUS, _SELF_RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def visible_gpus() -> list[str]:
    """The GPUs this process may use, each as one entry that ``CUDA_VISIBLE_DEVICES`` takes; empty without a driver.

    Entries of a set ``CUDA_VISIBLE_DEVICES`` are handed on as they are spelled, up to the first that names no GPU or
    names one again, where CUDA stops reading too. With the variable unset, they are UUIDs, which mean the same GPU
    whatever ``CUDA_DEVICE_ORDER`` says; a GPU in MIG mode counts as its instances.
    """
    gpus = _nvml_gpus()
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is None:
        return [entry for uuid, instances in gpus for entry in (instances if instances is not None else [uuid])]
    visible: list[str] = []
    seen: set[str] = set()
    for entry in (part.strip() for part in allowed.split(",")):
        uuid = _find(entry, gpus)
        if uuid is None or uuid in seen:
            break
        seen.add(uuid)
        visible.append(entry)
    return visible


def gpus_for_worker(worker_index: int, visible: Sequence[str], count: int = 1) -> list[str]:
    """The GPUs of an xdist worker, ``count`` entries of ``visible``: round robin, so they are shared where workers are
    more. Empty where there are no GPUs.

    ``worker_index`` counts from 0 (``gw0``).
    """
    count = min(count, len(visible))
    start = worker_index % max(1, len(visible) // max(1, count)) * count
    return list(visible[start : start + count])


def choose_device(requested: str | None = None) -> Device:
    """The device to run on: the one asked for, or (``None`` or ``"auto"``) the fastest that is there.

    Raises:
        ModelError: the name is unknown, or this machine or the installed torch has no such device.
    """
    if requested in (None, "auto"):
        return "cuda" if _why_no_cuda() is None else "mps" if _has_mps() else "cpu"
    if requested not in get_args(Device):
        raise ModelError(f"device {requested!r} is not known; write {', '.join(get_args(Device))} or auto")
    if requested == "cuda" and (reason := _why_no_cuda()):
        raise ModelError(f"device 'cuda' was asked for, but {reason}; write device cpu, or auto")
    if requested == "mps" and not _has_mps():
        raise ModelError("device 'mps' was asked for, but this is not an Apple silicon Mac; write device cpu, or auto")
    return cast("Device", requested)


def choose_dtype(dtype: str, device: str) -> Dtype:
    """The dtype of the weights: as given, or for ``"auto"`` float32 on a CPU and bfloat16 elsewhere.

    Raises:
        ModelError: the name is unknown.
    """
    if dtype == "auto":
        return "float32" if device == "cpu" else "bfloat16"
    if dtype not in get_args(Dtype):
        raise ModelError(f"dtype {dtype!r} is not known; write {', '.join(get_args(Dtype))} or auto")
    return cast("Dtype", dtype)


def cores() -> int:
    """The cores that this process may keep busy: those it may run on, and no more than a container's quota pays for."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, _cpu_quota() or allowed))


def share_cores() -> None:
    """Take this process's share of the cores: torch starts a thread for each core that it sees, also under xdist,
    where every worker does, and in a container, whose share of the machine's time is no matter of cores."""
    import torch

    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT") or 1)
    wanted = max(1, cores() // workers)
    if wanted < torch.get_num_threads():
        torch.set_num_threads(wanted)


def settle_threads() -> None:
    """Have torch's idle CPU threads sleep, unless the user says otherwise. Call before torch loads.

    OpenMP's own spin for 3 ms first: where a second process wants the cores, either then takes many times as long.
    """
    if "GOMP_SPINCOUNT" not in os.environ:  # https://gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


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


def peak_memory(device: str) -> int:
    """The most memory this process has held, in bytes, since :func:`reset_peak_memory`.

    On CUDA what torch allocated on the current GPU; on MPS what the driver holds now (it keeps no peak); else the
    process's resident memory, whose peak only Linux can reset.
    """
    torch = sys.modules.get("torch")
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated()) if torch and torch.cuda.is_initialized() else 0
    if device == "mps":
        return int(torch.mps.driver_allocated_memory()) if torch else 0
    with contextlib.suppress(OSError):
        for line in _SELF_STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import psutil

    memory = psutil.Process().memory_info()
    return int(getattr(memory, "peak_wset", memory.rss))


def reset_peak_memory(device: str) -> None:
    """Start a new peak, where the platform can."""
    torch = sys.modules.get("torch")
    if device == "cuda":
        if torch and torch.cuda.is_initialized():
            torch.cuda.reset_peak_memory_stats()
    elif device == "cpu":
        with contextlib.suppress(OSError):
            _SELF_RESET.write_text("5")  # proc(5): resets the peak resident set size


def release_memory() -> None:
    """Give unreachable objects and torch's cached blocks back. Does nothing to a torch that is not imported."""
    gc.collect()
    if torch := sys.modules.get("torch"):
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        if _has_mps():
            torch.mps.empty_cache()


def _cpu_quota() -> int | None:
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


def _whole(quota: str, period: str) -> int | None:
    return math.ceil(int(quota) / int(period)) if quota not in ("max", "-1") else None


def _why_no_cuda() -> str | None:
    if not visible_gpus():
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
        return "no GPU is visible" + ("" if hidden is None else f" (CUDA_VISIBLE_DEVICES={hidden!r})")
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return "torch is not installed"
    return f"the installed torch {version} is built without CUDA" if version.endswith("+cpu") else None


def _has_mps() -> bool:
    return sys.platform == "darwin" and platform.machine() == "arm64"


def _find(entry: str, gpus: Sequence[tuple[str, list[str] | None]]) -> str | None:
    """The UUID that an entry of CUDA_VISIBLE_DEVICES means: an index, or a UUID that may be shortened."""
    if entry.isascii() and entry.isdigit():
        return gpus[int(entry)][0] if int(entry) < len(gpus) else None
    if entry.startswith("MIG-GPU-"):  # drivers before 470: MIG-GPU-<uuid>/<gpu instance>/<compute instance>
        parent = entry.removeprefix("MIG-").split("/")[0]
        return entry if any(uuid == parent and instances for uuid, instances in gpus) else None
    if not entry.startswith(("GPU-", "MIG-")):
        return None
    names = [name for uuid, instances in gpus for name in (uuid, *(instances or ()))]
    matches = [name for name in names if name.startswith(entry)]
    return matches[0] if len(matches) == 1 else None


def _nvml_gpus() -> list[tuple[str, list[str] | None]]:
    """All GPUs of the machine: UUID, and the UUIDs of its MIG instances (``None`` where MIG is off)."""
    try:
        import pynvml as nvml

        nvml.nvmlInit()
    except Exception:  # no package, no library, no driver: each has its own error, and all mean no GPU
        return []
    try:
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        return [(nvml.nvmlDeviceGetUUID(handle), _mig_instances(nvml, handle)) for handle in handles]
    except nvml.NVMLError:
        return []
    finally:
        with contextlib.suppress(nvml.NVMLError):
            nvml.nvmlShutdown()


def _mig_instances(nvml: Any, gpu: Any) -> list[str] | None:
    try:
        if nvml.nvmlDeviceGetMigMode(gpu)[0] != nvml.NVML_DEVICE_MIG_ENABLE:
            return None
        slots = nvml.nvmlDeviceGetMaxMigDeviceCount(gpu)
    except nvml.NVMLError:  # a GPU without MIG answers "not supported"
        return None
    instances = []
    for slot in range(slots):
        with contextlib.suppress(nvml.NVMLError):  # an empty slot
            instances.append(nvml.nvmlDeviceGetUUID(nvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, slot)))
    return instances
