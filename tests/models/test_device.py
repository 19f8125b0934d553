from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from harness.models import device
from harness.models.device import choose_device, choose_dtype, gpus_for_worker, visible_gpus
from harness.store.errors import ModelError

PLAIN = [("GPU-aaaa-1", None), ("GPU-bbbb-2", None), ("GPU-bbbc-3", None)]
SPLIT = [("GPU-aaaa-1", ["MIG-1111", "MIG-2222"]), ("GPU-bbbb-2", None)]


class NVMLError(Exception):
    pass


def fake_nvml(gpus):
    """pynvml for a machine with these GPUs; ``None``: a machine without a driver."""

    def init():
        if gpus is None:
            raise NVMLError("Driver Not Loaded")

    def mig_mode(index):
        if gpus[index][1] is None:
            raise NVMLError("Not Supported")
        return [1, 1]

    def mig_handle(index, slot):
        instances = gpus[index][1]
        if slot >= len(instances):
            raise NVMLError("Not Found")
        return str(instances[slot])

    return SimpleNamespace(
        NVMLError=NVMLError,
        NVML_DEVICE_MIG_ENABLE=1,
        nvmlInit=init,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=lambda: len(gpus),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetUUID=lambda handle: handle if isinstance(handle, str) else gpus[handle][0],
        nvmlDeviceGetMigMode=mig_mode,
        nvmlDeviceGetMaxMigDeviceCount=lambda _: 7,
        nvmlDeviceGetMigDeviceHandleByIndex=mig_handle,
    )


@pytest.fixture
def machine(monkeypatch):
    """``machine(gpus, visible="0,1", torch="2.13.0")``"""

    def make(gpus, visible=None, torch="2.13.0", system="linux/x86_64"):
        monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(gpus))
        monkeypatch.setattr(importlib.metadata, "version", lambda _: torch)
        monkeypatch.setattr(device, "_has_mps", lambda: system == "darwin/arm64")
        if visible is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        else:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)

    return make


VISIBLE = {  # CUDA_VISIBLE_DEVICES, and what of it is there
    None: ["GPU-aaaa-1", "GPU-bbbb-2", "GPU-bbbc-3"],
    **{key: [] for key in ("", "-1", "7", "none", "MIG-1111", "GPU-bbb")},  # the last one means two
    **{key: ["0"] for key in ("0", "0,-1,1", "0,7,1", "0,0", "0,GPU-aaaa")},
    "2,0": ["2", "0"],
    " 1 , 2 ": ["1", "2"],
    "GPU-bbbb": ["GPU-bbbb"],
    "GPU-bbbc-3,GPU-aaaa-1": ["GPU-bbbc-3", "GPU-aaaa-1"],
}
VISIBLE_SPLIT = {
    None: ["MIG-1111", "MIG-2222", "GPU-bbbb-2"],
    **{name: [name] for name in ("MIG-2222", "MIG-GPU-aaaa-1/1/0", "1")},
    "MIG-GPU-bbbb-2/1/0": [],
}


@pytest.mark.parametrize(
    ("gpus", "visible", "expected"),
    [
        *((None, visible, []) for visible in (None, "0")),
        ([], None, []),
        *((PLAIN, visible, expected) for visible, expected in VISIBLE.items()),
        *((SPLIT, visible, expected) for visible, expected in VISIBLE_SPLIT.items()),
    ],
)
def test_visible_gpus(machine, gpus, visible, expected):
    machine(gpus, visible)
    assert visible_gpus() == expected
    sys.modules["pynvml"] = None  # as without the library
    assert visible_gpus() == []


@pytest.mark.parametrize(
    ("visible", "count", "expected"),  # of workers 0, 1, ...
    [
        ("", 1, ["", ""]),
        ("35", 1, ["3", "5", "3", "5"]),
        ("3579", 2, ["35", "79", "35"]),
        ("357", 2, ["35", "35"]),  # the last one alone is not two
        ("35", 8, ["35", "35"]),
    ],
)
def test_gpus_for_worker(visible, count, expected):
    assert ["".join(gpus_for_worker(worker, visible, count)) for worker in range(len(expected))] == expected


@pytest.mark.parametrize(
    ("gpus", "visible", "torch", "system", "expected"),
    [
        (PLAIN, None, "2.13.0+cu130", "linux/x86_64", "cuda"),
        (PLAIN, None, "2.13.0", "linux/x86_64", "cuda"),
        (PLAIN, None, "2.13.0+cpu", "linux/x86_64", "cpu"),
        (PLAIN, "", "2.13.0", "linux/x86_64", "cpu"),
        (None, None, "2.13.0", "linux/x86_64", "cpu"),
        (None, None, "2.13.0", "darwin/arm64", "mps"),
    ],
)
def test_automatic_choice_and_a_device_that_is_there(machine, gpus, visible, torch, system, expected):
    machine(gpus, visible, torch, system)
    assert {choose_device(requested) for requested in (None, "auto", expected)} == {expected}
    assert choose_device("cpu") == "cpu"


@pytest.mark.parametrize(
    ("setup", "requested", "message"),
    [
        ((None,), "cuda", "no GPU is visible; write device cpu, or auto"),
        ((PLAIN, ""), "cuda", r"no GPU is visible \(CUDA_VISIBLE_DEVICES=''\)"),
        ((PLAIN, None, "2.13.0+cpu"), "cuda", r"the installed torch 2.13.0\+cpu is built without CUDA"),
        ((PLAIN,), "mps", "not an Apple silicon Mac"),
        ((PLAIN,), "gpu", "device 'gpu' is not known; write cuda, mps, cpu or auto"),
        ((PLAIN,), "cuda:1", "device 'cuda:1' is not known"),
    ],
)
def test_a_device_that_is_not_there(machine, setup, requested, message):
    machine(*setup)
    with pytest.raises(ModelError, match=message):
        choose_device(requested)


DTYPES = [("auto", "cpu", "float32"), ("auto", "cuda", "bfloat16"), ("auto", "mps", "bfloat16")]


@pytest.mark.parametrize(
    ("dtype", "where", "expected"), [*DTYPES, ("float16", "cuda", "float16"), ("bfloat16", "cpu", "bfloat16")]
)
def test_choose_dtype(dtype, where, expected):
    assert choose_dtype(dtype, where) == expected
    with pytest.raises(ModelError, match="dtype 'fp16' is not known; write float32, bfloat16, float16 or auto"):
        choose_dtype("fp16", where)


@pytest.mark.skipif(platform.system() != "Linux", reason="only Linux can start a new peak of resident memory")
def test_peak_memory_starts_anew():
    code = (
        "from harness.models.device import peak_memory, reset_peak_memory\n"
        "held = bytearray(200 << 20); high = peak_memory('cpu'); del held\n"
        "reset_peak_memory('cpu'); print(high - peak_memory('cpu') > 150 << 20, high > 200 << 20)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["True", "True"]


def test_peak_memory_of_a_gpu_nobody_used():
    assert device.peak_memory("cuda") == 0
    device.reset_peak_memory("cuda")
    device.release_memory()
