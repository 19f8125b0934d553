"""The plan: what a number of questions can see, reckoned before anything is generated.

The power of the exact one-sided sign test on paired answers (McNemar's), without conditioning on how many pairs turn
out discordant (Connor 1987, Biometrics 43:207):

    100 questions at discordance .20, alpha .05: a drop of 11.6 points is seen in 80 % of runs, one of 5 in 23 %

It is the power of one test after all questions. The sequential test has a little less: at its last look only the rest
of alpha is left, and beta of the drops are ruled out before. Simulated, 86 % where the plan says 93 % (docs/gate.md).
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from harness.gate.statistics import isf, pmf, sf
from harness.gate.wording import MOST_QUESTIONS, plan_sentence

POWER = 0.80  # of seeing what is asked for, where a recipe asks for no other
FLOOR = 0.10  # discordance never taken to be lower: a greedy baseline shows none, and a retrained policy always some


def share_alpha(alpha: float, gates: int) -> float:
    """The alpha of each of several gates in a session, so that all together raise a false alarm in at most ``alpha``.

    Bonferroni's: a gate that may stop early needs its boundaries in advance, so none can wait for the others' p values.
    """
    if gates < 1:
        raise ValueError(f"{gates} gates cannot share alpha")
    return alpha / gates


def discordance(correct: Sequence[int], samples: int) -> float:
    """How often two generations of the same policy differ in correctness, as a share of questions.

    Args:
        correct: correct generations by question.
        samples: generations a question, K. The estimate is the mean of 2s(K-s)/(K(K-1)); 0.0 for K = 1, which cannot
            show any.
    """
    if not correct:
        raise ValueError("no questions")
    if samples < 1 or not all(0 <= each <= samples for each in correct):
        raise ValueError(f"correct counts must lie between 0 and samples ({samples})")
    if samples == 1:
        return 0.0
    return sum(2 * each * (samples - each) for each in correct) / (samples * (samples - 1) * len(correct))


def expected_discordance(baseline_discordance: float, margin: float) -> float:
    """Share of discordant pairs to plan for: the baseline's own and a drop of ``margin`` on top, at least .10 and no
    more than all."""
    return min(1.0, max(baseline_discordance + margin, FLOOR))


def power(n: int, discordance: float, drop: float, alpha: float) -> float:
    """Chance that the exact one-sided sign test, after ``n`` questions, sees a true drop.

    Args:
        discordance: share of questions with a discordant pair, d; at least ``drop``.
        drop: accuracy lost, as a share of questions. A discordant pair is a loss with chance (1 + drop/d)/2.
    """
    _check(discordance, drop)
    return _powers(range(n, n + 1), discordance, drop, alpha)[0]


@functools.cache
def smallest_drop(n: int, discordance: float, alpha: float, power: float) -> float | None:
    """The smallest drop seen with ``power`` after ``n`` questions, of 200 evenly spaced from half a point to all of d.

    The grid errs upwards, by less than a 199th of the discordance: .16 points at .33. Where not even a loss of every
    discordant pair would be seen, the drop must be larger than d, and makes as many pairs discordant: the next 200.
    ``None``: no drop is seen, not even with every answer lost.
    """
    return _smallest(n, discordance, alpha, power, min(0.005, discordance), discordance) or _smallest(
        n, discordance, alpha, power, discordance, 1.0
    )


def _smallest(n: int, discordance: float, alpha: float, power: float, first: float, last: float) -> float | None:
    step = (last - first) / 199

    def seen(place: int) -> bool:
        drop = first + place * step if place < 199 else last
        return _power(n, max(discordance, drop), drop, alpha) >= power

    if not seen(199):
        return None
    low, high = -1, 199
    while high - low > 1:  # more drop, more power
        middle = (low + high) // 2
        low, high = (low, middle) if seen(middle) else (middle, high)
    return first + high * step


@functools.cache
def questions_needed(discordance: float, drop: float, alpha: float, power: float) -> int | None:
    """The smallest number of questions from which on ``power`` is always reached.

    Exact power is a saw-tooth in n: a few more questions may see a little less, as the test's true size steps up and
    down below alpha. The number given is above the last tooth that dips under ``power``.

    Returns:
        ``None`` where it takes more than a million, or there is no drop to see.
    """
    _check(discordance, drop)
    if drop <= 0 or power >= 1:
        return None
    high = 1
    while _power(high, discordance, drop, alpha) < power:
        high *= 2
        if high > MOST_QUESTIONS:
            return None
    low = high // 2
    while high - low > 1:  # lands on some n that reaches power after one that does not
        middle = (low + high) // 2
        low, high = (low, middle) if _power(middle, discordance, drop, alpha) >= power else (middle, high)
    # Teeth are about .6/sqrt(n) high on a slope of about .14 * drop/sqrt(n): past 4/drop questions none reaches back.
    rising = range(high, high + math.ceil(8 / drop))
    dips = [n for n, reached in zip(rising, _powers(rising, discordance, drop, alpha), strict=True) if reached < power]
    return dips[-1] + 1 if dips else high


@dataclass(frozen=True, slots=True)
class Plan:
    """What ``n`` questions can see of a drop (or gain) of ``margin``, by a test at ``alpha``.

    Shares throughout: a ``margin`` of .05 is 5 points. ``discordance`` is that expected of baseline and candidate
    (:func:`expected_discordance`), ``alpha`` this gate's own (:func:`share_alpha`), and ``power`` what is asked for.
    A plan warns. It stops nothing: power is about the claim "no drop", and says nothing against a loss that was seen.
    """

    n: int
    discordance: float
    margin: float
    alpha: float
    power: float
    effect: Literal["drop", "gain"] = "drop"

    @property
    def reached(self) -> float:
        """The power that ``n`` questions give."""
        return power(self.n, self.discordance, self.margin, self.alpha)

    @property
    def enough(self) -> bool:
        return self.reached >= self.power

    def numbers(self) -> dict[str, Any]:
        """With the smallest effect that is seen with ``power`` (``None``: none is), and how many questions see
        ``margin`` with it (``None``: over a million would)."""
        return {
            **asdict(self),
            "reached": self.reached,
            "enough": self.enough,
            "smallest_seen": smallest_drop(self.n, self.discordance, self.alpha, self.power),
            "needed": questions_needed(self.discordance, self.margin, self.alpha, self.power),
        }

    @property
    def sentence(self) -> str:
        return plan_sentence(self.numbers())


def afterwards(
    differences: Sequence[float],
    *,
    expected: float,
    margin: float,
    alpha: float,
    power: float,
    effect: Literal["drop", "gain"] = "drop",
) -> Plan:
    """What a test could have shown that ended undecided: its plan, with the discordance that was seen where that is
    more than the ``expected`` one. It is the differences' variance, of question means too: what they hold of an effect
    is taken off, so that a few questions that all turned the same way do not pass for noise."""
    return Plan(len(differences), max(expected, statistics.pvariance(differences)), margin, alpha, power, effect)


_power = power  # within functions that take the power asked for by that name


def _check(discordance: float, drop: float) -> None:
    if not 0 < discordance <= 1 or not 0 <= drop <= discordance:
        raise ValueError(f"a drop of {drop} cannot come of a discordance of {discordance}: see expected_discordance")


def _powers(rising: range, discordance: float, drop: float, alpha: float) -> list[float]:
    """``power`` at each of many numbers of questions, with the sign test worked out once for all."""
    import numpy as np

    # So many discordant pairs, all but some 1e-15 of the time; the others would add nothing.
    spread = 8 * math.sqrt(rising[-1] * discordance * (1 - discordance)) + 8
    low = max(0, math.floor(rising[0] * discordance - spread))
    pairs = np.arange(low, math.ceil(rising[-1] * discordance + spread) + 1)
    seen = sf(isf(alpha, pairs, 0.5), pairs, (1 + drop / discordance) / 2)
    return [float(pmf(pairs, n, discordance) @ seen) for n in rising]
