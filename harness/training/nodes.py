"""The machines and processes of one training job: what ``launch.json`` in its directory tells the agents.

A job of several processes has an agent on each machine (:mod:`harness.training.agent`), which is
``torch.distributed.run``. The first is started by the session itself, through the recipe's ``prefix`` if it has one;
on other machines ``rl-harness join`` (:mod:`harness.training.join`) starts the same command for the same file. While
the session lives it touches the file, and takes it away when the job has ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.models.processes import python_path
from harness.store.errors import TrainingError
from harness.store.run_directory import read_json, write_json
from harness.training.spec import Job

LAUNCH = "launch.json"
FAILURES = "failure-*.json"
BEAT_SECONDS = 5.0


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
        """The command that starts one machine's processes; the session puts the prefix before it."""
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


def beat(directory: Path) -> None:
    """Touch ``launch.json`` now and then: other machines know by it that the session lives."""
    with contextlib.suppress(OSError):
        file = directory / LAUNCH
        if time.time() - file.stat().st_mtime > BEAT_SECONDS:
            os.utime(file)


def keep_failure(directory: Path, failure: Mapping[str, Any]) -> None:
    """Leave what an agent knows of the process that failed first on its machine."""
    host = socket.gethostname()
    own = {"host": host, **failure}
    write_json(directory / f"failure-{host}-{os.getpid()}.json", own)


def failure_of(directory: Path) -> dict[str, Any] | None:
    """The process that failed first, as far as the agents know."""
    found = [kept for path in directory.glob(FAILURES) if (kept := read_json(path)) is not None]
    return min(found, key=blame, default=None)


def blame(failure: Mapping[str, Any]) -> tuple[int, float]:
    """Orders failures: a process that was killed, those that lost it, those that the agent then ended."""
    code = failure["exitcode"]
    return 2 if code == -signal.SIGTERM else int(code >= 0), failure["time"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])
