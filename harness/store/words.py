"""How numbers are said, and what a session says of its stages. Sentences of verdicts are in ``gate/wording``."""

from __future__ import annotations

from collections.abc import Mapping

_WORTH_SAYING = 10  # seconds that are left
_ASCII = str.maketrans({"✓": "+", "✗": "x", "→": "->", "·": ",", "━": "=", "─": "-", "│": "|"})


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def points(share: float) -> str:
    """A difference of accuracies: ``5 points``, ``2.5 points``."""
    return f"{100 * share:.1f}".removesuffix(".0") + (" point" if abs(100 * share) == 1 else " points")


def two_digits(share: float) -> str:
    """A share or an error rate, to two digits that count: ``.05``, ``.017``, ``.93``."""
    rounded = f"{share:.2f}" if share >= 0.1 else f"{share:.2g}"
    return rounded.removeprefix("0") if rounded.startswith("0.") else rounded


def counted(number: int, what: str) -> str:
    """``1 question``, ``60 questions``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """``12 s``, ``1 min 12 s``, ``1 h 3 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def gained_lost(gained: int, lost: int) -> str:
    return f"{gained:,} gained · {lost:,} lost"


def gain(share: float, interval: tuple[float, float] | None) -> tuple[str, str]:
    """A gain in points and its 95 % interval: ``("+99.5", "[98.8, 100.0]")``."""
    return f"{100 * share:+.1f}", "" if interval is None else f"[{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def reused_line(reused: Mapping[str, int]) -> str | None:
    """``Reused 3,360 answers, 40 training steps.`` of counts by stage, or ``None``; in ``train`` they are steps."""
    steps = reused.get("train", 0)
    answers = sum(reused.values()) - steps
    counts = ((answers, "answer"), (steps, "training step"))
    parts = [f"{count:,} {noun}{'s' * (count != 1)}" for count, noun in counts if count]
    return f"Reused {', '.join(parts)}." if parts else None


def steps_done(
    done: int, total: int, moved: tuple[str, float, float] | None, left: float | None = None, within: str = ""
) -> str:
    """How far a training is: ``18/40  reward 0.32 → 0.48  9 s left``; ``moved`` is of what, from and to, and ``within``
    what the step is at."""
    parts = [f"{done}/{total}"]
    if moved is not None:
        parts.append(f"{moved[0]} {moved[1]:.2f} → {moved[2]:.2f}")
    if left:
        parts.append(f"{duration(left)} left")
    return "  ".join([*parts, within] if within else parts)


def work_within_step(doing: str, parts: int, of: int, left: float = 0.0) -> str:
    """What a training is at, as ``progress.json`` has it: ``sampled 12/16``, ``updated 3/8, 2 min 5 s left of the
    step``. Empty where that is not known."""
    if doing == "restarted":
        return f"started again from step {parts}"
    if doing == "evaluating":
        return f"evaluation, {parts}/{of} answers"
    text = {"sampling": "sampled", "updating": "updated"}.get(doing, "")
    text = text and f"{text} {parts}/{of}"
    return f"{text}, {duration(left)} left of the step" if text and round(left) >= _WORTH_SAYING else text


def answers_done(done: int, total: int, accuracy: float | None = None, left: float = 0.0) -> str:
    """``256/400 answers``, and of all of them what share is right, or how many seconds are ``left`` to go."""
    text = f"{done:,}/{total:,} answers"
    if accuracy is not None:
        return f"{text}  {percent(accuracy)} right"
    return f"{text}  {duration(left)} left" if round(left) >= _WORTH_SAYING else text


def stopped_line(stage: str, measured: str, checkpoint: int | None, *, trained: bool, fresh: bool) -> str:
    """Where a session was interrupted and what the same command does then; ``checkpoint`` is the last one of a training
    that was at work, 0 where there is none, and ``None`` where that is not known."""
    where = f" in {stage}{' at ' if measured else ''}{measured.partition('  ')[0]}" if stage else ""
    if not trained:
        how = "goes on from there"
    elif checkpoint == 0:
        how = "begins this training again and goes on"
    else:
        how = f"goes on from its {'last checkpoint' if checkpoint is None else f'checkpoint of step {checkpoint}'}"
    which = "The same command without --rl-fresh" if fresh else "The same command"
    return f"Stopped{where}. {which} {how}."


def left_out_line(kinds: Mapping[str, int], *, told: bool) -> str:
    """Of how many recipes a session left out, by kind: ``6 recipes not for this machine (3 GPU, 3 on request; -v lists
    them)``."""
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    return (
        f"{counted(sum(kinds.values()), 'recipe')} not for this machine ({counts}{'' if told else '; -v lists them'})"
    )


def drawable(text: str, encoding: str | None) -> str:
    """A text with our marks in ASCII where a terminal's encoding lacks them."""
    try:
        "✓✗→·━─│".encode(encoding or "utf-8")
    except UnicodeEncodeError:
        return text.translate(_ASCII)
    return text
