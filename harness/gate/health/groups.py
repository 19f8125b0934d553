"""Have the groups of completions anything to compare, and do the completions hold answers?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from harness.gate.health.history import WINDOW, Group, History, Seen, share, standard_error

FEWEST_GROUPS = 16  # a share of fewer moves by more than 6 points with a single group


def zero_std_groups(history: History, limit: float) -> Seen | None:
    """The share of groups with equal rewards exceeds the expected share by ``limit`` or more.

    With a binary reward, G generations and one success rate p the expected share is p^G + (1 - p)^G: 0.9 of such groups
    is as it should be at p = 0.02 and G = 4, so no constant can be the limit. See :func:`expected_share`.
    """
    groups = [group for group in history.latest_groups() if len(group.scored) > 1]
    if len(groups) < FEWEST_GROUPS:
        return None
    observed = sum(not group.differs for group in groups) / len(groups)
    expected = expected_share(groups, history.concentration)
    if observed - expected < limit:
        return None
    return Seen(
        observed - expected,
        f"{100 * observed:.0f} % of {len(groups)} groups had equal rewards where {100 * expected:.0f} % are expected "
        "at this success rate",
    )


def expected_share(groups: Sequence[Group], concentration: float) -> float:
    """Expected share of groups with equal rewards, from the rewards' marginal shares q.

    A question's own shares are taken as Dirichlet with mean q and this ``concentration`` c: value v has all G places of
    a group with probability prod_{i<G} (q c + i) / (c + i), which is q^G for questions that do not differ (c infinite)
    and q for questions that always answer the same (c = 0).
    """
    counts = Counter(reward for group in groups for reward in group.scored)
    sizes = Counter(len(group.scored) for group in groups)
    total = 0.0
    for size, times in sizes.items():
        for count in counts.values():
            chance = q = count / counts.total()
            for drawn in range(1, size):
                chance *= q if math.isinf(concentration) else (q * concentration + drawn) / (concentration + drawn)
            total += times * chance
    return total / len(groups)


def truncation(history: History, limit: float) -> Seen | None:
    """The share of completions cut off at ``max_completion_length`` is ``limit`` or more."""
    cut = history.latest("completions/clipped_ratio")
    if cut is None or cut < limit:
        return None
    return Seen(cut, f"{100 * cut:.0f} % of completions were cut off at max_completion_length")


def no_answer(history: History, limit: float) -> Seen | None:
    """The share of completions without an answer to grade is ``limit`` or more, and has not fallen since the start."""
    if len(history.rows) < 2 * WINDOW:
        return None
    before, n_before = share((s for group in history.first_groups() for s in group.statuses), "no_answer")
    now, n_now = share((s for group in history.latest_groups() for s in group.statuses), "no_answer")
    if not n_before or not n_now or now < limit or before - now > standard_error(before, n_before):
        return None
    return Seen(now, f"{100 * now:.0f} % of completions held no answer to grade ({100 * before:.0f} % at the start)")
