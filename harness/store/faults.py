"""Counts what went wrong in reward functions, by function and reason: ``rewards.json`` beside what they scored.

    {"functions": {"my.rewards:judge": {
        "completions": 640, "unscored": 13, "sentence": "...",
        "retried": 2, "retried_for": "raised ValueError at judge.py:12: no reply",
        "reasons": [{"reason": "raised ValueError at judge.py:12: no reply",
                     "completions": 13, "question_id": "gsm8k/train/17"}]}}}

``retried`` counts batches that had to be asked again one completion at a time. A value of ``None`` that a function gave
itself is no fault: it says that the reward does not apply.
"""

from __future__ import annotations

from pathlib import Path

from harness.store.records import FAULTS, FaultReason, FunctionFaults, RewardFaults
from harness.store.redact import safe_line
from harness.store.stages import STAGES

_MOST_REASONS = 10
_OTHER = "other reasons"
_MOST_CHARACTERS = 200


class Faults:
    """Completions that were left without a value. ``kept`` is an earlier :attr:`file`, to count on from."""

    def __init__(self, kept: RewardFaults | None = None) -> None:
        self.asked: dict[str, int] = {}
        self.reasons: dict[str, dict[str, tuple[int, str | None]]] = {}
        self.retried: dict[str, tuple[int, str]] = {}
        for name, each in kept.functions.items() if kept else ():
            self.asked[name] = each.completions
            self.reasons[name] = {row.reason: (row.completions, row.question_id) for row in each.reasons}
            if each.retried:
                self.retried[name] = each.retried, each.retried_for

    def __bool__(self) -> bool:
        return bool(self.reasons or self.retried)

    @property
    def names(self) -> list[str]:
        """The functions that failed."""
        return list(dict.fromkeys((*self.reasons, *self.retried)))

    def ask(self, name: str, completions: int) -> None:
        """Count completions that a function was asked about."""
        self.asked[name] = self.asked.get(name, 0) + completions

    def add(self, name: str, reason: str, completions: int, question_id: str | None = None) -> None:
        """Count completions that a function gave no value for."""
        known = self.reasons.setdefault(name, {})
        reason = safe_line(reason, _MOST_CHARACTERS)
        if reason not in known and len(known) >= _MOST_REASONS:
            reason = _OTHER
        count, first = known.get(reason, (0, question_id))
        known[reason] = count + completions, first

    def retry(self, name: str, reason: str) -> None:
        """Count a batch that has to be asked again one completion at a time."""
        count, first = self.retried.get(name, (0, safe_line(reason, _MOST_CHARACTERS)))
        self.retried[name] = count + 1, first

    def share(self, name: str) -> float:
        """Share of its completions that a function gave no value for."""
        return self._unscored(name) / max(1, self.asked.get(name, 0))

    def sentence(self, name: str) -> str:
        """``reward "x" gave no value for 3 of 640 completions: raised ValueError at judge.py:12: no (3)``."""
        ordered = sorted(self.reasons.get(name, {}).items(), key=lambda item: -item[1][0])
        reasons = ", ".join(f"{reason} ({count})" for reason, (count, _) in ordered)
        counts = f"{self._unscored(name)} of {self.asked.get(name, 0)}"
        if reasons:
            return f'reward "{name}" gave no value for {counts} completions: {reasons}'
        retried, reason = self.retried[name]
        batches = "1 batch" if retried == 1 else f"{retried} batches"
        return f'reward "{name}" failed on {batches} and gave every value when asked again: {reason}'

    def sentences(self) -> list[str]:
        """One for each function that failed."""
        return [self.sentence(name) for name in self.names]

    @property
    def file(self) -> RewardFaults:
        """``rewards.json``; see the module."""
        functions = {}
        for name in self.names:
            reasons = [FaultReason(why, count, first) for why, (count, first) in self.reasons.get(name, {}).items()]
            counts = self.asked.get(name, 0), self._unscored(name)
            functions[name] = FunctionFaults(
                *counts, self.sentence(name), tuple(reasons), *self.retried.get(name, (0, ""))
            )
        return RewardFaults(functions)

    def _unscored(self, name: str) -> int:
        return sum(count for count, _ in self.reasons.get(name, {}).values())


def stage_sentences(directory: Path) -> list[str]:
    """What went wrong in the reward functions of a run, stage by stage."""
    kept = {stage: FAULTS.read(directory / stage) for stage in STAGES}
    return [
        f"{stage}: {each.sentence}" for stage, faults in kept.items() if faults for each in faults.functions.values()
    ]
