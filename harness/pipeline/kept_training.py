"""Trained policies that were trained before, found by content: two recipes that train the same thing share it.

What decides a trained policy (``fingerprint.policy_identity``) knows nothing of the test questions, of the
gate, of the evaluation and of the recipe's name. So another run's finished training is copied into the run directory
that asks for it, and its report has every step and completion; checkpoints stay where they are.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.store.faults import FILE as FAULTS
from harness.store.run_directory import read_json, write_json

SUMMARY = "summary.json"

# Of the process that trained, of a failure before it, and what is only needed to go on.
_LEFT_OUT = {".lock", SUMMARY, "job.json", "progress.json", "failed.json", "error.txt"}


def adopt_training(directory: Path, key: str, runs: Iterable[Path]) -> dict[str, Any] | None:
    """Copy a finished training with this key into ``directory`` (``train/`` of a run) from one of ``runs``.

    The summary is written last: without it, nothing of what a kill left here counts.

    Returns:
        ``train/summary.json``, with the run that trained as ``source``; ``None`` where none of them has it.
    """
    for run in runs:
        other = run / "train"
        summary = read_json(other / SUMMARY)
        if other == directory or summary is None or summary.get("training_key") != key:
            continue
        if not (other / "final").is_dir():  # deleted to save space
            continue
        _copy(other, directory)
        for name in (Path("signal.json"), Path("samples") / FAULTS):  # what was found before it began
            if (run / name).is_file():
                (directory.parent / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(run / name, directory.parent / name)
        adopted = {**summary, "source": summary.get("source") or run.name}
        write_json(directory / SUMMARY, adopted)
        return adopted
    return None


def _copy(other: Path, directory: Path) -> None:
    for name in ("error.txt", "failed.json", *(entry.name for entry in directory.glob("*.jsonl"))):
        (directory / name).unlink(missing_ok=True)  # of a training that did not end
    for entry in other.iterdir():
        if entry.is_file() and entry.name not in _LEFT_OUT and not entry.name.startswith("."):
            shutil.copyfile(entry, directory / entry.name)
    unfinished, final = directory / ".final", directory / "final"
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.rmtree(final, ignore_errors=True)
    shutil.copytree(other / "final", unfinished, copy_function=_link)
    unfinished.rename(final)


def _link(source: str, target: str) -> None:
    """A second name for the same bytes where the file system has that: weights are large, and are never written to."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
