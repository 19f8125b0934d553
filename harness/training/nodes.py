"""The machines and processes of one training job: what ``launch.json`` in its directory tells the agents.

A job of several processes has an agent on each machine (:mod:`harness.training.agent`), which is
``torch.distributed.run``. The first is started by the session itself, through the recipe's ``prefix`` if it has one;
on other machines ``rl-harness join`` (:mod:`harness.training.join`) starts the same command for the same file. While
the session lives it touches the file, and takes it away when the job has ended.
"""

from __future__ import annotations

import os
import socket
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.environment import without_secrets
from harness.errors import TrainingError
from harness.policy.device import visible_gpus
from harness.runs import read_json, write_json
from harness.training.spec import Job

LAUNCH = "launch.json"
FAILURES = "failure-*.json"
BEAT_SECONDS = 5.0

# What torch.distributed.run, or the platform around us, tells the processes of a job: not those of ours.
_OUTER = (
    "RANK",
    "LOCAL_RANK",
    "GROUP_RANK",
    "ROLE_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "GROUP_WORLD_SIZE",
    "ROLE_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "TORCHELASTIC_RUN_ID",
    "TORCHELASTIC_RESTART_COUNT",
)


@dataclass(frozen=True)
class Launch:
    """``launch.json``: the recipe's ``[launch]`` with every choice made, and what a process needs around it.

    ``path`` is Python's path there: reward functions of the user's are imported as in the session.
    """

    nproc_per_node: int
    nnodes: int
    rdzv_backend: str
    rdzv_endpoint: str
    rdzv_id: str
    max_restarts: int
    device: str
    path: tuple[str, ...]
    prefix: tuple[str, ...] = ()

    @classmethod
    def of(cls, job: Job) -> Launch:
        """The launch of a job that is about to start: a rendezvous of its own unless the recipe names one."""
        asked = dict(job.launch)
        alone = asked["nnodes"] == 1
        endpoint = asked["rdzv_endpoint"] or ("localhost:0" if alone else f"{socket.gethostname()}:{_free_port()}")
        return cls(
            nproc_per_node=asked["nproc_per_node"],
            nnodes=asked["nnodes"],
            rdzv_backend=asked["rdzv_backend"],
            rdzv_endpoint=endpoint,
            rdzv_id=asked["rdzv_id"] or uuid.uuid4().hex,
            max_restarts=asked["max_restarts"],
            device=job.device,
            path=tuple(python_path()),
            prefix=tuple(asked["prefix"]),
        )

    @classmethod
    def read(cls, directory: Path) -> Launch:
        """Raise ``TrainingError`` where the file is missing or torn: the job has ended."""
        kept = read_json(directory / LAUNCH)
        if kept is None:
            raise TrainingError(f"{directory / LAUNCH}: missing; the job that it belonged to has ended")
        return cls(**{**kept, "path": tuple(kept["path"]), "prefix": tuple(kept["prefix"])})

    def write(self, directory: Path) -> None:
        write_json(directory / LAUNCH, asdict(self))

    def command(self, directory: Path) -> list[str]:
        """The command that starts one machine's processes; in the session's case with the prefix before it."""
        return [sys.executable, "-m", "harness.training.agent", str(directory.resolve())]

    def arguments(self, directory: Path) -> list[str]:
        """What ``torch.distributed.run`` is told on each machine."""
        local = ["--local-addr=127.0.0.1"] if self.nnodes == 1 else []  # a name of this machine may lead nowhere
        return [
            f"--nnodes={self.nnodes}",
            f"--nproc-per-node={self.nproc_per_node}",
            f"--rdzv-backend={self.rdzv_backend}",
            f"--rdzv-endpoint={self.rdzv_endpoint}",
            f"--rdzv-id={self.rdzv_id}",
            f"--max-restarts={self.max_restarts}",
            *local,
            "--module",
            "harness.training.worker",
            str(directory),
        ]


def python_path() -> list[str]:
    """Where this process imports from."""
    return [*(entry for entry in sys.path if entry), str(Path.cwd())]


def environment(path: Sequence[str], device: str, processes_here: int) -> dict[str, str]:
    """What the processes of a job find around them, on this machine."""
    found = {key: value for key, value in os.environ.items() if key not in _OUTER}
    found |= {"PYTHONPATH": os.pathsep.join(path), "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
    found.setdefault("PYTHONWARNINGS", "ignore::FutureWarning")  # the log's last lines are for what went wrong
    if processes_here > 1:
        # torch.distributed.run would give each one thread.
        workers = int(found.pop("PYTEST_XDIST_WORKER_COUNT", None) or 1)
        found.setdefault("OMP_NUM_THREADS", str(max(1, cores() // (processes_here * workers))))
    if device == "cpu":
        found["ACCELERATE_USE_CPU"] = "true"
    return found


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus_for(processes: int) -> str:
    """``CUDA_VISIBLE_DEVICES`` for a machine's processes, one GPU each: several in one would be spread over by the
    trainer, which GRPO refuses.

    Raises:
        TrainingError: fewer are visible.
    """
    visible = visible_gpus()
    if len(visible) < processes:
        raise TrainingError(
            f"{socket.gethostname()}: {processes} processes take a GPU each and {len(visible)} are visible"
        )
    return ",".join(visible[:processes])


def keep_failure(directory: Path, failure: Mapping[str, Any]) -> None:
    """Leave what an agent knows of the process that failed first on its machine."""
    host = socket.gethostname()
    own = {"host": host, **failure}
    write_json(directory / f"failure-{host}-{os.getpid()}.json", without_secrets(own))


def failure_of(directory: Path) -> dict[str, Any] | None:
    """The process that failed first, as far as the agents know: one that was killed, rather than those that lost it."""
    found = [kept for path in directory.glob(FAILURES) if (kept := read_json(path)) is not None]
    return min(found, key=lambda kept: (not kept["signal"], kept["time"]), default=None)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])
