"""What the gate says, with the numbers that led to it. Pure functions of question means; no model, no torch.

| verdict | test | meaning |
|---|---|---|
| IMPROVED | passes | better beyond luck: than before, by ``min_improvement`` or more, or than the baseline |
| OK | passes | a drop of ``margin`` is ruled out, the accuracy threshold is reached, or training was sound |
| REGRESSED | fails | worse than before, or than the baseline, beyond luck |
| NOT_IMPROVED | fails | a gain of ``min_improvement`` or more is ruled out |
| TOO_LOW | fails | the accuracy's interval ends below ``min_accuracy`` |
| UNSOUND | fails | training diverged, had nothing to learn from, or a reward failed on more than 2 % |
| INCOMPARABLE | fails | the baseline was recorded with other questions, prompt, grader, engine or decoding |
| INCONCLUSIVE | warns | the questions cannot tell; fails under ``--rl-strict``, as does the next |
| NO_BASELINE | warns | nothing to hold the run against |
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from harness.gate.confidence import anytime_interval
from harness.gate.intervals import accuracy_interval
from harness.gate.paired import compare_pairs
from harness.gate.plan import POWER, afterwards, expected_discordance
from harness.gate.wording import counted, luck, percent, points, ruled_out, told_alpha

Word = Literal[
    "IMPROVED",
    "OK",
    "REGRESSED",
    "NOT_IMPROVED",
    "TOO_LOW",
    "UNSOUND",
    "INCOMPARABLE",
    "INCONCLUSIVE",
    "NO_BASELINE",
]
PASSES = frozenset({"IMPROVED", "OK"})
WARNS = frozenset({"INCONCLUSIVE", "NO_BASELINE"})
IN_VAIN = 0.75  # the share of groups without a gradient from which this and the signal check advise
MORE_SIGNAL = "ask questions that are neither too easy nor too hard for the model, or raise num_generations"
BETA = 0.10  # chance of ruling out a gain that is there


@dataclass(frozen=True, slots=True)
class Verdict:
    """``gate`` names what was judged (``improvement``, ``baseline``, ``accuracy``, ``training`` or ``recipe``);
    ``sentence`` is for people."""

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


def judge_improvement(
    before: Mapping[str, float],
    after: Mapping[str, float],
    order: Sequence[str],
    *,
    min_improvement: float | None,
    margin: float,
    alpha: float,
    gates: int = 1,
    asked: int | None = None,
    samples: int = 1,
    power: float = POWER,
) -> Verdict:
    """After against before on the same questions.

    Args:
        before, after: share correct by question id; a question missing from either (unscored) makes no pair.
        order: all question ids in their fixed order.
        min_improvement: the gain that is asked for; ``None`` asks for any, and rules out gains of ``margin``.
        alpha: this gate's own: chance of IMPROVED where nothing changed, and of REGRESSED likewise.
        gates: how many share the recipe's alpha, this one among them; the sentence says so.
        asked: how many questions of ``order`` were asked so far, from its start; all if not given.
        samples: answers a question.
        power: what INCONCLUSIVE says could go unseen would be seen with it.
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
        "gates": gates,
        "min_improvement": min_improvement,
    }
    if not pairs:
        return Verdict("improvement", "INCONCLUSIVE", "no question was scored both before and after", numbers)
    effect = min_improvement or margin
    paired = dict(zip(pairs, differences, strict=True))
    found = compare_pairs(
        [paired.get(question) for question in order[:asked]],
        margin=effect,
        opposite_margin=effect,
        alpha=alpha,
        beta=BETA,
        total=len(order),
        samples=samples,
    )
    numbers["certain_after"] = found.asked
    gain = least = round(_mean(differences), 12)  # 0.35 - 0.30 falls short of 0.05
    if asked < len(order) and min_improvement:
        # The number of questions depends on the outcome: only an interval that holds at any time may speak of the gain.
        least = min(gain, 2 * anytime_interval([(difference + 1) / 2 for difference in differences])[0] - 1)
    counts = (
        f"{percent(numbers['before'])} -> {percent(numbers['after'])}"
        f"{f' (a gain of {points(effect)} is asked for)' if min_improvement else ''}, "
        f"{numbers['gained']} gained and {numbers['lost']} lost of {counted(len(pairs), 'question')}"
        f"{f' ({len(order)} planned)' if asked < len(order) else ''}"
    )
    clear = f"; clear after the first {found.asked} questions" if found.asked < asked else ""

    def verdict(word: Word, reason: str) -> Verdict:
        return Verdict("improvement", word, f"{counts}; {reason}", numbers)

    if found.outcome == "effect" and least > 0 and least >= (min_improvement or 0):
        return verdict("IMPROVED", luck("gain", alpha, gates, exact=found.exact) + clear)
    if found.outcome == "opposite" and least < 0:
        return verdict("REGRESSED", luck("loss", alpha, gates, exact=found.exact) + clear)
    if found.outcome == "ruled_out" and least < effect:
        reason = ruled_out(f"a gain of {points(effect)}", BETA, exact=found.exact)
        if min_improvement:
            return verdict("NOT_IMPROVED", reason)
        return verdict("INCONCLUSIVE", f"neither better nor worse beyond luck {told_alpha(alpha, gates)}; {reason}")
    if found.outcome == "effect" and gain > 0:
        if asked < len(order):
            short = f"{asked} questions are too few to be sure of {points(effect)}"
        else:
            short = f"of {points(gain)} only"
        return verdict("INCONCLUSIVE", f"a gain beyond luck {told_alpha(alpha, gates)}, but {short}")
    if found.outcome == "neither":
        changed = any(differences)
        so_far = f"this may be luck {told_alpha(alpha, gates)}" if changed else "no answer turned right or wrong"
        if asked < len(order):
            return verdict("INCONCLUSIVE", f"{so_far}; {len(order) - asked} were not asked")
        expected = expected_discordance(0.0, effect)
        missed = afterwards(differences, expected=expected, margin=effect, alpha=alpha, power=power, effect="gain")
        numbers |= {"smallest_seen": missed.smallest_drop, "needed": missed.needed}
        return verdict("INCONCLUSIVE", f"{so_far}; {missed.unseen}")
    first = {"effect": "better", "opposite": "worse"}.get(found.outcome, f"no gain of {points(effect)}")
    return verdict("INCONCLUSIVE", f"{first} on the first {found.asked} questions, but not on all; ask more questions")


def judge_accuracy(
    means: Sequence[float], *, min_accuracy: float, interval: tuple[float, float] | None = None
) -> Verdict:
    """OK where the 95 % interval's lower end reaches ``min_accuracy``, TOO_LOW where its upper end does not, and
    INCONCLUSIVE between: a few questions can no more fail a model than pass it.

    ``interval`` is that of an evaluation which may have stopped early; a fixed number of questions has its own.
    """
    accuracy, (low, high) = _mean(means), interval or accuracy_interval(means)
    numbers = {"accuracy": accuracy, "low": low, "high": high, "min_accuracy": min_accuracy, "questions": len(means)}
    found = (
        f"{percent(accuracy)} right over {counted(len(means), 'question')}, "
        f"95 % interval {percent(low)} to {percent(high)}"
    )
    least = f"the {percent(min_accuracy)} asked for"
    if low >= min_accuracy:
        return Verdict("accuracy", "OK", f"{found}; all of it reaches {least}", numbers)
    if high < min_accuracy:
        return Verdict("accuracy", "TOO_LOW", f"{found}; all of it is below {least}", numbers)
    more = "more questions would narrow it" if min_accuracy < 1 else "no number of questions would show so much"
    cannot = f"{least} lie within it, and {more}"
    return Verdict("accuracy", "INCONCLUSIVE", f"{found}; {cannot}", numbers)


def judge_training(metrics: Sequence[Mapping[str, Any]], *, stopped: Mapping[str, Any] | None = None) -> Verdict:
    """Finite losses and gradients; in GRPO also at least one group of completions that differed in reward.

    A loss near 0 is normal in GRPO and says nothing; a run in which every group had the same reward had no gradient.
    SFT and DPO log no such groups, and their loss is shown instead; DPO's share of pairs whose chosen answer gained
    more than the rejected one (TRL's ``rewards/accuracies``) too. What is shown are means of the first and last tenth
    of the logged steps, at least one.
    ``stopped`` is the finding of a health check that ended the training early; the verdict says so. That most groups
    taught nothing fails nothing, and is a finding: ``numbers["finding"]`` has it, for a pass that is not a plain one.
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
    if shares and min(shares) >= 1:
        logged = counted(len(steps), "logged step")
        sentence = f"every group had equal rewards in all {logged}: there was nothing to learn from"
        return Verdict("training", "UNSOUND", sentence, numbers)
    parts = [f"{counted(steps[-1]['step'], 'step')}, every logged loss and gradient finite"]
    if rewards:
        numbers["first_reward"], numbers["last_reward"], over = _ends(rewards)
        parts.append(f"reward {numbers['first_reward']:.3f} -> {numbers['last_reward']:.3f} ({over})")
    elif not shares:
        numbers["first_loss"], numbers["last_loss"], over = _ends([row["loss"] for row in steps])
        parts.append(f"loss {numbers['first_loss']:.3f} -> {numbers['last_loss']:.3f} ({over})")
        if preferred := [row["rewards/accuracies"] for row in steps if row.get("rewards/accuracies") is not None]:
            numbers["preferred_share"] = _ends(preferred)[1]
            parts.append(f"chosen answers preferred in {percent(numbers['preferred_share'])} of the pairs at the end")
    if shares:
        parts.append(f"{percent(_mean(shares))} of groups had equal rewards and taught nothing")
        if _mean(shares) >= IN_VAIN:
            numbers["finding"] = f"most groups taught nothing: {MORE_SIGNAL}"
            parts.append(numbers["finding"])
    if stopped is not None:
        numbers["stopped"] = dict(stopped)
        parts.append(f"stopped early by {stopped['check']}: {stopped['sentence']}")
    return Verdict("training", "OK", "; ".join(parts), numbers)


def _ends(values: Sequence[float]) -> tuple[float, float, str]:
    """Means of the first and last tenth of the logged steps, and over what: a single step's value is mostly chance."""
    tenth = max(1, len(values) // 10)
    over = "first and last logged step" if tenth == 1 else f"means of the first and last {tenth} logged steps"
    return _mean(values[:tenth]), _mean(values[-tenth:]), over


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
