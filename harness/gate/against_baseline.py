"""A run against its baseline: was accuracy lost? Pure functions of counts; files are read in ``baseline.py``.

The baseline holds K generations a question. Each candidate answer is paired with one of them, drawn by a hash of the
commit and the question: a commit that is judged again draws the same pairs, so red cannot be rerun into green.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from harness.gate.paired import Paired, compare_pairs
from harness.gate.plan import POWER, Plan, afterwards, discordance, expected_discordance
from harness.gate.plan import power as power_of
from harness.gate.verdicts import BETA, Verdict, Word
from harness.gate.wording import counted, luck, percent, points, ruled_out, told_alpha

GATE = "baseline"
STALE = "the baseline is stale: --rl-update-baselines all records a new one"


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
        "stale": False,
    }
    if not pairs:
        return Verdict(GATE, "INCONCLUSIVE", "no question was scored on both sides", numbers)
    expected = expected_discordance(discordance(list(correct.values()), samples), margin)
    numbers["planned_power"] = power_of(len(order), expected, margin, alpha)
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
        "outcome": OUTCOMES[found.outcome],
        "certain_after": None if found.outcome == "neither" else found.asked,
        "lost": found.up,
        "gained": found.down,
        "stale": recorded and found.outcome == "opposite",
    }
    missed = None
    if found.outcome == "neither" and asked == len(order):
        missed = afterwards(losses, expected=expected, margin=margin, alpha=alpha, power=power)
        numbers |= {"smallest_seen": missed.smallest_drop, "needed": missed.needed}
    return _worded(found, numbers, missed, recorded)


OUTCOMES = {"effect": "worse", "opposite": "better", "ruled_out": "ruled_out", "neither": "neither"}


def _worded(found: Paired, numbers: Mapping[str, Any], missed: Plan | None, recorded: bool) -> Verdict:
    drop, total = points(numbers["margin"]), numbers["questions"]
    alpha, gates = numbers["alpha"], numbers["gates"]
    sides, stale = (("baseline ", "now "), f"; {STALE}") if recorded else (("", ""), "")
    shares = f"{sides[0]}{percent(numbers['baseline'])} -> {sides[1]}{percent(numbers['now'])}"
    first = found.asked < total
    within = f"the first {found.asked} of {total} questions" if first else counted(total, "question")
    counts = f"{shares}, {found.up} lost and {found.down} gained in {within}"
    seen = round(numbers["baseline"] - numbers["now"], 12)

    def clear(word: Word, reason: str, *, so: bool) -> Verdict:
        # What was clear first stands; a person should know where the rest of the questions disagree.
        yet = "" if so else f"; yet all {numbers['asked']} together say otherwise"
        return Verdict(GATE, word, f"{counts}; {reason}{yet}", numbers)

    if found.outcome == "effect":
        return clear("REGRESSED", luck("loss", alpha, gates, exact=found.exact), so=seen > 0)
    if found.outcome == "opposite":
        return clear("IMPROVED", luck("gain", alpha, gates, exact=found.exact) + stale, so=seen < 0)
    if found.outcome == "ruled_out":
        reason = ruled_out(f"a drop of {drop}", numbers["beta"], exact=found.exact)
        return clear("OK", reason, so=seen < numbers["margin"])
    nothing = f"no loss beyond luck {told_alpha(alpha, gates)}" if found.up or found.down else "no answer changed"
    left = missed.unseen if missed else f"{total - numbers['asked']} were not asked"
    unclear = f"{nothing}, but a drop of {drop} is not ruled out either"
    return Verdict(GATE, "INCONCLUSIVE", f"{counts}; {unclear}; {left}", numbers)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
