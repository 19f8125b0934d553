"""Runs a training job as a process of its own.

A crash, a kill or an out-of-memory there is a ``TrainingError`` here, with the last log lines,
and the process that asked goes on.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.models.device import visible_gpus
from harness.models.processes import environment, python_path
from harness.models.threads import settle_threads
from harness.store.errors import HarnessError, TrainingError
from harness.store.run_directory import read_json, write_text
from harness.training.files import report_activity
from harness.training.log import Log
from harness.training.nodes import FAILURES, LAUNCH, Launch, beat, failure_of
from harness.training.spec import Job
from harness.training.watch import Watch

LOG_LINES = 15
Progress = Callable[[Mapping[str, Any]], None]


def run_job(
    job: Job,
    directory: Path,
    *,
    in_process: bool = False,
    progress: Progress = lambda state: None,
    finding: Progress = lambda finding: None,
) -> dict[str, Any]:
    """Run a job to its end, from its last checkpoint if an earlier try left one. Returns ``train/summary.json``.

    Args:
        in_process: train here instead of in a new process, for a debugger; a crash is then a crash here.
        progress: called about five times a second with ``progress.json``: step, total, seconds, reward, and
            ``activity`` where the job does something between two steps.
        finding: called with each line of ``health.jsonl`` as it comes. In this process there is no watch: findings
            come when training has ended, and a hung job hangs.

    Raises:
        TrainingError: the job failed; the text says how and ends with its last log lines. ``error.txt`` keeps it.
    """
    job.write(directory)
    (directory / "error.txt").unlink(missing_ok=True)
    (directory / "progress.json").unlink(missing_ok=True)
    try:
        if in_process:
            from harness.training.worker import train

            watch = Watch(job, directory)
            train(directory)
            for each in watch.findings():
                finding(each)
        else:
            _launch(job, directory, progress, finding)
    finally:
        job.write(directory, ended=True)
    summary = read_json(directory / "summary.json")
    if summary is None:
        raise TrainingError(f"{directory}: the job ended without a summary; see {directory / 'log.txt'}")
    return summary


def _launch(job: Job, directory: Path, progress: Progress, finding: Progress) -> None:
    settle_threads()
    launch = _start_of(job, directory)
    around = environment(python_path(), job.device, job.processes)
    if job.device == "cuda" and launch is None:  # the trainer would spread one process over all GPUs that it sees
        around["CUDA_VISIBLE_DEVICES"] = visible_gpus()[0]
    command = [sys.executable, "-m", "harness.training.worker", str(directory)]
    command = [*job.launch.get("prefix", ()), *(command if launch is None else launch.command(directory))]
    watch, hung = Watch(job, directory), None
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=around
        )
    except OSError as error:
        raise TrainingError(f"[launch] prefix: {command[0]!r} cannot be run ({error.strerror})") from None
    assert process.stdout is not None
    log = Log(directory / "log.txt", process.stdout)
    try:
        while process.poll() is None:
            time.sleep(0.2)
            beat(directory)
            if state := read_json(directory / "progress.json"):
                progress(state)
            for each in watch.findings():
                finding(each)
            if launch is not None and (directory / "error.txt").is_file():
                process.terminate()  # one process said why it cannot go on: no other try would tell more
                process.wait()
            if (seconds := watch.stalled()) is not None and process.poll() is None:
                hung = watch.end(process, seconds)
    finally:
        if process.poll() is None:  # we are being interrupted: let it not train on alone
            process.terminate()
            process.wait()
        if process.stdin:
            process.stdin.close()
        log.finish()
        (directory / LAUNCH).unlink(missing_ok=True)
    for each in watch.findings():
        finding(each)
    if hung is not None:
        text = f"the training job was ended: {hung}; run again to go on from its last checkpoint"
        write_text(directory / "error.txt", f"{text}\n")
        raise TrainingError(text)
    if process.returncode:
        raise _failure(job, directory, process.returncode)


def _start_of(job: Job, directory: Path) -> Launch | None:
    """What the agents of a job of several processes are told; ``None`` for a job of one."""
    for left in directory.glob(FAILURES):
        left.unlink()
    (directory / LAUNCH).unlink(missing_ok=True)
    if job.processes == 1:
        return None
    launch = Launch.of(job)
    launch.write(directory)
    if launch.nnodes > 1:
        others = launch.nnodes - 1
        how = "the prefix starts them" if launch.prefix else f"run there: rl-harness join {directory.parent.parent}"
        report_activity(directory, f"waiting for {others} other machine{'s' if others > 1 else ''} ({how})")
    return launch


def _failure(job: Job, directory: Path, code: int) -> HarnessError:
    explained = directory / "error.txt"
    if explained.is_file():
        sentence = explained.read_text(encoding="utf-8").strip()
        return TrainingError(*sentence.split("\n"))
    lines = (directory / "log.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    tail = [f"    {line}" for line in lines[-LOG_LINES:]]
    reached = (read_json(directory / "progress.json") or {}).get("step", 0)
    first = failure_of(directory)
    who = "the training job"
    if first is not None:
        where = f" on {first['host']}" if job.launch["nnodes"] > 1 else ""
        who, code = f"process {first['rank']} of the {job.processes} of the training job{where}", first["exitcode"]
    if code < 0:
        how = f"was killed by {signal.Signals(-code).name}"
        if -code == signal.SIGKILL:
            how += " (on a full machine that is the system's out-of-memory killer)"
    else:
        how = f"ended with exit code {code}"
    if "out of memory" in "\n".join(tail).lower():
        how += ": out of memory; lower per_device_train_batch_size and raise gradient_accumulation_steps"
    tries = int(job.launch.get("max_restarts", 0)) if first is not None else 0
    again = f", and all had been started again {tries} time{'s' if tries > 1 else ''}" if tries else ""
    error = TrainingError(
        f"{who} {how} after step {reached}{again}; run again to go on from its last checkpoint. "
        f"Last lines of {directory / 'log.txt'}:",
        *tail,
    )
    write_text(explained, f"{error}\n")
    return error
