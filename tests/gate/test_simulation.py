"""How often the gate is wrong, how often it sees a drop, and after how many questions: 2,000 sessions a cell.

pytest tests/gate/test_simulation.py -m slow -s        prints the table; a few minutes on one core
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import binom

from harness.gate.power import power
from harness.gate.sequential import walk
from harness.gate.verdicts import judge_against_baseline

SESSIONS = 2000
MARGIN, ALPHA, BETA = 0.05, 0.05, 0.10
CELLS = [(n, d) for n in (200, 1319) for d in (0.10, 0.33)]
DROPS = [0.0, 0.05, 0.10]


@dataclass(frozen=True)
class Rates:
    """Shares of sessions, and the mean of questions asked when generation stops at the first verdict."""

    regressed: float
    ok: float
    inconclusive: float
    asked: float
    asked_when_regressed: float
    mcnemar: float
    fixed: float


@functools.cache
def rates(n: int, d: float, drop: float) -> Rates:
    """Sessions of ``n`` pairs, a share ``d`` of them discordant, ``drop`` more of them lost than gained."""
    rng = np.random.default_rng([n, round(100 * d), round(100 * drop)])
    drawn = rng.choice([-1, 0, 1], size=(SESSIONS, n), p=[(d - drop) / 2, 1 - d, (d + drop) / 2])
    walks = [walk(row, margin=MARGIN, alpha=ALPHA, beta=BETA) for row in drawn.tolist()]
    lost, gained = (drawn == 1).sum(axis=1), (drawn == -1).sum(axis=1)
    outcomes = [found.outcome for found in walks]
    regressed = [found.asked for found in walks if found.outcome == "effect"]
    return Rates(
        regressed=outcomes.count("effect") / SESSIONS,
        ok=outcomes.count("ruled_out") / SESSIONS,
        inconclusive=outcomes.count("neither") / SESSIONS,
        asked=float(np.mean([found.asked for found in walks])),
        asked_when_regressed=float(np.mean(regressed)) if regressed else math.nan,
        mcnemar=float(np.mean(binom.sf(lost - 1, lost + gained, 0.5) <= ALPHA)),
        fixed=float(np.mean(lost - gained > round(0.02 * n))),
    )


def at_most(rate: float, sessions: int = SESSIONS) -> float:
    """A rate plus two standard errors of its estimate."""
    return rate + 2 * math.sqrt(rate * (1 - rate) / sessions)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "d"), CELLS)
def test_error_rates(n: int, d: float) -> None:
    unchanged, dropped = rates(n, d, 0.0), rates(n, d, MARGIN)
    assert unchanged.regressed <= at_most(ALPHA)
    assert dropped.ok <= at_most(BETA)
    # The price of looking early: a few points of power, for fewer questions.
    assert dropped.mcnemar == pytest.approx(power(n, d, MARGIN, ALPHA), abs=0.03)
    assert dropped.regressed >= dropped.mcnemar - 0.12
    assert unchanged.asked < n
    assert unchanged.fixed > at_most(ALPHA) or (n, d) == (1319, 0.10)  # the rule that this gate is there instead of


@pytest.mark.slow
def test_the_table() -> None:
    print(
        f"\n{SESSIONS} sessions a row; alpha {ALPHA}, beta {BETA}, margin {MARGIN}; two standard errors: at most 2.2 %"
    )
    print("| questions | d | true drop | REGRESSED | OK | INCONCLUSIVE | asked, mean | asked if REGRESSED |", end="")
    print(" exact McNemar | > 2 points below |\n" + "|---" * 10 + "|")
    for n, d in CELLS:
        for drop in (drop for drop in DROPS if drop <= d):
            r = rates(n, d, drop)
            shares = [f"{100 * share:.1f} %" for share in (r.regressed, r.ok, r.inconclusive, r.mcnemar, r.fixed)]
            asked = [f"{r.asked:.0f}", f"{r.asked_when_regressed:.0f}"]
            row = [str(n), f"{d:.2f}", f"{100 * drop:.0f}", *shares[:3], *asked, *shares[3:]]
            print(f"| {' | '.join(row)} |")
    null, there = rates(1319, 0.33, 0.0), rates(1319, 0.33, MARGIN)
    assert there.regressed > 0.8 > 0.06 > null.regressed


@pytest.mark.slow
@pytest.mark.parametrize("samples", [1, 8])
def test_error_rates_through_baselines_and_drawn_pairs(samples: int) -> None:
    """Policies with a chance of their own at each question; a fresh baseline of K generations each session."""
    rng, sessions, n = np.random.default_rng(9), 600, 400
    order = [f"task/test/{each}" for each in range(n)]
    words: dict[float, list[str]] = {0.0: [], MARGIN: []}
    for session in range(sessions):
        chances = rng.beta(1, 1, n)  # two generations differ on a third of the questions
        correct = dict(zip(order, rng.binomial(samples, chances).tolist(), strict=True))
        for drop, found in words.items():
            answers = (rng.random(n) < chances * (1 - drop / 0.5)).astype(float).tolist()
            candidate = dict(zip(order, answers, strict=True))
            verdict = judge_against_baseline(
                correct, candidate, order, samples=samples, commit=str(session), margin=MARGIN, alpha=ALPHA
            )
            found.append(verdict.verdict)
    shares = {
        drop: {word: found.count(word) / sessions for word in sorted(set(found))} for drop, found in words.items()
    }
    print(f"\nK = {samples}, {n} questions, by true drop: {shares}")
    assert shares[0.0].get("REGRESSED", 0) <= at_most(ALPHA, sessions)
    assert shares[MARGIN].get("OK", 0) + shares[MARGIN].get("IMPROVED", 0) <= at_most(BETA, sessions)
    assert shares[MARGIN]["REGRESSED"] > 0.25
