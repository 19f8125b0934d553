"""Watches a training process from outside: what its health checks said, and whether it still moves.

A hung process cannot report itself. The launcher looks at the files that the job writes; when none has changed for
``limit`` times the usual step (and not under ``stall_seconds``, three times that before the first step: engines may
have to start), it asks the process for its stack and ends it. The finding goes to ``health.jsonl`` as any other.
"""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sysconfig
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from harness.gate.health import CHECKS, Finding, limits
from harness.store.run_directory import LineWriter, read_json, read_lines
from harness.training.files import COMPLETIONS, EVALUATIONS, HEALTH, METRICS, PROGRESS
from harness.training.spec import Job

BEFORE_FIRST_STEP = 3.0
STACK_SECONDS = 2.0
END_SECONDS = 10.0
_FRAME = re.compile(r'^  File "(?P<file>.+)", line (?P<line>\d+) in (?P<function>.+)$')


class Watch:
    """``findings()`` gives what is new in ``health.jsonl``; ``stalled()`` the seconds without a sign of life."""

    def __init__(self, job: Job, directory: Path) -> None:
        self._directory = directory
        self._limit = limits(job.health.get("limits", {})).get("stall")
        self._floor = float(job.health.get("stall_seconds", 600.0))
        self._told = {(row["check"], row["step"]) for row in read_lines(directory / HEALTH)}
        self._signs: list[int] = []
        self._since = time.monotonic()
        self._health = 0

    def findings(self) -> list[dict[str, Any]]:
        changed = _changed(self._directory / HEALTH)
        if changed == self._health:
            return []
        self._health = changed
        new = [row for row in read_lines(self._directory / HEALTH) if (row["check"], row["step"]) not in self._told]
        self._told |= {(row["check"], row["step"]) for row in new}
        return new

    def stalled(self) -> float | None:
        """How long nothing has moved, once that is too long; else ``None``."""
        signs = [_changed(self._directory / name) for name in (PROGRESS, METRICS, COMPLETIONS, EVALUATIONS)]
        now = time.monotonic()
        if signs != self._signs:
            self._signs, self._since = signs, now
        if self._limit is None:
            return None
        usual = self._usual_step()
        longest = self._floor * BEFORE_FIRST_STEP if usual is None else max(self._floor, self._limit * usual)
        return now - self._since if now - self._since > longest else None

    def end(self, process: subprocess.Popen[bytes], seconds: float) -> str:
        """End a hung process; the sentence that says where it hung, which is in ``health.jsonl`` too."""
        stacks = self._stacks(process.pid)
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        state = read_json(self._directory / PROGRESS) or {}
        step, usual = int(state.get("step") or 0), self._usual_step()
        sentence = (
            f"no progress for {seconds:.0f} s after step {step}"
            + ("" if usual is None else f", where a step takes {usual:.1f} s")
            + where_it_hangs(_culprit(stacks))
        )
        check = CHECKS["stall"]
        finding = Finding("stall", check.key, step, check.level, seconds, self._limit or check.limit, sentence)
        with LineWriter(self._directory / HEALTH) as writer:
            writer.append(asdict(finding))
        return sentence

    def _stacks(self, launched: int) -> list[str]:
        """What each process of the job says of where it stands, one after another: they share a log."""
        if not hasattr(signal, "SIGUSR1"):
            return []
        log, stacks = self._directory / "log.txt", []
        for process in _workers(launched):
            start = log.stat().st_size
            try:
                process.send_signal(signal.SIGUSR1)
            except psutil.Error:
                continue
            time.sleep(STACK_SECONDS)
            stacks.append(log.read_bytes()[start:].decode("utf-8", errors="replace"))
        return stacks

    def _usual_step(self) -> float | None:
        state = read_json(self._directory / PROGRESS) or {}
        steps = (state.get("step") or 0) - (state.get("first_step") or 0)
        return float(state["seconds"]) / steps if steps > 0 else None


def _workers(launched: int) -> list[psutil.Process]:
    """The training processes: the one that was launched, or those that it launched for itself."""
    with contextlib.suppress(psutil.Error):
        family = [process := psutil.Process(launched), *process.children(recursive=True)]
        return [each for each in family if "harness.training.worker" in each.cmdline()[:4]]
    return []


def _culprit(stacks: Sequence[str]) -> str:
    """The stack of the process that hangs; those that wait for it stand in ``torch.distributed``."""
    waits = ("torch/distributed/", "harness/training/ranks.py")
    for stack in stacks:
        frames = _training_frames(stack)
        if frames and not any(part in frames[0]["file"] for part in waits):
            return stack
    return stacks[0] if stacks else ""


def where_it_hangs(stack: str) -> str:
    """From faulthandler's text, the innermost frame of the thread that trains, and the innermost of the user's code.

    Innermost frames come first. Frames of Python itself and of installed packages are no one's mistake.
    """
    training = _training_frames(stack)
    if not training:
        return "; it did not say where it hung"
    lines = [f"{frame['file']}:{frame['line']} in {frame['function']}" for frame in training]
    library = sysconfig.get_paths()["stdlib"]
    own = [
        line
        for line, frame in zip(lines, training, strict=True)
        if not frame["file"].startswith((library, "<")) and "site-packages" not in frame["file"]
    ]
    called = f", called from {own[0]}" if own and own[0] != lines[0] else ""
    return f"; it hung in {lines[0]}{called}"


def _training_frames(stack: str) -> list[re.Match[str]]:
    """The frames of the thread that trains, innermost first."""
    threads = [[found for line in part.splitlines() if (found := _FRAME.match(line))] for part in stack.split("\n\n")]
    return next((frames for frames in threads if any(_is_worker(frame) for frame in frames)), [])


def _is_worker(frame: re.Match[str]) -> bool:
    return frame["file"].endswith("worker.py") and frame["function"] == "main"


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
