"""One process of :class:`harness.models.engines.shards.Shards`, seen from the one that asks.

It is told what to open and then what to answer as JSON lines on its standard input, and answers in JSON lines on its
standard output: see :mod:`harness.models.engines.shard_worker`. What it prints goes to a file that is shown if it dies.
"""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Any

from harness.models.processes import environment, python_path
from harness.store.redact import safe_text

if TYPE_CHECKING:
    from harness.store.question import Question
    from harness.store.records import SamplingParams

_END_SECONDS = 10.0
_LOG_LINES = 15

Process = subprocess.Popen[bytes]
Events = queue.SimpleQueue[tuple["ShardProcess", Process, dict[str, Any] | None]]


class ShardProcess:
    """Puts what the process says into ``events`` as ``(self, process, message)``; no message when it has ended.

    ``starts`` counts how often it was started for the questions at hand.
    """

    def __init__(self, name: str, opening: Mapping[str, Any], gpu: str | None, beside: int, events: Events) -> None:
        self.name, self.starts = name, 0
        self._opening, self._events = dict(opening), events
        self._environment = environment(python_path(), str(opening["device"]), beside)
        if gpu is not None:
            self._environment["CUDA_VISIBLE_DEVICES"] = gpu
        self._process: Process | None = None
        self._log: IO[bytes] | None = None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def is_now(self, process: Process) -> bool:
        """Whether this is the process that was started last."""
        return self._process is process

    def start(self) -> None:
        """Start it, or start it again."""
        self.close()
        self.starts += 1
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (it is read when the process has died)
        process = self._process = subprocess.Popen(
            [sys.executable, "-m", "harness.models.engines.shard_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=self._environment,
        )
        self._finalizer = weakref.finalize(self, _end, process)  # nobody may have closed us
        self._tell(self._opening)
        # It holds the queue and not us: a forgotten engine is collected, and its processes with it.
        threading.Thread(target=_listen, args=(process, self._events, weakref.ref(self)), daemon=True).start()

    def ask(self, questions: Sequence[Question], decoding: SamplingParams, skip: Sequence[tuple[str, int]]) -> None:
        """Have questions answered; one message follows for each handful of answers, and one at the end."""
        rows = [asdict(question) for question in questions]
        self._tell({"questions": rows, "decoding": asdict(decoding), "skip": [list(key) for key in skip]})

    def ended(self) -> tuple[str, list[str]]:
        """How a process that is gone has ended, in words, and the last lines that it printed."""
        assert self._process is not None
        assert self._log is not None
        code = self._process.wait()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        self._log.seek(0)
        lines = safe_text("\n".join(self._log.read().decode("utf-8", errors="replace").splitlines())).split("\n")
        return how, [f"    {line}" for line in lines[-_LOG_LINES:]]

    def close(self) -> None:
        """End it. Closing twice does nothing."""
        if self._process is not None:
            self._finalizer()
            self._process = None
        if self._log is not None:
            self._log.close()
            self._log = None

    def _tell(self, message: Mapping[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has died, and the listener says so
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()


def _listen(process: Process, events: Events, shard: weakref.ref[ShardProcess]) -> None:
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            if line.endswith(b"\n") and (heard := shard()) is not None:  # else a line that a kill tore
                events.put((heard, process, json.loads(line)))
    if (heard := shard()) is not None:
        events.put((heard, process, None))


def _end(process: Process) -> None:
    with contextlib.suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
