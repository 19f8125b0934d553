"""What the gate says, with the numbers that led to it. Pure functions of question means; no model, no torch.

| verdict | test | meaning |
|---|---|---|
| IMPROVED | passes | better by the sequential test: than before, by ``min_improvement`` too, or than the baseline |
| OK | passes | a drop of ``margin`` is ruled out, the accuracy threshold is reached, or training was sound |
| REGRESSED | fails | worse than before, or than the baseline, by the sequential test |
| NOT_IMPROVED | fails | a gain of ``min_improvement`` or more is ruled out |
| TOO_LOW | fails | the accuracy's lower bound does not reach ``min_accuracy`` |
| UNSOUND | fails | training diverged, or never had anything to learn from |
| INCOMPARABLE | fails | the baseline was recorded with other questions, prompt, grader, engine or decoding |
| INCONCLUSIVE | warns | the questions cannot tell; fails under ``--rl-strict``, as do the next two |
| UNDERPOWERED | warns | too few questions to see a drop of ``margin``: said before anything is generated |
| NO_BASELINE | warns | nothing to hold the run against |
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from harness.gate.confidence import anytime_interval
from harness.gate.intervals import accuracy_interval
from harness.gate.sequential import walk

Word = Literal[
    "IMPROVED",
    "OK",
    "REGRESSED",
    "NOT_IMPROVED",
    "TOO_LOW",
    "UNSOUND",
    "INCOMPARABLE",
    "INCONCLUSIVE",
    "UNDERPOWERED",
    "NO_BASELINE",
]
PASSES = frozenset({"IMPROVED", "OK"})
WARNS = frozenset({"INCONCLUSIVE", "UNDERPOWERED", "NO_BASELINE"})
BETA = 0.10  # chance of ruling out a gain that is there


@dataclass(frozen=True, slots=True)
class Verdict:
    """``gate`` names what was judged (``improvement``, ``accuracy``, ``training``); ``sentence`` is for people."""

    gate: str
    verdict: Word
    sentence: str
    numbers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool | None:
        """True, False, or ``None`` where the data cannot tell."""
        return None if self.verdict in WARNS else self.verdict in PASSES

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "passed": self.passed}


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def points(share: float) -> str:
    """A difference of accuracies: ``5 points``, ``2.5 points``."""
    return f"{100 * share:.1f}".removesuffix(".0") + (" point" if abs(100 * share) == 1 else " points")


def judge_improvement(
    before: Mapping[str, float],
    after: Mapping[str, float],
    order: Sequence[str],
    *,
    min_improvement: float | None,
    margin: float,
    alpha: float,
    asked: int | None = None,
    samples: int = 1,
) -> Verdict:
    """After against before on the same questions.

    Args:
        before, after: share correct by question id; a question missing from either (unscored) makes no pair.
        order: all question ids in their fixed order.
        min_improvement: the gain that is asked for; ``None`` asks for any, and rules out gains of ``margin``.
        alpha: chance of IMPROVED where nothing changed, and of REGRESSED likewise.
        asked: how many questions of ``order`` were asked so far, from its start; all if not given.
        samples: answers a question.
    """
    asked = len(order) if asked is None else asked
    pairs = [question for question in order[:asked] if question in before and question in after]
    differences = [after[question] - before[question] for question in pairs]
    numbers: dict[str, Any] = {
        "pairs": len(pairs),
        "questions": len(order),
        "asked": asked,
        "before": _mean([before[question] for question in pairs]),
        "after": _mean([after[question] for question in pairs]),
        "gained": sum(difference > 0 for difference in differences),
        "lost": sum(difference < 0 for difference in differences),
        "alpha": alpha,
        "min_improvement": min_improvement,
    }
    if not pairs:
        return Verdict("improvement", "INCONCLUSIVE", "no question was scored both before and after", numbers)
    effect = min_improvement or margin
    paired = dict(zip(pairs, differences, strict=True))
    outcome, certain = _paired_outcome(
        [paired.get(question) for question in order[:asked]],
        margin=effect,
        alpha=alpha,
        total=len(order),
        samples=samples,
    )
    numbers["certain_after"] = certain
    gain = round(_mean(differences), 12)  # 0.35 - 0.30 falls short of 0.05
    counts = (
        f"{percent(numbers['before'])} -> {percent(numbers['after'])}, {numbers['gained']} gained, "
        f"{numbers['lost']} lost in {len(pairs)}{f' of {len(order)}' if asked < len(order) else ''} questions"
    )
    at = f"certain after {certain}, alpha {alpha:.2g}"
    if asked < len(order):
        # The number of questions depends on the outcome: only an interval that holds at any time may speak of the gain.
        halves = [(difference + 1) / 2 for difference in differences]
        gain = min(gain, 2 * anytime_interval(halves)[0] - 1) if min_improvement else gain
    if outcome == "better" and gain > 0 and gain >= (min_improvement or 0):
        return Verdict("improvement", "IMPROVED", f"{counts} ({at})", numbers)
    if outcome == "worse" and gain < 0:
        return Verdict("improvement", "REGRESSED", f"{counts} ({at})", numbers)
    if outcome == "ruled_out" and gain < effect:
        word: Word = "NOT_IMPROVED" if min_improvement else "INCONCLUSIVE"
        return Verdict("improvement", word, f"{counts}; a gain of {points(effect)} or more is ruled out", numbers)
    if outcome == "better" and gain > 0:
        reason = f"better, but by {points(gain)} where min_improvement asks for {points(effect)}"
    elif outcome in ("better", "worse"):
        reason = f"{outcome} on the first {certain} questions, but not on all; ask more questions"
    else:
        reason = "the difference may be luck; ask more questions"
    return Verdict("improvement", "INCONCLUSIVE", f"{counts}; {reason} (alpha {alpha:.2g})", numbers)


def _paired_outcome(
    differences: Sequence[float | None], *, margin: float, alpha: float, total: int, samples: int
) -> tuple[str, int]:
    """("better" | "worse" | "ruled_out" | "neither", questions needed to be certain).

    ``differences`` are of the questions asked so far, of ``total``; ``None`` where a question made no pair.
    """
    seen = [difference for difference in differences if difference is not None]
    single = samples == 1 and all(difference in (-1, 0, 1) for difference in seen)
    if single or max(seen) - min(seen) < 1e-9:
        # A t test of equal differences has no spread to judge by: their signs are all there is.
        signs = [None if each is None else (each > 1e-9) - (each < -1e-9) for each in differences]
        up = walk(signs, margin=margin, alpha=alpha, beta=BETA, total=total)
        turned = [None if sign is None else -sign for sign in signs]
        down = walk(turned, margin=margin, alpha=alpha, beta=BETA, total=total)
        effects = [(each.asked, word) for each, word in ((up, "better"), (down, "worse")) if each.outcome == "effect"]
        if effects:
            asked, word = min(effects)  # both can be crossed; what was certain first stands
            return word, asked
        return up.outcome, up.asked
    # Several answers a question: question means are the observations, tested once at the end.
    from scipy import stats

    asked = len(differences)
    if len(seen) < 2 or asked < total:  # no boundary is set for a look before the end
        return "neither", asked
    if stats.ttest_1samp(seen, 0.0, alternative="greater").pvalue <= alpha:
        return "better", asked
    if stats.ttest_1samp(seen, 0.0, alternative="less").pvalue <= alpha:
        return "worse", asked
    if stats.ttest_1samp(seen, margin, alternative="less").pvalue <= BETA:
        return "ruled_out", asked
    return "neither", asked


def judge_accuracy(
    means: Sequence[float], *, min_accuracy: float, interval: tuple[float, float] | None = None
) -> Verdict:
    """The lower end of the 95 % interval must reach ``min_accuracy``.

    ``interval`` is that of an evaluation which may have stopped early; a fixed number of questions has its own.
    """
    accuracy, (low, high) = _mean(means), interval or accuracy_interval(means)
    numbers = {"accuracy": accuracy, "low": low, "high": high, "min_accuracy": min_accuracy, "questions": len(means)}
    found = f"{percent(accuracy)} of {len(means)} questions, at least {percent(low)}"
    if low >= min_accuracy:
        return Verdict("accuracy", "OK", f"{found}; asked for {percent(min_accuracy)}", numbers)
    likely = "below it" if high < min_accuracy else f"it may be as high as {percent(high)}; more questions would tell"
    return Verdict("accuracy", "TOO_LOW", f"{found}, but {percent(min_accuracy)} is asked for ({likely})", numbers)


def judge_training(metrics: Sequence[Mapping[str, Any]], *, stopped: Mapping[str, Any] | None = None) -> Verdict:
    """Finite losses and gradients; in GRPO also at least one group of completions that differed in reward.

    A loss near 0 is normal in GRPO and says nothing; a run in which every group had the same reward had no gradient.
    SFT and DPO log no such groups, and their loss is shown instead; DPO's share of pairs whose chosen answer gained
    more than the rejected one (TRL's ``rewards/accuracies``) too.
    ``stopped`` is the finding of a health check that ended the training early; the verdict says so.
    """
    steps = [row for row in metrics if "loss" in row]
    numbers: dict[str, Any] = {"logged_steps": len(steps)}
    if not steps:
        return Verdict("training", "UNSOUND", "no training step was logged", numbers)
    for key in ("loss", "grad_norm"):
        broken = [row["step"] for row in steps if key in row and not _finite(row[key])]
        if broken:
            numbers["not_finite"] = {key: broken}
            return Verdict("training", "UNSOUND", f"{key} is not finite from step {broken[0]} on", numbers)
    shares = [row["frac_reward_zero_std"] for row in steps if row.get("frac_reward_zero_std") is not None]
    rewards = [row["reward"] for row in steps if row.get("reward") is not None]
    if shares:
        numbers["zero_std_share"] = _mean(shares)
    if rewards:
        first, last, means = _ends(rewards)
        numbers["first_reward"], numbers["last_reward"] = first, last
    if shares and min(shares) >= 1:
        sentence = f"every group had equal rewards in all {len(steps)} logged steps: there was nothing to learn from"
        return Verdict("training", "UNSOUND", sentence, numbers)
    trend = f", reward {first:.3f} -> {last:.3f}{means}" if rewards else ""
    if not rewards and not shares:
        numbers["first_loss"], numbers["last_loss"] = steps[0]["loss"], steps[-1]["loss"]
        trend = f", loss {steps[0]['loss']:.3f} -> {steps[-1]['loss']:.3f}"
        if (preferred := steps[-1].get("rewards/accuracies")) is not None:
            numbers["preferred_share"] = preferred
            trend += f", chosen preferred in {percent(preferred)} of the last pairs"
    zero = f", {percent(_mean(shares))} of groups without signal" if shares else ""
    early = ""
    if stopped is not None:
        numbers["stopped"] = dict(stopped)
        early = f"; stopped early by {stopped['check']}: {stopped['sentence']}"
    return Verdict("training", "OK", f"{steps[-1]['step']} steps, losses finite{zero}{trend}{early}", numbers)


def _ends(values: Sequence[float]) -> tuple[float, float, str]:
    """Means of the first and the last tenth, of at most ten values each: one step is mostly luck."""
    count = min(10, max(1, len(values) // 10))
    told = f" (means of the first and last {count} logged steps)" if count > 1 else ""
    return _mean(values[:count]), _mean(values[-count:]), told


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
