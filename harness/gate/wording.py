"""Numbers in the words of the gate: shares, points, and how sure a test is of what it says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def points(share: float) -> str:
    """A difference of accuracies: ``5 points``, ``2.5 points``."""
    return f"{100 * share:.1f}".removesuffix(".0") + (" point" if abs(100 * share) == 1 else " points")


def plain(share: float) -> str:
    """A share or an error rate, to two digits that count: ``.05``, ``.017``, ``.93``."""
    rounded = f"{share:.2f}" if share >= 0.1 else f"{share:.2g}"
    return rounded.removeprefix("0") if rounded.startswith("0.") else rounded


def reused_line(reused: Mapping[str, int]) -> str | None:
    """``Reused 3,360 answers, 40 training steps.`` of counts by stage, or ``None``; in ``train`` they are steps."""
    steps = reused.get("train", 0)
    answers = sum(reused.values()) - steps
    parts = [counted(count, noun) for count, noun in ((answers, "answer"), (steps, "training step")) if count]
    return f"Reused {', '.join(parts)}." if parts else None


def duration(seconds: float) -> str:
    """``12 s``, ``1 min 12 s``, ``1 h 3 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def counted(number: int, what: str) -> str:
    """``1 question``, ``60 questions``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def told_alpha(alpha: float, gates: int) -> str:
    """``(alpha .05)``, or ``(alpha .05 shared by 2 gates)`` where this gate's ``alpha`` is a part of the recipe's."""
    return f"(alpha {plain(alpha * gates)}{f' shared by {gates} gates' if gates > 1 else ''})"


def luck(claim: Literal["gain", "loss"], alpha: float, gates: int, *, exact: bool = True) -> str:
    """How often the whole test, all its looks together, makes this claim where nothing differs."""
    at = f"{'at most' if exact else 'about'} {100 * alpha:.3g} %"
    return f"luck alone would pass for a {claim} in {at} of such tests {told_alpha(alpha, gates)}"


def ruled_out(effect: str, beta: float, *, exact: bool = True) -> str:
    """``effect`` is not there, and how often the test says so where it is."""
    at = f"{'at most' if exact else 'about'} {100 * beta:.3g} %"
    return f"{effect} or more is ruled out, wrongly in {at} of such tests"


def unseen(
    questions: int, effect: Literal["drop", "gain"], smallest: float | None, asked: float, needed: str | None
) -> str:
    """What so many questions may miss: ``60 questions: a drop of less than about 15 points could go unseen, 5 were
    asked for (that needs about 530)``.

    Args:
        smallest: the smallest effect that they show, as a share; ``None`` where they show none at all.
        asked: the effect that is asked for.
        needed: how many questions show it; ``None`` where these do.
    """
    unit = "was" if 100 * asked == 1 else "were"
    if smallest is None:
        turned = "wrong" if effect == "drop" else "right"
        could = f"any {effect} could go unseen, even if every answer turned {turned}; {points(asked)} {unit} asked for"
    else:
        least = 100 * smallest
        rough = points(smallest) if least < 9.95 else f"{least:.0f} points"
        could = f"a {effect} of less than about {rough} could go unseen, {100 * asked:.3g} {unit} asked for"
    return f"{counted(questions, 'question')}: {could}{f' (that needs {needed})' if needed else ''}"
