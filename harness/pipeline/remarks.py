"""What a run directory holds beside its verdicts, in lines for a terminal: what it has from other runs, signal, health,
selection, answers at k."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.gate.wording import counted, percent
from harness.rewards.at_k import at_k_line
from harness.store.run_directory import read_json, read_lines
from harness.store.stages import ASKED, SIDES, STAGES


def doubts(directory: Path) -> list[str]:
    """What speaks against the answers of a run, stage by stage: some could not be had, or were cut off before they
    began; and, once, that they came the slow way."""
    found: list[str] = []
    slow: set[str] = set()
    for stage in STAGES:
        summary = read_json(directory / stage / "summary.json") or {}
        if (why := summary.get("slow")) and why not in slow:
            slow.add(why)
            found.append(f"{stage}: by model.generate, which is slower: {why}")
        told = (summary.get(key) for key in ("unanswered", "unfinished"))
        found += [f"{stage}: {doubt['sentence']}" for doubt in told if doubt]
    return found


def remarks(directory: Path) -> list[tuple[str | None, str]]:
    """The level of a finding of the health checks (``None`` for what is none) and a line each, in the order in which
    they came to be; first what was found in other runs."""
    lines: list[tuple[str | None, str]] = []
    for stage in ASKED:
        summary = read_json(directory / stage / "summary.json") or {}
        if reused := summary.get("reused"):
            asked, most = sum(summary["counts"].values()), max(reused, key=reused.__getitem__)
            more = f" and {counted(len(reused) - 1, 'more run')}" if len(reused) > 1 else ""
            lines.append((None, f"{stage}: {sum(reused.values()):,} of {asked:,} answers found in {most}{more}"))
    if source := (read_json(directory / "train" / "summary.json") or {}).get("source"):
        lines.append((None, f"training: the same was trained in {source}"))
    signal = read_json(directory / "signal.json")
    if signal is not None and not signal.get("refused"):  # a refusal is the training verdict
        lines.append((None, f"signal: {signal['sentence']}"))
    lines += [
        (row["level"], f"health, {row['level']}: {row['check']} at step {row['step']}: {row['sentence']}")
        for row in read_lines(directory / "train" / "health.jsonl")
    ]
    during = list(read_lines(directory / "train" / "evaluations.jsonl"))
    if during:
        curve = " -> ".join(f"{percent(each['accuracy'])} (step {each['step']})" for each in _few(during))
        lines.append((None, f"held out: {curve} of {counted(during[-1]['questions'], 'question')}"))
    for stage in SIDES:
        if (line := at_k_line((read_json(directory / stage / "summary.json") or {}).get("at_k"))) is not None:
            lines.append((None, f"{stage}: {line}"))
    return lines


def _few(evaluations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first, the best and the last one."""
    best = max(evaluations, key=lambda each: (each["accuracy"], -each["step"]))
    kept = [evaluations[0], best, evaluations[-1]]
    return [each for place, each in enumerate(kept) if each not in kept[:place]]
