"""The answer to "was the training sound?" in a mark and one or two plain sentences, drawn from what was logged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.report.present import NONE, number, percent, plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.report.views import Run, Training
    from harness.store.run_files import Logged

CUT_HIGH = 0.1
"""A share of truncated completions above which a headline says so: cut-off answers get no reward for what they knew."""

ZERO_HIGH = 0.5
"""A share of groups without signal above which more is sampled in vain than learnt from."""

ZERO_ABOVE_CHANCE = 0.25
"""How far the share may lie above chance before the headline warns."""


@dataclass(frozen=True, slots=True)
class Soundness:
    """``kind`` is a css class as in :func:`harness.report.present.outcome_words`."""

    mark: str
    kind: str
    word: str
    sentences: tuple[str, ...]


def soundness(run: Run, training: Training, expected: Mapping[int, float]) -> Soundness:
    """What the training verdict, the health checks and the logged shares say together; the worst of them leads."""
    worst, about = _foremost(run, training)
    learnt, kind = _signal(training, expected)
    if worst == "good" and kind == "warn":
        worst = "warn"
    mark, word = {
        "bad": ("✗", "Not sound"),
        "warn": ("!", "Sound with reservations"),
        "open": (NONE, "Cannot tell"),
        "good": ("✓", "Sound"),
    }[worst]
    return Soundness(mark, worst, word, tuple(sentence for sentence in (about, learnt) if sentence))


def _foremost(run: Run, training: Training) -> tuple[str, str]:
    if training.error:
        return "bad", "Training failed; what it last said stands above."
    verdict = next((verdict for verdict in run.verdicts if verdict.gate == "training"), None)
    if verdict is not None and verdict.passed is False:
        return "bad", _sentence(verdict.sentence)
    if not training.steps:
        return "open", "No step was logged."
    findings = training.health or ()
    fatal = [finding for finding in findings if finding.level == "fatal"]
    if fatal:
        return "bad", f"A health check at step {fatal[0].step} was fatal: {_sentence(fatal[0].sentence)}"
    broken = sorted({step for key in ("loss", "grad_norm", "reward") for step in _broken(training.steps, key)})
    if broken:
        return "bad", f"The loss, gradient or reward is no finite number at step {broken[0]:g}{_more(len(broken) - 1)}."
    done = f"{plural(training.steps[-1]['step'], 'step')}, every logged loss and gradient finite"
    if findings:
        count = "one warning" if len(findings) == 1 else f"{len(findings)} warnings"
        first = min(findings, key=lambda finding: finding.step)
        return "warn", f"{done}, but the health checks gave {count}, first at step {first.step}."
    return "good", f"{done}{', and no health check spoke' if training.health is not None else ''}."


def _signal(training: Training, expected: Mapping[int, float]) -> tuple[str, str]:
    """A sentence about groups without signal and truncation, and whether it is a warning."""
    said, kind = [], "good"
    zero = _mean(training.steps, "frac_reward_zero_std")
    if zero is not None:
        chance = sum(expected.values()) / len(expected) if expected else None
        beside = f" (by chance alone {percent(chance)})" if chance is not None else ""
        said.append(f"{percent(zero)} of the groups were without signal: equal rewards teach nothing{beside}")
        if training.signal is not None:
            said.append(f"the signal check before training expected {percent(training.signal.zero_std_share)}")
        if zero > ZERO_HIGH or (chance is not None and zero - chance > ZERO_ABOVE_CHANCE):
            kind = "warn"
    cut = _mean(training.steps, "completions/clipped_ratio")
    if cut is not None:
        said.append(f"{percent(cut) if cut else 'none'} of the completions reached the token limit")
        if cut > CUT_HIGH:
            kind = "warn"
    text = "; ".join(said)
    return (f"{text[:1].upper()}{text[1:]}." if text else ""), kind


def _broken(steps: Sequence[Logged], key: str) -> list[float]:
    return [step["step"] for step in steps if key in step and number(step[key]) is None]


def _mean(steps: Sequence[Logged], key: str) -> float | None:
    values = [value for step in steps if (value := number(step.get(key))) is not None]
    return sum(values) / len(values) if values else None


def _more(count: int) -> str:
    return f" and at {count} more" if count else ""


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
