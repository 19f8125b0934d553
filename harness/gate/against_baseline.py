"""A run against its baseline: was accuracy lost? Pure functions of counts; files are read in ``baseline.py``.

The baseline holds K generations a question. Each candidate answer is paired with one of them, drawn by a hash of the
commit and the question: a commit that is judged again draws the same pairs, so red cannot be rerun into green.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

from harness.gate.plan import Plan, plain
from harness.gate.sequential import Walk, walk
from harness.gate.verdicts import BETA, Verdict, percent, points

GATE = "baseline"
STALE = "the baseline is stale: --rl-update-baselines all records a new one"


def judge_plan(plan: Plan, gate: str = GATE) -> Verdict | None:
    """UNDERPOWERED, to be said before anything is generated, or ``None`` where the questions are enough."""
    if plan.enough:
        return None
    return Verdict(gate, "UNDERPOWERED", plan.sentence, {**asdict(plan), "enough": False})


def draw_pairs(
    correct: Sequence[int], samples: int, candidate: Sequence[float], commit: str, question_ids: Sequence[str]
) -> list[int]:
    """Pair each candidate answer with one of the baseline's generations: +1 lost, -1 gained, 0 as before.

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


def judge_against_baseline(
    correct: Mapping[str, int],
    candidate: Mapping[str, float],
    order: Sequence[str],
    *,
    samples: int,
    commit: str,
    margin: float,
    alpha: float,
    beta: float = BETA,
    candidate_samples: int = 1,
    asked: int | None = None,
    plan: Plan | None = None,
) -> Verdict:
    """REGRESSED, OK, IMPROVED (which makes the baseline stale), INCONCLUSIVE, or UNDERPOWERED.

    With one candidate answer a question the sequential test is walked, and may be asked after every look while
    answers come in: anything but INCONCLUSIVE ends it. What is certain first stands, except that an OK becomes
    IMPROVED where later questions show a gain. With several, question means are tested once, after all questions.

    Args:
        correct: the baseline's correct generations, out of ``samples``, by question id.
        candidate: share correct by question id. An asked question missing from either side makes no pair.
        order: the ids of all questions of this gate, in the baseline's fixed order.
        commit: of the candidate; draws the pairs.
        margin: the smallest drop that must not go unseen, as a share of questions.
        alpha: chance of REGRESSED where nothing changed; beta: chance of OK where the drop is ``margin``.
        candidate_samples: answers a question on the candidate's side.
        asked: how many questions of ``order`` were asked so far, from its start; all if not given.
        plan: its planned power is told; one that is not enough makes the verdict UNDERPOWERED whatever was seen: such
            questions were asked for a report, not to gate.
    """
    asked = len(order) if asked is None else asked
    pairs = [question for question in order[:asked] if question in correct and question in candidate]
    numbers: dict[str, Any] = {
        "questions": len(order),
        "asked": asked,
        "pairs": len(pairs),
        "before": _mean([correct[question] / samples for question in pairs]),
        "after": _mean([candidate[question] for question in pairs]),
        "samples": samples,
        "commit": commit,
        "margin": margin,
        "alpha": alpha,
        "beta": beta,
        "planned_power": plan.reached if plan else None,
        "stale": False,
    }
    if not pairs:
        return Verdict(GATE, "INCONCLUSIVE", "no question was scored both in the baseline and now", numbers)
    losses = [correct[question] / samples - candidate[question] for question in pairs]
    if candidate_samples == 1:
        drawn = draw_pairs(
            [correct[question] for question in pairs], samples, [candidate[each] for each in pairs], commit, pairs
        )
        found = _walked(order[:asked], dict(zip(pairs, drawn, strict=True)), len(order), margin, alpha, beta)
    elif max(losses) - min(losses) < 1e-9:  # a t test has no spread to judge by: signs are all there is
        sign = (losses[0] > 1e-9) - (losses[0] < -1e-9)
        found = _walked(order[:asked], dict.fromkeys(pairs, sign), len(order), margin, alpha, beta)
    else:
        found = _tested(losses, asked, len(order), margin, alpha, beta)
    outcome, at = found
    numbers |= {
        "outcome": outcome,
        "certain_after": None if outcome == "neither" else at.asked,
        "lost": at.up,
        "gained": at.down,
        "stale": outcome == "better",
    }
    return _worded(outcome, at, numbers, plan)


Outcome = Literal["worse", "ruled_out", "better", "neither"]


def _walked(
    order: Sequence[str], drawn: Mapping[str, int], total: int, margin: float, alpha: float, beta: float
) -> tuple[Outcome, Walk]:
    losses = [drawn.get(question) for question in order]
    gains = [None if loss is None else -loss for loss in losses]
    down = walk(losses, margin=margin, alpha=alpha, beta=beta, total=total)
    up = walk(gains, margin=0.0, alpha=alpha, total=total)  # no margin: nothing to rule out
    if up.outcome == "effect" and (down.outcome != "effect" or up.asked < down.asked):
        return "better", Walk("effect", up.asked, total, up=up.down, down=up.up)  # losses first, as in the other
    return ("worse" if down.outcome == "effect" else down.outcome), down


def _tested(
    losses: Sequence[float], asked: int, total: int, margin: float, alpha: float, beta: float
) -> tuple[Outcome, Walk]:
    """Question means, one observation a question; no look before the end, where no boundary is set for one."""
    from scipy.stats import ttest_1samp

    up, down = sum(loss > 1e-9 for loss in losses), sum(loss < -1e-9 for loss in losses)
    at = Walk("neither", asked, total, up, down)
    if asked < total:
        return "neither", at
    if ttest_1samp(losses, 0.0, alternative="greater").pvalue <= alpha:
        return "worse", at
    if ttest_1samp(losses, 0.0, alternative="less").pvalue <= alpha:
        return "better", at
    if ttest_1samp(losses, margin, alternative="less").pvalue <= beta:
        return "ruled_out", at
    return "neither", at


def _worded(outcome: Outcome, at: Walk, numbers: Mapping[str, Any], plan: Plan | None) -> Verdict:
    drop, total = points(numbers["margin"]), numbers["questions"]
    within = f"{at.asked} of {total} questions" if at.asked < total else f"{total} questions"
    counts = f"{percent(numbers['before'])} -> {percent(numbers['after'])}, {at.up} lost, {at.down} gained in {within}"
    terms = (
        f"(alpha {plain(numbers['alpha'])}, margin {drop}{f', planned power {plain(plan.reached)}' if plan else ''})"
    )
    if plan and not plan.enough:
        return Verdict(GATE, "UNDERPOWERED", f"{plan.sentence}; seen all the same: {counts}", numbers)
    if outcome == "worse":
        return Verdict(GATE, "REGRESSED", f"{counts} {terms}", numbers)
    if outcome == "better":
        return Verdict(GATE, "IMPROVED", f"{counts} {terms}; {STALE}", numbers)
    if outcome == "ruled_out":
        return Verdict(GATE, "OK", f"a drop of {drop} is ruled out after {within}", numbers)
    left = "ask more questions" if numbers["asked"] == total else f"{total - numbers['asked']} were not asked"
    sentence = f"{counts}; neither a loss is certain, nor that it is under {drop}; {left} {terms}"
    return Verdict(GATE, "INCONCLUSIVE", sentence, numbers)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
