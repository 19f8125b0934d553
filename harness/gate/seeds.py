"""Several training seeds: what they say about the recipe, which one trained policy cannot.

Questions as the unit tell whether *this checkpoint* is better or worse. Training again with another seed gives another
checkpoint, and a claim about the *recipe* has to hold over those: there, each seed is one observation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from harness.gate.verdicts import BETA, Verdict
from harness.gate.wording import luck, points, ruled_out, told_alpha

FEWEST = 3  # the 95 % interval of two reaches 9 standard deviations either way


def judge_recipe(
    per_seed_differences: Sequence[float],
    *,
    margin: float,
    alpha: float,
    gates: int = 1,
    beta: float = BETA,
    against: str = "the baseline",
) -> Verdict:
    """One-sample t test over seeds, one-sided at ``alpha`` in either direction.

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
    n = len(per_seed_differences)
    numbers: dict[str, Any] = {"seeds": n, "differences": list(per_seed_differences), "margin": margin}
    numbers |= {"alpha": alpha, "gates": gates}
    if n < FEWEST:
        only = {0: "no trained model", 1: "this trained model only"}.get(n, f"these {n} trained models only")
        return _inconclusive(f"a claim about the recipe takes {FEWEST} seeds or more; {n} can speak of {only}", numbers)
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
        f"{100 * mean:+.1f} points against {against}, the mean of {n} trained models, one a seed "
        f"({100 * share:.3g} % interval {100 * low:+.1f} to {100 * high:+.1f})"
    )
    if ttest_1samp(each, 0.0, alternative="less").pvalue <= alpha:
        return Verdict("recipe", "REGRESSED", f"{found}; {luck('loss', alpha, gates, exact=False)}", numbers)
    if ttest_1samp(each, 0.0, alternative="greater").pvalue <= alpha:
        return Verdict("recipe", "IMPROVED", f"{found}; {luck('gain', alpha, gates, exact=False)}", numbers)
    if ttest_1samp(each, -margin, alternative="greater").pvalue <= beta:
        sentence = f"{found}; {ruled_out(f'a drop of {points(margin)}', beta, exact=False)}"
        return Verdict("recipe", "OK", sentence, numbers)
    return _inconclusive(f"{found}; this may be luck {told_alpha(alpha, gates)}; train more seeds", numbers)


def _inconclusive(sentence: str, numbers: dict[str, Any]) -> Verdict:
    return Verdict("recipe", "INCONCLUSIVE", sentence, numbers)
