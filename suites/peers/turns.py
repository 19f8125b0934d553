"""Training runs that take turns, a step each: while one computes a step, the others are stopped by a signal.

Beside one another they meet the same moments of a machine that has other work; runs one after another do not.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LOOK_SECONDS = 0.002
# Ends the group of processes that it is told when whoever started it is gone: what is stopped cannot end by itself.
GUARD = "import os, sys; sys.stdin.read(); os.killpg(int(sys.argv[1]), 9)"


class Run:
    """A process, with all that it starts, that writes a line with ``loss`` and ``time`` to ``metrics.jsonl`` at the end
    of each step. Between two calls of :meth:`step` it is stopped."""

    def __init__(self, script: str, folder: Path, environment: Mapping[str, str]) -> None:
        self._metrics, self._log = folder / "metrics.jsonl", folder / "contestant.txt"
        command = [sys.executable, str(Path(__file__).parent / script), str(folder)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env=dict(environment), start_new_session=True
            )
        guard = [sys.executable, "-c", GUARD, str(self._process.pid)]
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
        self._read = 0
        self._stopped_at = 0.0
        self._ended = 0.0

    def step(self) -> dict[str, Any]:
        """Go on to the end of the next step. Its line, with the ``seconds`` since the end of the last one in which this
        process ran: of the first step's, loading is a part.

        Raises:
            RuntimeError: the process ended before; with the end of its log.
        """
        resumed = time.time()
        if self._stopped_at:
            self._signal(signal.SIGCONT)
        while (row := self._next()) is None:
            if self._process.poll() is not None:
                raise RuntimeError(self._failure())
            time.sleep(LOOK_SECONDS)
        began = self._ended + resumed - self._stopped_at if self._stopped_at else resumed
        self._signal(signal.SIGSTOP)
        self._stopped_at, self._ended = time.time(), row["time"]
        return {**row, "seconds": row["time"] - began}

    def finish(self) -> None:
        """Go on to the end of the process."""
        self._signal(signal.SIGCONT)
        if self._process.wait():
            raise RuntimeError(self._failure())

    def _next(self) -> dict[str, Any] | None:
        """The next line of a step that is there whole."""
        if not self._metrics.is_file():
            return None
        with self._metrics.open("rb") as lines:
            lines.seek(self._read)
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                if "loss" in (row := json.loads(line)):
                    return dict(row)
        return None

    def _signal(self, which: signal.Signals) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, which)

    def _failure(self) -> str:
        tail = "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        return f"{self._process.args} ended with exit code {self._process.returncode}:\n{tail}"

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._guard.kill()
        self._guard.communicate()
