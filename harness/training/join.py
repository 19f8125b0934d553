"""Other machines of a training job: waits in a shared runs directory for jobs of several machines, and works on each.

    join(Path("/shared/rl-runs"), say=print)      # rl-harness join /shared/rl-runs

Where the session that trains is on another machine, its ``launch.json`` is all there is to know it by. It touches that
file every few seconds: one that stands still belongs to a session that has died, and a job whose file goes away has
ended.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.models.processes import environment
from harness.store.errors import HarnessError, TrainingError
from harness.training.log import Log
from harness.training.nodes import BEAT_SECONDS, LAUNCH, Launch

_SILENT_SECONDS = 12 * BEAT_SECONDS
_POLL_SECONDS = 0.5


def join(
    runs_dir: Path, *, say: Callable[[str], None], idle_seconds: float | None = None, most: int | None = None
) -> int:
    """Work on the jobs of several machines that appear under ``runs_dir``; returns how many there were.

    Args:
        idle_seconds: leave after so long without a job; ``None`` waits for ever.
        most: leave after so many jobs.

    Raises:
        HarnessError: there is no such directory.
    """
    if not runs_dir.is_dir():
        raise HarnessError(f"{runs_dir}: no such directory; name the runs directory that the machines share")
    done: set[str] = set()
    waiting = time.monotonic()
    for directory, launch in _live_jobs(runs_dir, done):
        if launch is None:
            if idle_seconds is not None and time.monotonic() - waiting > idle_seconds:
                break
            continue
        done.add(launch.rdzv_id)
        say(f"{directory.parent.name}: joined with {launch.nproc_per_node} of {launch.nnodes} machines' processes")
        code = _work(directory, launch)
        say(f"{directory.parent.name}: {'done' if code == 0 else f'ended with exit code {code}'}")
        if most is not None and len(done) >= most:
            break
        waiting = time.monotonic()
    return len(done)


def _live_jobs(runs_dir: Path, done: set[str]) -> Iterator[tuple[Path, Launch | None]]:
    """Jobs whose session is alive and that were not joined yet, and between them ``(runs_dir, None)``.

    Clocks of two machines differ, so a file is alive when it changes while we look.
    """
    seen: dict[Path, int] = {}
    while True:
        for file in sorted(runs_dir.glob(f"*/train/{LAUNCH}")):
            with contextlib.suppress(OSError, TrainingError):
                changed, launch = file.stat().st_mtime_ns, Launch.read(file.parent)
                if launch.nnodes == 1 or launch.prefix or launch.rdzv_id in done:
                    continue
                if seen.setdefault(file, changed) != changed:
                    yield file.parent, launch
        yield runs_dir, None
        time.sleep(_POLL_SECONDS)


def _work(directory: Path, launch: Launch) -> int:
    """Run this machine's agent until the job ends; returns its exit code."""
    around = environment(launch.path, launch.device, launch.nproc_per_node)
    agent = subprocess.Popen(
        launch.command(directory), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=around
    )
    assert agent.stdout is not None
    log = Log(directory / f"log-{launch.rdzv_id[:8]}-{time.time_ns()}.txt", agent.stdout)
    changed, since = -1, time.monotonic()
    try:
        while agent.poll() is None:
            time.sleep(_POLL_SECONDS)
            now = -1
            with contextlib.suppress(OSError):
                now = (directory / LAUNCH).stat().st_mtime_ns
            if now != changed:
                changed, since = now, time.monotonic()
            gone = now == -1 and time.monotonic() - since > BEAT_SECONDS  # the others may still be saying goodbye
            if gone or time.monotonic() - since > _SILENT_SECONDS:
                agent.terminate()
    finally:
        if agent.poll() is None:
            agent.terminate()
        code = agent.wait()
        if agent.stdin:
            agent.stdin.close()
        log.finish()
    return code
