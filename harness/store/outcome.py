"""What keeps a run from having passed, whatever its verdicts say."""

from __future__ import annotations

from pathlib import Path

from harness.store.files import RecordError
from harness.store.records import SUMMARY
from harness.store.run_files import HEALTH, TRAINED


def unfinished(directory: Path) -> str | None:
    """What a run lacks whose training was begun: its end, or answers of what was trained."""
    train = directory / "train"
    if not train.is_dir() or SUMMARY.path(directory / "after").exists():
        return None
    return "not evaluated after training" if TRAINED.path(train).exists() else "training not finished"


def fatal_checks(directory: Path) -> list[str]:
    """The health checks that found what was learned lost."""
    try:
        return [row.check for row in HEALTH.read(directory / "train") if row.level == "fatal"]
    except RecordError:  # who shows this run says so
        return []


def shortfall(directory: Path) -> str | None:
    """Either of them in a few words."""
    fatal = ", ".join(fatal_checks(directory))
    return f"unhealthy: {fatal}" if fatal else unfinished(directory)
