"""Paired differences of two evaluations, tested: by the sequential sign test, or by a t test of question means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.gate.sequential import walk

TINY = 1e-9  # below it, a difference of means is rounding


@dataclass(frozen=True, slots=True)
class Paired:
    """``"effect"`` and ``"opposite"``: more than luck, one way or the other; ``"ruled_out"``: no effect of ``margin``.

    ``asked`` counts questions up to where that was clear, or all there were; ``up`` and ``down`` are the pairs by then
    that show the effect and its opposite. ``exact``: alpha bounds the errors; a t test only keeps to it about.
    """

    outcome: Literal["effect", "opposite", "ruled_out", "neither"]
    asked: int
    up: int
    down: int
    exact: bool


def compare_pairs(
    differences: Sequence[float | None],
    *,
    margin: float,
    opposite_margin: float = 0.0,
    alpha: float,
    beta: float,
    total: int,
    samples: int,
) -> Paired:
    """Is there an effect, its opposite, or none of ``margin``? What is clear first stands.

    Args:
        differences: by question asked so far, in the fixed order; above 0 where the effect shows. ``None`` where a
            question made no pair; at least one must.
        margin: the smallest effect worth having, as a share of questions.
        opposite_margin: an opposite so large is no longer looked for once it is ruled out; 0 looks to the end.
        alpha: chance of either claim where nothing differs; beta: chance of ruling out an effect of ``margin``.
        total: questions planned.
        samples: answers behind a difference. Of one, differences are -1, 0 or 1 and walked; the means of several are
            the observations of a t test, after all questions.
    """
    seen = [difference for difference in differences if difference is not None]
    single = samples == 1 and all(difference in (-1, 0, 1) for difference in seen)
    if single or max(seen) - min(seen) < TINY:
        # A t test of equal differences has no spread to judge by: their signs are all there is.
        signs = [None if each is None else (each > TINY) - (each < -TINY) for each in differences]
        turned = [None if sign is None else -sign for sign in signs]
        found = walk(signs, margin=margin, alpha=alpha, beta=beta, total=total)
        other = walk(turned, margin=opposite_margin, alpha=alpha, beta=beta, total=total)
        if other.outcome == "effect" and (found.outcome != "effect" or other.asked < found.asked):
            return Paired("opposite", other.asked, other.down, other.up, exact=True)
        return Paired(found.outcome, found.asked, found.up, found.down, exact=True)
    from scipy.stats import ttest_1samp

    asked = len(differences)
    outcome: Literal["effect", "opposite", "ruled_out", "neither"] = "neither"
    if asked == total:  # no boundary is set for a look before the end
        if ttest_1samp(seen, 0.0, alternative="greater").pvalue <= alpha:
            outcome = "effect"
        elif ttest_1samp(seen, 0.0, alternative="less").pvalue <= alpha:
            outcome = "opposite"
        elif ttest_1samp(seen, margin, alternative="less").pvalue <= beta:
            outcome = "ruled_out"
    up, down = sum(each > TINY for each in seen), sum(each < -TINY for each in seen)
    return Paired(outcome, asked, up, down, exact=False)
