"""Trainings in a process of their own, for tests that kill one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

CHECKPOINT_2 = "checkpoint-2/trainer_state.json"  # the last file of a checkpoint

TRAIN = """
import json, sys
from pathlib import Path
from harness.recipe.catalog import find_recipe
from harness.pipeline.run import Run, Settings

name, changes, runs_dir = sys.argv[1:]
Run(find_recipe(name).override(json.loads(changes)), 0, Settings(runs_dir=Path(runs_dir))).trained()
"""


@dataclass
class Training:
    """The process that asked for a training, the job's own, and the run's folder ``train``."""

    asker: subprocess.Popen[bytes]
    job: psutil.Process
    folder: Path

    def ranks(self) -> dict[int, psutil.Process]:
        """The processes of a job of several, by rank."""
        workers = [each for each in self.family() if "harness.training.worker" in each.cmdline()[:5]]
        return {int(each.environ()["RANK"]): each for each in workers}

    def family(self) -> list[psutil.Process]:
        """All processes that the asker started, and they in turn."""
        return psutil.Process(self.asker.pid).children(recursive=True)


def start_training(recipe: str, changes: dict[str, Any], runs_dir: Path) -> subprocess.Popen[bytes]:
    """Start to train; what is told goes to ``told.txt``."""
    runs_dir.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", TRAIN, recipe, json.dumps(changes), str(runs_dir)]
    with (runs_dir / "told.txt").open("wb") as stderr:
        return subprocess.Popen(command, stderr=stderr)


def training_until(file: str, recipe: str, changes: dict[str, Any], runs_dir: Path) -> Training:
    """Start to train and wait until ``file`` is in the run's folder ``train``."""
    asker = start_training(recipe, changes, runs_dir)
    deadline = time.monotonic() + 600  # a busy machine takes minutes to import torch
    while not (found := list(runs_dir.glob(f"*/train/{file}"))):
        assert asker.poll() is None, told(runs_dir)
        assert time.monotonic() < deadline
        time.sleep(0.01)
    (job,) = psutil.Process(asker.pid).children()
    (folder,) = (path.parents[file.count("/")] for path in found)
    return Training(asker, job, folder)


def told(runs_dir: Path) -> str:
    """What the process that asked said on its standard error."""
    return (runs_dir / "told.txt").read_text()


def kill_after_checkpoint_2(recipe: str, changes: dict[str, Any], runs_dir: Path) -> None:
    """SIGKILL to a job that has left a checkpoint: the process that asked fails in words, and nothing is finished."""
    training = training_until(CHECKPOINT_2, recipe, changes, runs_dir)
    training.job.send_signal(signal.SIGKILL)
    assert training.asker.wait(60) != 0
    assert "killed by SIGKILL" in told(runs_dir)
    assert not (training.folder / "summary.json").exists()
