"""What a run directory holds beside its verdicts, in lines for a terminal: what it has from other runs, its signal,
health, selection, answers at k."""

from __future__ import annotations

from pathlib import Path

from harness.rewards.at_k import at_k_line
from harness.store.records import SUMMARY
from harness.store.run_files import EVALUATIONS, HEALTH, SIGNAL, TRAINED, HeldOut
from harness.store.stages import ASKED, SIDES, STAGES
from harness.store.words import counted, percent


def doubts(directory: Path) -> list[str]:
    """What speaks against the answers of a run, stage by stage: some could not be had, or were cut off before they
    began; and, once, that they came the slow way."""
    found: list[str] = []
    slow: set[str] = set()
    for stage in STAGES:
        training = TRAINED.read(directory / stage) if stage == "train" else None
        summary = None if stage == "train" else SUMMARY.read(directory / stage)
        made = training or summary
        if made and made.slow and made.slow not in slow:
            slow.add(made.slow)
            found.append(f"{stage}: by model.generate, which is slower: {made.slow}")
        found += [f"{stage}: {doubt}" for doubt in (summary.doubts if summary else ())]
    return found


def remarks(directory: Path) -> list[tuple[str | None, str]]:
    """The level of a finding of the health checks (``None`` for what is none) and a line each, in the order in which
    they came to be; first what was found in other runs."""
    lines: list[tuple[str | None, str]] = []
    for stage in ASKED:
        if (summary := SUMMARY.read(directory / stage)) and (reused := summary.reused):
            asked, most = sum(summary.counts.values()), max(reused, key=reused.__getitem__)
            more = f" and {counted(len(reused) - 1, 'more run')}" if len(reused) > 1 else ""
            lines.append((None, f"{stage}: {sum(reused.values()):,} of {asked:,} answers found in {most}{more}"))
    training = TRAINED.read(directory / "train")
    if training and training.source:
        lines.append((None, f"training: the same was trained in {training.source}"))
    signal = SIGNAL.read(directory)
    if signal and not signal.refused:  # a refusal is the training verdict
        lines.append((None, f"signal: {signal.sentence}"))
    lines += [
        (row.level, f"health, {row.level}: {row.check} at step {row.step}: {row.sentence}")
        for row in HEALTH.read(directory / "train")
    ]
    during = list(EVALUATIONS.read(directory / "train"))
    if during:
        curve = " → ".join(f"{percent(each.accuracy)} (step {each.step})" for each in _few(during))
        lines.append((None, f"held out: {curve} of {counted(during[-1].questions, 'question')}"))
    for stage in SIDES:
        if (summary := SUMMARY.read(directory / stage)) and (line := at_k_line(summary.at_k)):
            lines.append((None, f"{stage}: {line}"))
    return lines


def _few(evaluations: list[HeldOut]) -> list[HeldOut]:
    """The first, the best and the last one."""
    best = max(evaluations, key=lambda each: (each.accuracy, -each.step))
    kept = [evaluations[0], best, evaluations[-1]]
    return [each for place, each in enumerate(kept) if each not in kept[:place]]
