"""The sequential paired test: exact by enumeration where that can be done, by simulation where it cannot."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from harness.gate import sequential
from harness.gate.sequential import Walk, stops, walk

NEVER = 1e-300  # a beta that rules nothing out
signs = st.sampled_from([-1, 0, 1])


def pairs(ups: int, downs: int, ties: int = 0) -> list[int]:
    return [1] * ups + [-1] * downs + [0] * ties


@pytest.mark.parametrize(
    ("differences", "alpha", "outcome"),
    [
        (pairs(5, 0), 1 / 32, "effect"),
        (pairs(5, 0), 1 / 33, "neither"),
        (pairs(4, 0), 0.05, "neither"),
        (pairs(9, 1), 0.05, "effect"),  # 11 of 1024
        (pairs(8, 2), 0.05, "neither"),  # 56 of 1024
        (pairs(8, 2), 0.055, "effect"),
        (pairs(9, 1, ties=5), 0.05, "effect"),
        (pairs(1, 9), 0.05, "neither"),
        (pairs(0, 0, ties=31), 0.05, "neither"),
        ([], 0.05, "neither"),
    ],
)
def test_few_questions_are_a_sign_test(differences: list[int], alpha: float, outcome: str) -> None:
    found = walk(differences, margin=0.05, alpha=alpha, beta=NEVER)
    ups, downs = differences.count(1), differences.count(-1)
    assert found == Walk(outcome, len(differences), len(differences), ups, downs)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("total", "margin", "expected"),
    [
        (400, 0.05, [74, 128, 192, 256, 320, 384, 400]),
        (400, 0.10, [64, 128, 192, 256, 320, 384, 400]),
        (150, 0.05, [32, 74, 96, 128, 150]),
        (50, 0.05, [32, 50]),
        (20, 0.05, [20]),
        (64, 0.05, [32, 64]),
    ],
)
def test_where_asking_may_end(total: int, margin: float, expected: list[int]) -> None:
    assert stops(total, margin=margin) == expected


@pytest.mark.parametrize("margin", [0.02, 0.05])
def test_a_policy_that_did_not_change_is_asked_no_more_than_it_takes(margin: float) -> None:
    by_stop = [walk([0] * asked, margin=margin, alpha=0.05, total=1319) for asked in stops(1319, margin=margin)]
    first = next(each for each in by_stop if each.outcome == "ruled_out")
    assert first.asked == walk([0] * 1319, margin=margin, alpha=0.05).asked
    assert first.asked in stops(1319, margin=margin)


def test_a_look_spends_alpha_in_proportion_to_the_questions_asked() -> None:
    # At 16 of 32 questions half of alpha may be spent: 13 of 16 ups are rare enough, 12 are not.
    assert binom.sf(12, 16, 0.5) < 0.05 / 2 < binom.sf(11, 16, 0.5)
    rest = pairs(0, 0, ties=16)
    early = walk(pairs(13, 3) + rest, margin=0.05, alpha=0.05, beta=NEVER)
    assert early == Walk("effect", 16, 32, 13, 3)
    late = walk(pairs(12, 4) + rest, margin=0.05, alpha=0.05, beta=NEVER)
    assert late == Walk("effect", 32, 32, 12, 4)  # at the end, the rest of alpha is there


def enumerated(places: list[bool], look: int, alpha: Fraction) -> Iterator[tuple[tuple[int, ...], int | None]]:
    """Every path of signs on the discordant places, with the question at which it crosses the sign test's boundary.

    By counting paths, in fractions: at each look, the smallest count of ups whose paths, of those not yet crossed, are
    no more than what may be spent.
    """
    total = len(places)
    paths = [
        tuple(next(drawn) if place else 0 for place in places)
        for drawn in map(iter, itertools.product((-1, 1), repeat=sum(places)))
    ]
    crossed: dict[tuple[int, ...], int] = {}
    for asked in range(1, total + 1):
        if asked % look and asked != total:
            continue
        left = [path for path in paths if path not in crossed]
        for critical in range(asked + 1):
            over = [path for path in left if path[:asked].count(1) >= critical]
            if Fraction(len(crossed) + len(over), len(paths)) <= alpha * Fraction(asked, total):
                crossed |= dict.fromkeys(over, asked)
                break
    return ((path, crossed.get(path)) for path in paths)


@pytest.mark.parametrize(
    ("places", "look", "alpha"),
    [
        ([True] * 10, 2, Fraction(3, 10)),
        ([True] * 9, 3, Fraction(1, 20)),
        ([True] * 9, 4, Fraction(2, 10)),
        ([True, False, True, True, False, True, True, True, False, True, True], 3, Fraction(2, 10)),
    ],
)
def test_every_path_crosses_where_counting_says(
    places: list[bool], look: int, alpha: Fraction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequential, "LOOK", look)
    total, paths = len(places), list(enumerated(places, look, alpha))
    # A hair more alpha, for sums of floating point that should be equal to it.
    found = {path: walk(path, margin=0.5, alpha=float(alpha) + 1e-12, beta=NEVER) for path, _ in paths}
    for path, crossing in paths:
        assert found[path].outcome == ("effect" if crossing else "neither"), path
        assert found[path].asked == (crossing or total)
        assert found[path].up == path[: found[path].asked].count(1)
    for asked in range(1, total + 1):
        by_now = sum(each.outcome == "effect" and each.asked <= asked for each in found.values())
        assert Fraction(by_now, len(paths)) <= alpha * Fraction(asked, total)
    assert any(crossing and crossing < total for _, crossing in paths)


@pytest.mark.parametrize(("up", "down", "margin"), [(0.6, 0.2, 0.4), (0.5, 0.0, 0.5), (0.45, 0.35, 0.1)])
def test_an_effect_that_is_there_is_ruled_out_at_most_beta_of_the_time(up: float, down: float, margin: float) -> None:
    chance = {1: up, -1: down, 0: 1 - up - down}
    possible = [difference for difference, share in chance.items() if share > 0]
    beta, lost, reached = 0.5, 0.0, False
    for path in itertools.product(possible, repeat=8):
        found = walk(path, margin=margin, alpha=0.0, beta=beta)
        if found.outcome == "ruled_out":
            reached = True
            lost += math.prod(chance[difference] for difference in path)
    assert reached
    assert lost <= beta


def test_what_is_ruled_out_and_how_soon() -> None:
    def asked(difference: int, margin: float, beta: float) -> int | None:
        found = walk([difference] * 1000, margin=margin, alpha=0.0, beta=beta)
        return found.asked if found.outcome == "ruled_out" else None

    assert asked(1, 0.05, 0.1) is None
    assert asked(-1, 0.05, 0.1) < asked(0, 0.05, 0.1) < asked(0, 0.05, 0.01)
    assert asked(0, 0.2, 0.1) < asked(0, 0.05, 0.1) < asked(0, 0.02, 0.1)
    # A bet of lambda <= .75 gains at most log(1 + .75 * margin) on a tie: no verdict can come sooner than that.
    assert asked(0, 0.05, 0.1) >= math.log(10) / math.log1p(0.75 * 0.05)


@given(st.lists(signs, min_size=1, max_size=150))
@settings(max_examples=40)
def test_no_effect_is_claimed_against_the_count(differences: list[int]) -> None:
    found = walk(differences, margin=0.05, alpha=0.05, beta=NEVER)
    if found.outcome == "effect":
        assert found.up > found.down
    if differences.count(1) <= differences.count(-1):
        assert found.outcome == "neither" or found.asked < len(differences)


def rates(sessions: int, discordance: float, total: int, effect: float, seed: int = 0) -> dict[str, float]:
    """Share of sessions by outcome, at the defaults: alpha .05, beta .10, margin .05."""
    rng = np.random.default_rng(seed)
    chances = [(discordance - effect) / 2, 1 - discordance, (discordance + effect) / 2]
    drawn = rng.choice([-1, 0, 1], size=(sessions, total), p=chances)
    outcomes = [walk(row.tolist(), margin=0.05, alpha=0.05, beta=0.10).outcome for row in drawn]
    return {word: outcomes.count(word) / sessions for word in ("effect", "ruled_out", "neither")}  # type: ignore[arg-type]


def at_most(rate: float, sessions: int) -> float:
    """A rate plus two standard errors of its estimate."""
    return rate + 2 * math.sqrt(rate * (1 - rate) / sessions)


def test_a_few_hundred_sessions() -> None:
    null, there, large = (rates(300, 0.33, 200, effect) for effect in (0.0, 0.05, 0.25))
    assert null["effect"] <= at_most(0.05, 300)
    assert there["ruled_out"] <= at_most(0.10, 300)
    assert large["effect"] > 0.95


# Driving generation: asked again after every look, the walk says what the whole would say, and no sooner.


def same_when_driven(differences: list[int | None], margin: float, alpha: float, beta: float) -> None:
    total = len(differences)
    whole = walk(differences, margin=margin, alpha=alpha, beta=beta)
    for asked in range(total + 1):
        found = walk(differences[:asked], margin=margin, alpha=alpha, beta=beta, total=total)
        if whole.outcome != "neither" and asked >= whole.asked:
            assert found == whole
        else:
            ups, downs = (differences[:asked].count(sign) for sign in (1, -1))
            assert found == Walk("neither", asked, total, ups, downs)


@given(st.lists(st.one_of(signs, st.none()), max_size=110), st.sampled_from([0.05, 0.3]))
@settings(max_examples=30)
def test_a_prefix_that_crosses_gives_what_the_whole_gives(differences: list[int | None], margin: float) -> None:
    same_when_driven(differences, margin, alpha=0.3, beta=0.5)


@pytest.mark.parametrize(("drop", "outcome"), [(-0.1, "ruled_out"), (0.15, "effect")])
def test_a_prefix_of_many_questions(drop: float, outcome: str) -> None:
    rng = np.random.default_rng(5)
    differences = rng.choice([-1, 0, 1], size=300, p=[(0.3 - drop) / 2, 0.7, (0.3 + drop) / 2]).tolist()
    whole = walk(differences, margin=0.05, alpha=0.05)
    assert whole.outcome == outcome
    assert whole.asked < 300
    same_when_driven(differences, 0.05, alpha=0.05, beta=0.10)


def test_what_a_look_may_spend_is_of_the_total() -> None:
    lost = [1] * 64
    assert walk(lost, margin=0.05, alpha=0.05) == Walk("effect", 16, 64, 16, 0)
    assert walk(lost, margin=0.05, alpha=0.0005, total=1319) == Walk("effect", 32, 1319, 32, 0)
    assert walk(lost[:15], margin=0.05, alpha=0.05, total=1319) == Walk("neither", 15, 1319, 15, 0)
    assert walk([], margin=0.05, alpha=0.05, total=100) == Walk("neither", 0, 100, 0, 0)
    with pytest.raises(ValueError, match="64 differences of 63 questions"):
        walk(lost, margin=0.05, alpha=0.05, total=63)


def test_a_question_without_a_pair_counts_as_asked_and_as_nothing_else() -> None:
    unscored: list[int | None] = [None] * 32
    assert walk([*unscored, *[1] * 32], margin=0.05, alpha=0.05) == Walk("effect", 48, 64, 16, 0)
    # A tie is a little evidence against a drop; a question that was not scored is none.
    assert walk([0] * 200, margin=0.05, alpha=0.05).outcome == "ruled_out"
    assert walk([None] * 200, margin=0.05, alpha=0.05) == Walk("neither", 200, 200, 0, 0)
    ties: list[int | None] = [0] * 100
    spaced = [each for tie in ties for each in (None, tie)]
    assert walk(spaced, margin=0.05, alpha=0.05).asked == 2 * walk(ties, margin=0.05, alpha=0.05).asked


def test_no_margin_rules_nothing_out() -> None:
    assert walk([-1] * 500, margin=0.0, alpha=0.05) == Walk("neither", 500, 500, 0, 500)


def test_asking_after_every_look_is_quick() -> None:
    rng = np.random.default_rng(6)
    differences = rng.choice([-1, 0, 1], size=1319, p=[0.17, 0.66, 0.17]).tolist()
    started = time.process_time()
    for asked in range(64, 1320, 64):
        walk(differences[:asked], margin=1e-6, alpha=1e-9, total=1319)
    assert time.process_time() - started < 2  # 0.03 s on a quiet core
