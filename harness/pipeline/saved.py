"""What was not done again: counted while a run's stages are made, and told at the end of a session."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.pipeline.kept_answers import Taken
from harness.store.run_directory import read_json
from harness.store.stages import ASKED

if TYPE_CHECKING:
    from harness.pipeline.evaluate import Evaluation


@dataclass(frozen=True, slots=True)
class Saved:
    """Answers with their generated tokens, and optimizer steps, that were found kept; ``seconds`` are what they took
    when they were made, where that is known."""

    answers: int = 0
    tokens: int = 0
    steps: int = 0
    seconds: float = 0.0

    def __add__(self, other: Saved) -> Saved:
        return Saved(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def saved_answers(evaluation: Evaluation) -> Saved:
    """What an evaluation did not have to generate when it was asked for."""
    summary = evaluation.summary
    tokens = int(summary["completion_tokens"])
    kept = tokens - evaluation.generated_tokens
    seconds = (summary.get("seconds") or 0.0) + Taken.of(summary.get("kept")).seconds
    return Saved(
        answers=sum(summary["counts"].values()) - evaluation.generated,
        tokens=kept,
        seconds=seconds * kept / max(1, tokens),
    )


def saved_steps(summary: Mapping[str, Any], steps: int) -> Saved:
    """What a training did not have to do: ``steps`` of those in its ``summary.json``."""
    return Saved(steps=steps, seconds=steps * summary.get("seconds_per_step", 0.0))


def saved_line(saved: Iterable[Saved]) -> str | None:
    """``kept: 1,600 answers of 31,520 tokens, 40 training steps (saved about 1 min 12 s)``, or ``None``."""
    total = sum(saved, Saved())
    parts = []
    if total.answers:
        parts.append(f"{total.answers:,} answer{'s' * (total.answers != 1)} of {total.tokens:,} tokens")
    if total.steps:
        parts.append(f"{total.steps:,} training step{'s' * (total.steps != 1)}")
    if not parts:
        return None
    return f"kept: {', '.join(parts)}" + (f" (saved about {duration(total.seconds)})" if total.seconds >= 1 else "")


def taken_lines(directory: Path) -> list[str]:
    """What a run directory has from others, a line a stage."""
    lines = []
    for stage in ASKED:
        summary = read_json(directory / stage / "summary.json") or {}
        taken = Taken.of(summary.get("kept"))
        if taken.answers:
            asked = sum(summary["counts"].values())
            lines.append(f"{stage}: {taken.answers:,} of {asked:,} answers found in {_named(taken.runs)}")
    if source := (read_json(directory / "train" / "summary.json") or {}).get("source"):
        lines.append(f"training: the same was trained in {source}")
    return lines


def duration(seconds: float) -> str:
    """``12 s``, ``1 min 12 s``, ``1 h 3 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _named(runs: Mapping[str, int]) -> str:
    first, *others = sorted(runs, key=lambda run: -runs[run])
    return first + (f" and {len(others)} more run{'s' * (len(others) != 1)}" if others else "")
