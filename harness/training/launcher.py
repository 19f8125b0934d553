"""Runs a training job in processes of its own and watches them.

A crash, a kill, a hang or an out-of-memory there is a ``TrainingError`` here, and the process that asked goes on. One
process is started as it is, several by ``torch.distributed.run``, or all of them by what ``[launch] command`` names.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import subprocess
import sys
import sysconfig
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from harness.gate.health import CHECKS, limits
from harness.models.device import settle_threads
from harness.models.processes import environment, gpus_for, python_path
from harness.store.errors import TrainingError
from harness.store.run_directory import write_text
from harness.store.run_files import (
    COMPLETIONS,
    EVALUATIONS,
    HEALTH,
    METRICS,
    PROGRESS,
    TRAINED,
    Finding,
    Progress,
    TrainingSummary,
)
from harness.training.job import Job
from harness.training.log import Log

_LOG_LINES = 15
_BEFORE_FIRST_STEP = 3.0  # times stall_seconds: engines may have to start
_STACK_SECONDS = 2.0
_END_SECONDS = 40.0  # torch.distributed.run gives its processes 30
# What torch.distributed.run prints of each process that failed.
_FAILED = re.compile(
    r"host +: (?P<host>\S+)\n.*rank +: (?P<rank>\d+) .*\n.*exitcode +: (?P<code>-?\d+) .*\n.*\n"
    r".*traceback : (?P<text>.*(?:\n(?!.*\[\d+\]:$|.*-----|.*=====).*)*)"
)
_FRAME = re.compile(r'^  File "(?P<file>.+)", line (?P<line>\d+) in (?P<function>.+)$')


def run_job(
    job: Job,
    directory: Path,
    *,
    in_process: bool = False,
    progress: Callable[[Progress], None] = lambda state: None,
    finding: Callable[[Finding], None] = lambda finding: None,
) -> TrainingSummary:
    """Run a job to its end, from its last checkpoint if an earlier try left one. Returns ``train/summary.json``.

    Args:
        in_process: train here instead of in a new process, for a debugger; a crash is then a crash here.
        progress: called about five times a second with ``progress.json``; by another thread where the job runs here.
        finding: called with each line of ``health.jsonl`` as it comes. In this process there is no watch: findings
            come when training has ended, and a hung job hangs.

    Raises:
        TrainingError: the job failed; the text says how and ends with its last log lines. ``error.txt`` keeps it.
    """
    job.write(directory)
    (directory / "error.txt").unlink(missing_ok=True)
    PROGRESS.path(directory).unlink(missing_ok=True)
    watch = Watch(job, directory)
    try:
        if in_process:
            from harness.training.worker import train

            with _here(directory, progress):
                train(directory, prints=False)
        else:
            _run(job, directory, watch, progress, finding)
    finally:
        job.end(directory)
        for each in watch.findings():
            finding(each)
    summary = TRAINED.read(directory)
    if summary is None:
        raise TrainingError(f"{directory}: the job ended without a summary; see {directory / 'log.txt'}")
    return summary


@contextlib.contextmanager
def _here(directory: Path, progress: Callable[[Progress], None]) -> Iterator[None]:
    """Hand on ``progress.json`` while this process is busy with the job itself, which shows nothing else."""
    from transformers.utils import logging as transformers_logging

    ended = threading.Event()

    def look() -> None:
        last = None
        while not ended.wait(0.2):
            # What did not change is not told again: a debugger may be waiting for an answer.
            if (state := PROGRESS.read(directory)) and state != last:
                last = state
                progress(state)

    thread = threading.Thread(target=look, name="progress", daemon=True)
    thread.start()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # of each file that is written
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # as in a process of its own
            yield
    finally:
        if bars:
            transformers_logging.enable_progress_bar()
        ended.set()
        thread.join()


def command_of(job: Job, directory: Path) -> list[str]:
    """The command that starts all processes of a job."""
    worker = ["harness.training.worker", str(directory)]
    if own := job.launch.get("command"):
        return [*own, sys.executable, "-m", *worker]
    if job.processes == 1:
        return [sys.executable, "-m", *worker]
    elastic = [
        "--standalone",
        "--local-addr=127.0.0.1",  # a name of this machine may lead nowhere
        f"--nproc-per-node={job.processes}",
        f"--max-restarts={job.launch['max_restarts']}",
    ]
    return [sys.executable, "-m", "torch.distributed.run", *elastic, "--module", *worker]


def _run(
    job: Job,
    directory: Path,
    watch: Watch,
    progress: Callable[[Progress], None],
    finding: Callable[[Finding], None],
) -> None:
    settle_threads()
    command, explained = command_of(job, directory), directory / "error.txt"
    around = environment(python_path(), job.device, job.processes)
    # A store that outlives its processes would tell those that are started again where the last ones were to be found.
    around["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    if job.device == "cuda" and (job.processes == 1 or not job.launch.get("command")):  # which may use other machines
        around["CUDA_VISIBLE_DEVICES"] = ",".join(gpus_for(job.processes))
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=around
        )
    except OSError as error:
        raise TrainingError(f"[launch] command: {command[0]!r} cannot be run ({error.strerror})") from None
    assert process.stdin is not None
    assert process.stdout is not None
    log = Log(directory / "log.txt", process.stdout)
    try:
        while process.poll() is None:
            time.sleep(0.2)
            if state := PROGRESS.read(directory):
                progress(state)
            for each in watch.findings():
                finding(each)
            if explained.is_file():  # a process said why it cannot go on: no other try would tell more
                break
            if (seconds := watch.stalled()) is not None and process.poll() is None:
                text = f"the training job was ended: {watch.hung(process.pid, seconds)}"
                write_text(explained, f"{text}; run again to go on from its last checkpoint\n")
    finally:  # also when we are being interrupted: let it not train on alone
        if process.poll() is None:
            _end(process)
        process.stdin.close()  # each of its processes ends with that
        log.finish()
    if explained.is_file():
        raise TrainingError(*explained.read_text(encoding="utf-8").strip().split("\n"))
    if process.returncode:
        failure = _failure(job, directory, process.returncode)
        write_text(explained, f"{failure}\n")
        raise failure


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _failure(job: Job, directory: Path, code: int) -> TrainingError:
    """Which process of a job failed first, how, and its last lines."""
    log = (directory / "log.txt").read_text(encoding="utf-8", errors="replace")
    who, said = "the training job", log
    if (first := first_failure(log)) is not None:
        code = int(first["code"])
        where = f" on {first['host']}" if job.launch.get("command") else ""
        who = f"process {first['rank']} of the {job.processes} of the training job{where}"
        before = log[: log.rfind("Traceback (most recent", 0, log.find("ChildFailedError"))]
        said = first["text"] if code > 0 and "\n" in first["text"] else before
    tail = [f"    {line}" for line in said.splitlines()[-_LOG_LINES:]]
    if code < 0:
        how = f"was killed by {signal.Signals(-code).name}"
        if -code == signal.SIGKILL:
            how += " (on a full machine that is the system's out-of-memory killer)"
    else:
        how = f"ended with exit code {code}"
    if "out of memory" in "\n".join(tail).lower():
        how += ": out of memory; lower per_device_train_batch_size and raise gradient_accumulation_steps"
    if os.strerror(errno.ENOSPC) in "\n".join(tail):
        how += f": {os.strerror(errno.ENOSPC).lower()}; make room in {directory}"
    reached = (PROGRESS.read(directory) or Progress()).step
    sentence = f"{who} {how} after step {reached}; run again to go on from its last checkpoint"
    if not tail:
        return TrainingError(f"{sentence}. It printed nothing")
    return TrainingError(f"{sentence}. Last lines of {directory / 'log.txt'}:", *tail)


def first_failure(log: str) -> re.Match[str] | None:
    """From what ``torch.distributed.run`` printed, the process that the others failed for: one that was killed, then
    those that lost it, then those that were ended for it; of equals the first one, which it names last."""

    def blame(failed: re.Match[str]) -> int:
        code = int(failed["code"])
        return 2 if code == -signal.SIGTERM else int(code >= 0)

    return min(reversed(list(_FAILED.finditer(log))), key=blame, default=None)


class Watch:
    """What a job's health checks said, and whether it still moves, seen from outside.

    A hung process cannot report itself. When none of the files that the job writes has changed for ``limit`` times the
    usual step (and not under ``stall_seconds``), it is asked for its stack. The finding goes to ``health.jsonl`` as any
    other.
    """

    def __init__(self, job: Job, directory: Path) -> None:
        self._directory = directory
        self._limit = limits(job.health.get("limits", {})).get("stall")
        self._floor = float(job.health.get("stall_seconds", 600.0))
        self._told = {(row.check, row.step) for row in HEALTH.read(directory)}
        self._signs: list[int] = []
        self._since = time.monotonic()

    def findings(self) -> list[Finding]:
        """What is new in ``health.jsonl``."""
        new = [row for row in HEALTH.read(self._directory) if (row.check, row.step) not in self._told]
        self._told |= {(row.check, row.step) for row in new}
        return new

    def stalled(self) -> float | None:
        """Seconds without a sign of life, once they are too many; else ``None``."""
        signs = [_changed(file.path(self._directory)) for file in (PROGRESS, METRICS, COMPLETIONS, EVALUATIONS)]
        now = time.monotonic()
        if signs != self._signs:
            self._signs, self._since = signs, now
        if self._limit is None:
            return None
        usual = self._usual_step()
        longest = self._floor * _BEFORE_FIRST_STEP if usual is None else max(self._floor, self._limit * usual)
        return now - self._since if now - self._since > longest else None

    def hung(self, launched: int, seconds: float) -> str:
        """Note that a job hangs; the sentence says where. ``launched`` is the process that started its processes."""
        step, usual = (PROGRESS.read(self._directory) or Progress()).step, self._usual_step()
        sentence = (
            f"no progress for {seconds:.0f} s after step {step}"
            + ("" if usual is None else f", where a step takes {usual:.1f} s")
            + where_it_hangs(_stacks(launched, self._directory / "log.txt"))
        )
        check = CHECKS["stall"]
        finding = Finding("stall", check.key, step, check.level, seconds, self._limit or check.limit, sentence)
        with HEALTH.writer(self._directory) as writer:
            writer.append(finding)
        return sentence

    def _usual_step(self) -> float | None:
        state = PROGRESS.read(self._directory) or Progress()
        return state.seconds / state.done if state.done > 0 else None


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _stacks(launched: int, log: Path) -> list[str]:
    """What each training process on this machine says of where it stands, one after another: they share a log."""
    stacks: list[str] = []
    with contextlib.suppress(psutil.Error):
        family = [process := psutil.Process(launched), *process.children(recursive=True)]
        for each in family if hasattr(signal, "SIGUSR1") else ():
            with contextlib.suppress(psutil.Error):
                if "harness.training.worker" in each.cmdline()[:4]:
                    start = log.stat().st_size
                    each.send_signal(signal.SIGUSR1)
                    time.sleep(_STACK_SECONDS)
                    stacks.append(log.read_bytes()[start:].decode("utf-8", errors="replace"))
    return stacks


def where_it_hangs(stacks: Sequence[str]) -> str:
    """From faulthandler's text of each process, the innermost frame of the thread that trains, and the innermost of the
    user's code, in the first process that does not wait for another one.

    Innermost frames come first. Frames of Python itself and of installed packages are no one's mistake.
    """
    found = [frames for stack in stacks if (frames := _training_frames(stack))]
    if not found:
        return "; it did not say where it hung"
    waits = ("torch/distributed/", "harness/training/ranks.py")
    frames = next((each for each in found if not any(part in each[0]["file"] for part in waits)), found[0])
    lines = [f"{frame['file']}:{frame['line']} in {frame['function']}" for frame in frames]
    library = sysconfig.get_paths()["stdlib"]
    own = [
        line
        for line, frame in zip(lines, frames, strict=True)
        if not frame["file"].startswith((library, "<")) and "site-packages" not in frame["file"]
    ]
    called = f", called from {own[0]}" if own and own[0] != lines[0] else ""
    return f"; it hung in {lines[0]}{called}"


def _training_frames(stack: str) -> list[re.Match[str]]:
    """The frames of the thread that trains, innermost first."""
    for part in stack.split("\n\n"):
        frames = [found for line in part.splitlines() if (found := _FRAME.match(line))]
        if any(frame["file"].endswith("worker.py") and frame["function"] == "main" for frame in frames):
            return frames
    return []
