"""What the gate says, with the numbers that led to it. Pure functions of question means; no model, no torch.

README.md, "What the gate says", lists the words, what each means and what it does to a test.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

from harness.gate.power import POWER, Plan, afterwards, discordance, expected_discordance
from harness.gate.power import power as power_of
from harness.gate.sequential import compare_pairs
from harness.gate.statistics import accuracy_interval, anytime_interval
from harness.gate.wording import Code, sentence
from harness.store.faults import Faults
from harness.store.records import RewardFaults, Summary
from harness.store.run_files import Finding, Logged, Verdict, Word

BETA = 0.10  # chance of ruling out a gain that is there
IN_VAIN = 0.75  # the share of groups without a gradient from which this and the signal check advise
UNGRADED = 0.02  # the largest share of answers that no grader could decide
FEWEST_SEEDS = 3  # the 95 % interval of two reaches 9 standard deviations either way


def judged(gate: str, verdict: Word, code: Code, numbers: Mapping[str, Any] = MappingProxyType({})) -> Verdict:
    """A verdict with its sentence."""
    return Verdict(gate, verdict, code, sentence(gate, code, numbers), dict(numbers))


def with_numbers(verdict: Verdict, **more: Any) -> Verdict:
    """The verdict with more to be known, which its sentence says."""
    return judged(verdict.gate, verdict.verdict, cast(Code, verdict.code), {**verdict.numbers, **more})


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
        "min_improvement": min_improvement,
        "margin": margin,
        "alpha": alpha,
        "beta": BETA,
        "gates": gates,
    }
    if not pairs:
        return judged("improvement", "INCONCLUSIVE", "no_pairs", numbers)
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
    gain = least = round(_mean(differences), 12)  # 0.35 - 0.30 falls short of 0.05
    numbers |= {"gain": gain, "certain_after": found.asked, "exact": found.exact}
    if asked < len(order) and min_improvement:
        # The number of questions depends on the outcome: only an interval that holds at any time may speak of the gain.
        least = min(gain, 2 * anytime_interval([(difference + 1) / 2 for difference in differences])[0] - 1)

    def verdict(word: Word, code: Code) -> Verdict:
        return judged("improvement", word, code, numbers)

    if found.outcome == "effect" and least > 0 and least >= (min_improvement or 0):
        return verdict("IMPROVED", "gain")
    if found.outcome == "opposite" and least < 0:
        return verdict("REGRESSED", "loss")
    if found.outcome == "ruled_out" and least < effect:
        return verdict("NOT_IMPROVED", "no_gain") if min_improvement else verdict("INCONCLUSIVE", "no_change")
    if found.outcome == "effect" and gain > 0:
        return verdict("INCONCLUSIVE", "unsure_gain" if asked < len(order) else "small_gain")
    if found.outcome == "neither":
        if asked == len(order):
            expected = expected_discordance(0.0, effect)
            missed = afterwards(differences, expected=expected, margin=effect, alpha=alpha, power=power, effect="gain")
            numbers |= _open(missed)
        return verdict("INCONCLUSIVE", "undecided")
    taken_back: Mapping[str, Code] = {
        "effect": "better_at_first",
        "opposite": "worse_at_first",
        "ruled_out": "no_gain_at_first",
    }
    return verdict("INCONCLUSIVE", taken_back[found.outcome])


def judge_against_baseline(
    correct: Mapping[str, int],
    candidate: Mapping[str, float],
    order: Sequence[str],
    *,
    samples: int,
    commit: str,
    baseline_commit: str | None = None,
    margin: float,
    alpha: float,
    gates: int = 1,
    beta: float = BETA,
    candidate_samples: int = 1,
    asked: int | None = None,
    power: float = POWER,
    recorded: bool = True,
) -> Verdict:
    """REGRESSED, OK, IMPROVED (which makes the baseline stale), or INCONCLUSIVE.

    With one candidate answer a question the sequential test is walked, and may be asked after every look while
    answers come in: anything but INCONCLUSIVE ends it. What is clear first stands, except that an OK becomes
    IMPROVED where later questions show a gain. With several, question means are tested once, after all questions.

    Args:
        correct: the baseline's correct generations, out of ``samples``, by question id.
        candidate: share correct by question id. An asked question missing from either side makes no pair.
        order: the ids of all questions of this gate, in the baseline's fixed order.
        commit: of the candidate; draws the pairs.
        baseline_commit: of the baseline, for people.
        margin: the smallest drop that must not go unseen, as a share of questions.
        alpha: this gate's own: chance of REGRESSED where nothing changed; beta: of OK where the drop is ``margin``.
        gates: how many share the recipe's alpha, this one among them; the sentence says so.
        candidate_samples: answers a question on the candidate's side.
        asked: how many questions of ``order`` were asked so far, from its start; all if not given.
        power: what INCONCLUSIVE says could go unseen would be seen with it.
        recorded: whether the first side is a recorded baseline, which a gain makes stale; else it is another run.
    """
    asked = len(order) if asked is None else asked
    pairs = [question for question in order[:asked] if question in correct and question in candidate]
    numbers: dict[str, Any] = {
        "questions": len(order),
        "asked": asked,
        "pairs": len(pairs),
        "baseline": _mean([correct[question] / samples for question in pairs]),
        "now": _mean([candidate[question] for question in pairs]),
        "samples": samples,
        "baseline_commit": baseline_commit,
        "run_commit": commit,
        "margin": margin,
        "alpha": alpha,
        "gates": gates,
        "beta": beta,
        "planned_power": None,
        "against_run": not recorded,
        "stale": False,
    }
    if not pairs:
        return judged("baseline", "INCONCLUSIVE", "no_pairs", numbers)
    expected = expected_discordance(discordance(list(correct.values()), samples), margin)
    losses: Sequence[float]
    if candidate_samples == 1:
        losses = draw_pairs(
            [correct[question] for question in pairs], samples, [candidate[each] for each in pairs], commit, pairs
        )
    else:
        losses = [correct[question] / samples - candidate[question] for question in pairs]
    paired = dict(zip(pairs, losses, strict=True))
    found = compare_pairs(
        [paired.get(question) for question in order[:asked]],
        margin=margin,
        alpha=alpha,
        beta=beta,
        total=len(order),
        samples=candidate_samples,
    )
    numbers |= {
        "planned_power": power_of(len(order), expected, margin, alpha),
        "certain_after": None if found.outcome == "neither" else found.asked,
        "lost": found.up,
        "gained": found.down,
        "exact": found.exact,
        "stale": recorded and found.outcome == "opposite",
    }
    if found.outcome == "neither" and asked == len(order):
        missed = afterwards(losses, expected=expected, margin=margin, alpha=alpha, power=power)
        numbers |= _open(missed)
    said: Mapping[str, tuple[Word, Code]] = {
        "effect": ("REGRESSED", "loss"),
        "opposite": ("IMPROVED", "gain"),
        "ruled_out": ("OK", "no_loss"),
        "neither": ("INCONCLUSIVE", "undecided"),
    }
    return judged("baseline", *said[found.outcome], numbers)


def _open(missed: Plan) -> dict[str, Any]:
    """What an undecided verdict says of its plan."""
    numbers = missed.numbers()
    return {key: numbers[key] for key in ("smallest_seen", "needed", "enough")}


def draw_pairs(
    correct: Sequence[int], samples: int, candidate: Sequence[float], commit: str, question_ids: Sequence[str]
) -> list[int]:
    """Pair each candidate answer with one of the baseline's generations: +1 lost, -1 gained, 0 as before.

    The generation is drawn by a hash of the commit and the question: a commit that is judged again draws the same
    pairs, so red cannot be rerun into green.

    Args:
        correct: the baseline's correct generations by question, out of ``samples``.
        candidate: one answer a question, 0 or 1.
        commit, question_ids: what the draw is made from.
    """
    if not set(candidate) <= {0, 1}:
        raise ValueError("a candidate answer is 0 or 1; several answers a question are judged by their means")
    if not all(0 <= each <= samples for each in correct):
        raise ValueError(f"correct counts must lie between 0 and samples ({samples})")
    return [
        (_drawn(commit, question) * samples < count << 64) - int(answer)  # drawn / 2^64 < count / samples, exactly
        for count, answer, question in zip(correct, candidate, question_ids, strict=True)
    ]


def _drawn(commit: str, question: str) -> int:
    """A number evenly spread over 0 to 2^64 - 1."""
    return int.from_bytes(hashlib.sha256(f"{commit}\0{question}".encode()).digest()[:8])


def judge_accuracy(
    means: Sequence[float], *, min_accuracy: float, interval: tuple[float, float] | None = None
) -> Verdict:
    """OK where the 95 % interval's lower end reaches ``min_accuracy``, TOO_LOW where its upper end does not, and
    INCONCLUSIVE between: a few questions can no more fail a model than pass it.

    ``interval`` is that of an evaluation which may have stopped early; a fixed number of questions has its own.
    """
    accuracy, (low, high) = _mean(means), interval or accuracy_interval(means)
    numbers = {"accuracy": accuracy, "low": low, "high": high, "min_accuracy": min_accuracy, "questions": len(means)}
    if low >= min_accuracy:
        return judged("accuracy", "OK", "reached", numbers)
    if high < min_accuracy:
        return judged("accuracy", "TOO_LOW", "below", numbers)
    return judged("accuracy", "INCONCLUSIVE", "within", numbers)


def judge_training(metrics: Sequence[Logged], *, stopped: Finding | None = None) -> Verdict:
    """Finite losses and gradients; in GRPO also at least one group of completions that differed in reward.

    A loss near 0 is normal in GRPO and says nothing; a run in which every group had the same reward had no gradient.
    SFT and DPO log no such groups, and their loss is shown instead; DPO's share of pairs whose chosen answer gained
    more than the rejected one (TRL's ``rewards/accuracies``) too. What is shown are means of the first and last tenth
    of the logged steps, at least one.
    ``stopped`` is the finding of a health check that ended the training early; the verdict says so. That most groups
    taught nothing fails nothing, and is a finding: ``numbers["finding"]`` names it, for a pass that is not a plain one.
    """
    steps = [row for row in metrics if "loss" in row]
    numbers: dict[str, Any] = {"logged_steps": len(steps)}
    if not steps:
        return judged("training", "UNSOUND", "no_steps", numbers)
    for key in ("loss", "grad_norm"):
        if broken := [row["step"] for row in steps if key in row and not _finite(row[key])]:
            return judged("training", "UNSOUND", "not_finite", {**numbers, "not_finite": {key: broken}})

    def logged(key: str) -> list[float]:
        return [row[key] for row in steps if row.get(key) is not None]

    shares, rewards = logged("frac_reward_zero_std"), logged("reward")
    if shares:
        numbers["zero_std_share"] = _mean(shares)
        if min(shares) >= 1:
            return judged("training", "UNSOUND", "no_signal", numbers)
    numbers["steps"] = steps[-1]["step"]
    if rewards:
        numbers |= _ends("reward", rewards)
    elif not shares:
        numbers |= _ends("loss", logged("loss"))
        if preferred := logged("rewards/accuracies"):
            numbers["preferred_share"] = _ends("preferred", preferred)["last_preferred"]
    if shares and _mean(shares) >= IN_VAIN:
        numbers["finding"] = "most_groups_equal"
    if stopped is not None:
        numbers["stopped"] = stopped.to_json()
    return judged("training", "OK", "sound", numbers)


def _ends(name: str, values: Sequence[float]) -> dict[str, Any]:
    """Means of the first and last tenth of the logged steps: a single step's value is mostly chance."""
    tenth = max(1, len(values) // 10)
    return {f"first_{name}": _mean(values[:tenth]), f"last_{name}": _mean(values[-tenth:]), "shown_steps": tenth}


def judge_recipe(
    per_seed_differences: Sequence[float],
    *,
    margin: float,
    alpha: float,
    gates: int = 1,
    beta: float = BETA,
    against: str = "the baseline",
) -> Verdict:
    """The recipe over its training seeds, each one observation: a one-sample t test, one-sided at ``alpha`` in either
    direction.

    Questions as the unit tell whether *this checkpoint* is better or worse. Training again with another seed gives
    another checkpoint, and a claim about the *recipe* has to hold over those.

    Args:
        per_seed_differences: by training seed, candidate's accuracy less the baseline's on the same questions, as
            shares. Where all seeds are held against one baseline checkpoint, the claim is about the recipe against
            *that checkpoint*.
        margin: the smallest drop that must not go unseen; OK rules it out but for a chance of ``beta``.
        alpha: this gate's own; ``gates`` share the recipe's, this one among them, and the sentence says so.
        against: what each seed is held against, in words.

    Returns:
        REGRESSED, IMPROVED, OK, or INCONCLUSIVE: always with fewer than three seeds, or where the seeds do not differ
        at all, which independent training does not do.
    """
    each = list(per_seed_differences)
    numbers: dict[str, Any] = {"seeds": len(each), "differences": each, "margin": margin, "against": against}
    numbers |= {"alpha": alpha, "gates": gates, "beta": beta, "fewest": FEWEST_SEEDS}
    if len(each) < FEWEST_SEEDS:
        return judged("recipe", "INCONCLUSIVE", "few_seeds", numbers)
    numbers["mean"] = math.fsum(each) / len(each)
    if max(each) - min(each) < 1e-9:
        return judged("recipe", "INCONCLUSIVE", "equal_seeds", numbers)
    from scipy.stats import ttest_1samp

    share = 1 - 2 * alpha  # the two-sided interval that agrees with one-sided tests at alpha
    low, high = (float(end) for end in ttest_1samp(each, 0.0).confidence_interval(share))
    numbers |= {"low": low, "high": high, "confidence": share}
    if ttest_1samp(each, 0.0, alternative="less").pvalue <= alpha:
        return judged("recipe", "REGRESSED", "loss", numbers)
    if ttest_1samp(each, 0.0, alternative="greater").pvalue <= alpha:
        return judged("recipe", "IMPROVED", "gain", numbers)
    if ttest_1samp(each, -margin, alternative="greater").pvalue <= beta:
        return judged("recipe", "OK", "no_loss", numbers)
    return judged("recipe", "INCONCLUSIVE", "undecided", numbers)


def with_ungraded(verdict: Verdict, summary: Summary, whose: str = "") -> Verdict:
    """The verdict on an evaluation with this ``summary``: INCONCLUSIVE instead of a pass where more than 2 % of
    the answers (``whose``, where that is to be said) have no grade. A policy can learn answers that break a grader, and
    a server can lose the long ones: they must not help it pass."""
    ungraded, answers = summary.counts["unscored"], sum(summary.counts.values())
    if not verdict.passed or ungraded <= UNGRADED * answers:
        return verdict
    lost = 0 if summary.unanswered is None else summary.unanswered.answers
    told = {"ungraded": ungraded, "answers": answers, "lost": lost, "whose": whose, "code": verdict.code}
    return judged(verdict.gate, "INCONCLUSIVE", "ungraded", {**verdict.numbers, "ungraded": told})


def with_faults(verdict: Verdict, kept: Sequence[RewardFaults | None]) -> Verdict:
    """The verdict on a training whose reward functions failed: UNSOUND where one of them gave no value for more than
    2 % of the completions, since what was trained then is not what the recipe says; else a word about it.

    ``kept`` are the ``rewards.json`` of all that it learnt from: what was sampled for it, and what it sampled itself.
    """
    found = [faults for each in kept if (faults := Faults(each))]
    if not found:
        return verdict
    shares: dict[str, float] = {}
    for faults in found:
        shares |= {name: max(faults.share(name), shares.get(name, 0.0)) for name in faults.names}
    numbers = {**verdict.numbers, "reward_faults": shares}
    numbers["faults"] = [each for faults in found for each in faults.sentences()]
    if verdict.passed and max(shares.values()) > UNGRADED:
        return judged(verdict.gate, "UNSOUND", "reward_faults", numbers)
    return with_numbers(verdict, **numbers)


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
