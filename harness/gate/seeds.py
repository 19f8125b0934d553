"""Several training seeds: what they say about the recipe, which one trained policy cannot.

Questions as the unit tell whether *this checkpoint* is better or worse. Training again with another seed gives another
checkpoint, and a claim about the *recipe* has to hold over those: there, each seed is one observation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from harness.gate.plan import plain
from harness.gate.verdicts import BETA, Verdict, points

FEWEST = 3  # the 95 % interval of two reaches 9 standard deviations either way


def judge_recipe(per_seed_differences: Sequence[float], *, margin: float, alpha: float, beta: float = BETA) -> Verdict:
    """One-sample t test over seeds, one-sided at ``alpha`` in either direction.

    Args:
        per_seed_differences: by training seed, candidate's accuracy less the baseline's on the same questions, as
            shares. Where all seeds are held against one baseline checkpoint, the claim is about the recipe against
            *that checkpoint*.
        margin: the smallest drop that must not go unseen; OK rules it out but for a chance of ``beta``.

    Returns:
        REGRESSED, IMPROVED, OK, or INCONCLUSIVE: always with fewer than three seeds, or where the seeds do not differ
        at all, which independent training does not do.
    """
    n = len(per_seed_differences)
    numbers: dict[str, Any] = {"seeds": n, "differences": list(per_seed_differences), "margin": margin, "alpha": alpha}
    if n < FEWEST:
        only = {0: "no checkpoint", 1: "this checkpoint only"}.get(n, f"these {n} checkpoints only")
        return _inconclusive(f"a claim about the recipe needs {FEWEST} seeds; {n} can speak of {only}", numbers)
    mean = math.fsum(per_seed_differences) / n
    numbers["mean"] = mean
    if max(per_seed_differences) - min(per_seed_differences) < 1e-9:
        return _inconclusive(f"all {n} seeds differ by {points(mean)}: were they trained apart?", numbers)
    from scipy.stats import ttest_1samp

    each = list(per_seed_differences)
    share = 1 - 2 * alpha  # the two-sided interval that agrees with one-sided tests at alpha
    low, high = (float(end) for end in ttest_1samp(each, 0.0).confidence_interval(share))
    numbers |= {"low": low, "high": high, "confidence": share}
    found = (
        f"the recipe, over {n} seeds: {100 * mean:+.1f} points, "
        f"{100 * share:.3g} % interval {100 * low:+.1f} to {100 * high:+.1f}"
    )
    at = f"(seeds as the unit, alpha {plain(alpha)})"
    if ttest_1samp(each, 0.0, alternative="less").pvalue <= alpha:
        return Verdict("recipe", "REGRESSED", f"{found} {at}", numbers)
    if ttest_1samp(each, 0.0, alternative="greater").pvalue <= alpha:
        return Verdict("recipe", "IMPROVED", f"{found} {at}", numbers)
    if ttest_1samp(each, -margin, alternative="greater").pvalue <= beta:
        return Verdict("recipe", "OK", f"{found}; a drop of {points(margin)} is ruled out {at}", numbers)
    return _inconclusive(f"{found}; more seeds would tell {at}", numbers)


def _inconclusive(sentence: str, numbers: dict[str, Any]) -> Verdict:
    return Verdict("recipe", "INCONCLUSIVE", sentence, numbers)
