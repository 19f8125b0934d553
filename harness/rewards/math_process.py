"""The process that compares formulas: started when first asked, killed when it hangs, started again.

SymPy may compute for ever, also inside one long operation in C, which no alarm interrupts. A process of its own can be
killed from any thread, and may crash without taking a training run along.

One JSON line goes each way. First a greeting, ``{"ready": true}`` or ``{"error": "..."}``; then for every
``[answer, ground truth, seconds]``, trees of :mod:`harness.rewards.formula` and the processor time that they may take,
one of ``true``, ``false``, ``null``, ``"beyond"``.

A policy must not be able to stall its training by such answers. All that took too long shares a budget, of which one
question may take half; every question that is decided gives a little back.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from harness.store.errors import RewardError

if TYPE_CHECKING:
    from collections.abc import Sequence

_WORKER = ("-P", "-c", "from harness.rewards.math_process import work; work()")
_START_LIMIT_S = 120.0  # it imports sympy, on a machine that may be busy with training
_WALL_FACTOR, _WALL_LEAST_S = 8.0, 5.0  # a busy machine
# In time limits of one question: what all may take, what one that is decided gives back, and what one has at the least.
_BUDGET, _REFILL, _LEAST = 4, 0.02, 0.05
_HARD = getattr(signal, "SIGVTALRM", 0)  # what ends a process that no exception can
BEYOND: Final = "beyond"

Verdict = bool | Literal["beyond"] | None
_MEMORY_LIMIT_BYTES = 4 << 30


class MathProcess:
    """A verifier in a process of its own, for one owner process. Threads may share it; they take turns.

    ``time_limit_s`` is processor time per question, while the budget lasts; by the clock it may be much more.
    ``command`` is the worker's command line, for tests.
    """

    def __init__(self, time_limit_s: float = 4.0, command: Sequence[str] | None = None) -> None:
        self._command = [*(command or (sys.executable, *_WORKER))]
        self._limit_s, self._left_s = time_limit_s, time_limit_s * _BUDGET
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._returncode: int | None = None  # of the process before this one

    def equivalent(self, answer: object, ground_truth: object) -> Verdict:
        """Whether two trees are the same (:mod:`harness.rewards.equality`); ``BEYOND`` where that takes more processor
        time or memory than it may, ``None`` after a crash or a wait by the clock, or if the ground truth has no value.
        Raises ``RewardError`` if the process cannot be started at all."""
        with self._lock:
            if self._process is not None and self._process.poll() is not None:
                self._stop()  # it died while idle: no fault of this question
            if self._process is None:
                self._start()
            limit = min(self._limit_s, max(self._left_s / 2, self._limit_s * _LEAST))
            request = json.dumps([answer, ground_truth, limit]).encode() + b"\n"
            reply = self._exchange(request, max(limit * _WALL_FACTOR, _WALL_LEAST_S))
            verdict: Verdict = json.loads(reply) if reply else BEYOND if _HARD and self._returncode == -_HARD else None
            taken = limit if verdict == BEYOND or not reply else -_REFILL * self._limit_s
            self._left_s = min(max(self._left_s - taken, 0.0), self._limit_s * _BUDGET)
        return verdict if verdict is True or verdict is False or verdict == BEYOND else None

    def close(self) -> None:
        """Ends the process, if there is one; the next question starts another."""
        with self._lock:
            self._stop()

    def forget(self) -> None:
        """For the child after a fork: lets go of a process that is its parent's, without ending it."""
        self._lock = threading.Lock()  # the old one may be held by a thread that the child does not have
        process, self._process = self._process, None
        if process is not None:
            _close_pipes(process)
            process.returncode = 0  # it is not this process's child: Popen must not wait for it

    def _start(self) -> None:
        # The worker must find this package and SymPy where this process would.
        path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0"}
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
        except OSError as error:
            raise RewardError(f"math_equivalent could not start its verifier process: {error}") from error
        greeting = json.loads(self._exchange(b"", _START_LIMIT_S) or b"{}")
        if not greeting.get("ready"):
            self._stop()
            reason = greeting.get("error", "it ended, or was silent, before it was ready")
            raise RewardError(f"math_equivalent could not start its verifier process: {reason}")

    def _exchange(self, request: bytes, limit_s: float) -> bytes:
        """Sends ``request`` and returns one line; nothing if the process ended or had to be ended."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        expired = threading.Event()

        def end() -> None:
            expired.set()
            process.kill()

        timer = threading.Timer(limit_s, end)
        timer.daemon = True
        timer.start()
        try:
            process.stdin.write(request)
            process.stdin.flush()
            reply = process.stdout.readline()
        except OSError:
            reply = b""
        except BaseException:  # Ctrl-C, or the alarm of a time limit around us: its reply would be the next question's
            self._stop()
            raise
        finally:
            timer.cancel()
            timer.join()
        if expired.is_set() or not reply.endswith(b"\n"):
            self._stop()
        return reply if reply.endswith(b"\n") else b""

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            _close_pipes(process)
            self._returncode = process.wait()


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        try:
            if pipe is not None:
                pipe.close()
        except OSError:  # a request was still in the buffer of a pipe that nobody reads
            pass


def work() -> None:
    """The process: answers until stdin ends. A question that uses more processor time than it may is ``BEYOND``; where
    one long operation of C code does not let go, a signal ends the process a little later."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that owns this one
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints must not be read as a verdict

    def reply(value: object) -> None:
        replies.write(json.dumps(value) + "\n")
        replies.flush()

    try:
        from harness.rewards.equality import equivalent
    except ImportError as error:
        reply({"error": str(error)})
        return
    _limit_memory()
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGPROF, _ring)
    reply({"ready": True})

    for line in sys.stdin:
        answer, ground_truth, seconds = json.loads(line)
        try:
            _arm(seconds)
            verdict: Verdict = equivalent(answer, ground_truth)
            _arm(0)
        except (_OutOfTime, MemoryError):
            _arm(0)
            verdict = BEYOND
        reply(verdict)


class _OutOfTime(BaseException):
    """Not an ``Exception``: what SymPy catches of its own troubles must not catch this."""


def _ring(number: int, frame: object) -> None:
    raise _OutOfTime


def _arm(seconds: float) -> None:
    """Raises in this process after that much processor time, and ends it after half as much again; 0 to disarm.
    Processor time, so that a busy machine does not turn correct answers into undecided ones; the owner has a longer
    limit by the clock."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)
        signal.setitimer(signal.ITIMER_VIRTUAL, 1.5 * seconds)


def _limit_memory() -> None:
    try:
        import resource

        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        limit = _MEMORY_LIMIT_BYTES if hard == resource.RLIM_INFINITY else min(_MEMORY_LIMIT_BYTES, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    except (ImportError, ValueError, OSError):  # a platform without it: the time limit still holds
        pass
