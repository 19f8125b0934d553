"""Verdicts on answers of which some have no grade: too many of them, and nothing passes on the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.gate.verdicts import Verdict
from harness.store.faults import Faults

UNGRADED = 0.02  # the largest share of answers that no grader could decide


def with_ungraded(verdict: Verdict, summary: Mapping[str, Any], whose: str = "") -> Verdict:
    """The verdict on an evaluation with this ``summary.json``: INCONCLUSIVE instead of a pass where more than 2 % of
    the answers (``whose``, where that is to be said) have no grade. A policy can learn answers that break a grader, and
    a server can lose the long ones: they must not help it pass."""
    counts = summary["counts"]
    ungraded, answers = counts["unscored"], sum(counts.values())
    if not verdict.passed or ungraded <= UNGRADED * answers:
        return verdict
    lost = (summary.get("unanswered") or {}).get("answers", 0)
    why = "had" if lost == ungraded else "had or graded" if lost else "graded"
    sentence = f"{ungraded} of {answers} answers{whose} could not be {why}; of the others: {verdict.sentence}"
    return Verdict(verdict.gate, "INCONCLUSIVE", sentence, verdict.numbers)


def with_faults(verdict: Verdict, kept: Sequence[Mapping[str, Any] | None]) -> Verdict:
    """The verdict on a training whose reward functions failed: UNSOUND where one of them gave no value for more than
    2 % of the completions, since what was trained then is not what the recipe says; else a word about it.

    ``kept`` are the ``rewards.json`` of all that it learnt from: what was sampled for it, and what it sampled itself.
    """
    found = [faults for each in kept if (faults := Faults(each))]
    if not found:
        return verdict
    sentences = "; ".join(sentence for faults in found for sentence in faults.sentences())
    shares: dict[str, float] = {}
    for faults in found:
        shares |= {name: max(faults.share(name), shares.get(name, 0.0)) for name in faults.names}
    numbers = {**verdict.numbers, "reward_faults": shares}
    if verdict.passed and max(shares.values()) > UNGRADED:
        return Verdict(verdict.gate, "UNSOUND", sentences, numbers)
    return Verdict(verdict.gate, verdict.verdict, f"{verdict.sentence}; {sentences}", numbers)
