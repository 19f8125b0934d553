"""The sequential paired test: two boundaries walked question by question.

One boundary claims an effect (an exact sign test over the discordant pairs, with alpha spent over the looks as in Lan
and DeMets 1983, in proportion to the questions asked), the other rules one out (a betting e-process, Waudby-Smith and
Ramdas, arXiv:2010.09686). Both hold at every look, so a verdict may be read as soon as one is crossed, or after all
questions, with the same error rates. Means of several answers a question take a t test instead, after all of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.gate.statistics import pmf

LOOK = 16  # questions between two looks at the sign test
TINY = 1e-9  # below it, a difference of means is rounding

Outcome = Literal["effect", "opposite", "ruled_out", "neither"]


@dataclass(frozen=True, slots=True)
class Walk:
    """Where a boundary was crossed. ``asked`` counts questions up to the first crossing, or all there were.

    ``up`` and ``down`` are the discordant pairs seen by then. ``outcome`` is ``"effect"`` (more ups than chance),
    ``"opposite"`` (more downs, where :func:`compare_pairs` looks for them too), ``"ruled_out"`` (an effect of
    ``margin`` or more is), or ``"neither"``. ``exact``: alpha bounds the errors; a t test only keeps to it about.
    """

    outcome: Outcome
    asked: int
    total: int
    up: int
    down: int
    exact: bool = True


def stops(total: int, *, margin: float, beta: float = 0.10) -> list[int]:
    """After how many of ``total`` questions to see whether the verdict is known, where it ends their asking.

    Every second or fourth look, for a batch of few questions takes about as long as one of more. The last one before an
    effect of ``margin`` can be ruled out at all (no pair differs) waits for that: a policy that did not change is not
    asked more than it takes.
    """
    block = 2 * LOOK if total <= 200 else 4 * LOOK
    looks = [*range(block, total, block), total]
    unchanged = walk([0] * total, margin=margin, alpha=0.0, beta=beta)
    if unchanged.outcome != "ruled_out":
        return looks
    return [unchanged.asked if each <= unchanged.asked < each + block else each for each in looks]


def walk(
    differences: Sequence[int | None], *, margin: float, alpha: float, beta: float = 0.10, total: int | None = None
) -> Walk:
    """Walk paired differences (each -1, 0 or 1, in the questions' fixed order) until a boundary is crossed.

    To drive generation, call it with all differences so far after each look: a crossing found in a prefix is the one
    that the whole would give. 1319 questions take some 3 ms, so recomputing after every look costs little.

    Args:
        differences: +1 where the effect shows in a pair, -1 where its opposite does; ``None`` for a question that was
            asked and made no pair, which keeps the looks where they are.
        margin: the smallest effect worth having, as a share of questions; the other boundary rules it out.
        alpha: chance of claiming an effect where there is none, over all looks together.
        beta: chance of ruling out an effect of ``margin`` that is there.
        total: questions planned, where ``differences`` may be only the first of them; all of them if not given.
            Undecided after a prefix is ``"neither"`` with ``asked`` as long as the prefix.
    """
    import numpy as np

    total = len(differences) if total is None else total
    if len(differences) > total:
        raise ValueError(f"{len(differences)} differences of {total} questions")
    alive = np.ones(1)  # null distribution of ups among discordant pairs, paths that crossed taken out
    spent = 0.0
    up = down = discordant_before = 0
    log_wealth, threshold = 0.0, math.log(1 / beta)
    pairs = squares = 0
    for asked, difference in enumerate(differences, start=1):
        if difference is not None:
            variance = (2.5 + squares) / (10 + pairs)
            bet = min(0.75, margin / (variance + margin**2))
            log_wealth += math.log1p(bet * (margin - difference))
            pairs += 1
            squares += difference * difference
            up += difference > 0
            down += difference < 0
        if asked % LOOK == 0 or asked == total:
            fresh = up + down - discordant_before
            discordant_before = up + down
            alive = np.convolve(alive, pmf(np.arange(fresh + 1), fresh, 0.5))
            tails = np.cumsum(alive[::-1])[::-1]
            within = np.flatnonzero(tails <= alpha * (asked / total) - spent)
            if len(within):
                critical = int(within[0])
                if up >= critical:
                    return Walk("effect", asked, total, up, down)
                spent += float(tails[critical])
                alive[critical:] = 0.0
        if log_wealth >= threshold:
            return Walk("ruled_out", asked, total, up, down)
    return Walk("neither", len(differences), total, up, down)


def compare_pairs(
    differences: Sequence[float | None],
    *,
    margin: float,
    opposite_margin: float = 0.0,
    alpha: float,
    beta: float,
    total: int,
    samples: int,
) -> Walk:
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
            return Walk("opposite", other.asked, total, other.down, other.up)
        return found
    from scipy.stats import ttest_1samp

    asked = len(differences)
    outcome: Outcome = "neither"
    if asked == total:  # no boundary is set for a look before the end
        if ttest_1samp(seen, 0.0, alternative="greater").pvalue <= alpha:
            outcome = "effect"
        elif ttest_1samp(seen, 0.0, alternative="less").pvalue <= alpha:
            outcome = "opposite"
        # Few questions that were lost whole are easily missed by few that were asked: as in ``accuracy_interval``.
        elif ttest_1samp([*seen, 1.0, -1.0], margin, alternative="less").pvalue <= beta:
            outcome = "ruled_out"
    up, down = sum(each > TINY for each in seen), sum(each < -TINY for each in seen)
    return Walk(outcome, asked, total, up, down, exact=False)
