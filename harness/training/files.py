"""The files of a train directory, for whoever reads them without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.store.run_directory import read_json, write_json

METRICS, COMPLETIONS = "metrics.jsonl", "completions.jsonl"
HEALTH, EVALUATIONS = "health.jsonl", "evaluations.jsonl"
PROGRESS = "progress.json"


def report_activity(directory: Path, text: str | None) -> None:
    """Say in ``progress.json`` what the job does between two steps; it is also what tells that it lives."""
    known = read_json(directory / PROGRESS) or {"step": 0, "first_step": 0, "total": None, "seconds": 0, "reward": None}
    write_json(directory / PROGRESS, {**known, "activity": text}, durable=False)


class Tail:
    """The lines that were added to a JSONL file since the last look; whole lines only."""

    def __init__(self, path: Path) -> None:
        self._path, self._at = path, 0

    def read(self) -> list[dict[str, Any]]:
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                whole, newline, _ = file.read().rpartition(b"\n")
        except OSError:
            return []
        self._at += len(whole) + len(newline)
        return [json.loads(line) for line in whole.splitlines()]
