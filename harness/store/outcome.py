"""Whether a run passed: what its verdicts come to, and what keeps it from having passed whatever they say."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from harness.store.files import RecordError
from harness.store.records import SUMMARY
from harness.store.run_files import HEALTH, TRAINED, Verdict


def outcome(verdicts: Collection[Verdict], shortfall: str | None) -> bool | None:
    """False where a verdict fails; ``None`` where one is open, a pass is not a plain one, nothing was judged, or the
    run fell short. That nobody recorded a baseline yet leaves nothing open where more was judged."""
    judged = [each.holds for each in verdicts if each.verdict != "NO_BASELINE"]
    if False in judged:
        return False
    return None if shortfall or not judged or None in judged else True


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
