"""Processes that we start: what they find around them, and how they end with whoever started them."""

from __future__ import annotations

import os
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.models.device import cores, visible_gpus
from harness.store.errors import TrainingError

# What torch.distributed.run, or the platform around us, tells the processes of a job: not those of ours.
_OUTER = (
    *("RANK", "LOCAL_RANK", "GROUP_RANK", "ROLE_RANK", "MASTER_ADDR", "MASTER_PORT"),
    *("WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE", "ROLE_WORLD_SIZE"),
    *("TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", "TORCHELASTIC_ERROR_FILE"),
)


def python_path() -> list[str]:
    """Where this process imports from: reward functions of the user's are found there too."""
    return [*(entry for entry in sys.path if entry), str(Path.cwd())]


def environment(path: Sequence[str], device: str, processes: int) -> dict[str, str]:
    """The environment of one of so many processes that work side by side on this machine.

    Each takes its share of the cores, unless ``OMP_NUM_THREADS`` says otherwise. GPUs are given out by the caller.
    """
    found = {key: value for key, value in os.environ.items() if key not in _OUTER}
    found |= {"PYTHONPATH": os.pathsep.join(path), "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
    found["PYTHONUTF8"] = "1"  # libraries read and write files by the locale
    found.setdefault("PYTHONWARNINGS", "ignore::FutureWarning")  # a log's last lines are for what went wrong
    if processes > 1:
        workers = int(found.pop("PYTEST_XDIST_WORKER_COUNT", None) or 1)
        found.setdefault("OMP_NUM_THREADS", str(max(1, cores() // (processes * workers))))
    if device == "cpu":
        found["ACCELERATE_USE_CPU"] = "true"
    return found


def gpus_for(processes: int) -> list[str]:
    """The GPUs of so many processes of this machine, one each, as entries that ``CUDA_VISIBLE_DEVICES`` takes.

    Raises:
        TrainingError: fewer are visible.
    """
    visible = visible_gpus()
    if len(visible) < processes:
        raise TrainingError(
            f"{socket.gethostname()}: {processes} processes take a GPU each and {len(visible)} are visible; "
            "lower --rl-nproc (nproc_per_node under [launch]), or say --rl-device cpu"
        )
    return visible[:processes]


def end_with_parent(end: Callable[[], object], *, reads_input: bool = False) -> None:
    """Call ``end`` when the process that started us dies, however it dies.

    It holds our standard input open, or the process that started it does, and a pipe closes with its last writer. Where
    a launcher gives us another standard input (``srun --input=none``), or we read it ourselves, we know the death by
    our new parent.
    """
    parent, kind = os.getppid(), os.fstat(0).st_mode

    def until_closed() -> None:
        while os.read(0, 1024):
            pass
        end()

    def until_adopted() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        end()

    if not reads_input and (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind)):
        threading.Thread(target=until_closed, daemon=True).start()
    threading.Thread(target=until_adopted, daemon=True).start()
