"""What a number of questions can see: against published figures, and exactly by brute force where that can be done."""

# ruff: noqa: E501 (one case a row)

from __future__ import annotations

import itertools
import math
import subprocess
import sys
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from harness.gate.power import (
    Plan,
    afterwards,
    discordance,
    expected_discordance,
    power,
    questions_needed,
    share_alpha,
    smallest_drop,
)
from harness.gate.wording import unseen
from harness.store.words import two_digits

# The smallest drop, in points, seen with power .80 at alpha .05; None where it is larger than the discordance.
QUESTIONS = [5, 50, 100, 200, 500, 1319]
SMALLEST = {
    0.10: [None, None, 8.2, 5.8, 3.7, 2.3],
    0.20: [None, 16.4, 11.6, 8.2, 5.2, 3.1],
    0.33: [None, 20.9, 14.9, 10.5, 6.7, 4.1],
}
CELLS = [(n, d, drop) for d, row in SMALLEST.items() for n, drop in zip(QUESTIONS, row, strict=True)]


@pytest.mark.parametrize(("n", "d", "drop"), CELLS)
def test_smallest_drop(n: int, d: float, drop: float | None) -> None:
    found = smallest_drop(n, d, 0.05, 0.80)
    assert found is not None
    if drop is None:
        assert power(n, d, d, 0.05) < 0.80  # not even with every discordant pair lost
        assert found > d
        assert power(n, found, found, 0.05) >= 0.80 > power(n, found - 0.005, found - 0.005, 0.05)
        return
    assert round(100 * found, 1) == drop
    step = (d - 0.005) / 199
    assert power(n, d, found, 0.05) >= 0.80 > power(n, d, found - step, 0.05)


@pytest.mark.parametrize("alpha", [0.05, 0.2])
@pytest.mark.parametrize(
    ("n", "d", "drop"), [(5, 0.9, 0.8), (9, 0.3, 0.1), (12, 0.5, 0.0), (12, 0.6, 0.6), (10, 1, 0.4)]
)
def test_power_is_the_chance_that_mcnemar_rejects(n: int, d: float, drop: float, alpha: float) -> None:
    lost, gained = (d + drop) / 2, (d - drop) / 2
    rejecting = 0.0
    for losses, gains in itertools.product(range(n + 1), repeat=2):
        ties = n - losses - gains
        if ties < 0 or losses + gains == 0:
            continue
        if binomtest(losses, losses + gains, alternative="greater").pvalue <= alpha:
            ways = math.factorial(n) // (math.factorial(losses) * math.factorial(gains) * math.factorial(ties))
            rejecting += ways * lost**losses * gained**gains * (1 - d) ** ties
    assert power(n, d, drop, alpha) == pytest.approx(rejecting, abs=1e-12)


# Share of runs called a regression by exact McNemar, simulated on paired GSM8K outcomes.
@pytest.mark.parametrize(("n", "d", "drop", "seen"), [(5, 0.33, 0.05, 0.0), (100, 0.33, 0.05, 0.18), (500, 0.33, 0.05, 0.59), (1319, 0.33, 0.05, 0.93), (500, 0.33, 0.0, 0.04), (1319, 0.10, 0.0, 0.04)])  # fmt: skip
def test_power_beside_simulated_gsm8k(n: int, d: float, drop: float, seen: float) -> None:
    assert power(n, d, drop, 0.05) == pytest.approx(seen, abs=0.02)


@given(st.integers(1, 400), st.floats(0.01, 1), st.floats(0, 1), st.floats(0.001, 0.3))
def test_power_stays_under_alpha_without_a_drop_and_grows_with_it(n: int, d: float, share: float, alpha: float) -> None:
    assert power(n, d, 0.0, alpha) <= alpha + 1e-9
    assert power(n, d, share * d, alpha) <= power(n, d, d, alpha) + 1e-9
    assert -1e-9 <= power(n, d, share * d / 2, alpha) <= power(n, d, share * d, alpha) + 1e-9 <= 1 + 2e-9


@pytest.mark.parametrize(
    ("d", "drop", "needed"), [(0.20, 0.05, 527), (0.10, 0.05, 268), (1.0, 0.2, 169), (0.5, 0.5, 12)]
)
def test_questions_needed(d: float, drop: float, needed: int) -> None:
    assert questions_needed(d, drop, 0.05, 0.80) == needed
    assert power(needed - 1, d, drop, 0.05) < 0.80
    assert all(power(n, d, drop, 0.05) >= 0.80 for n in range(needed, 2 * needed))
    if d == 1.0:  # teeth are tallest where every pair is discordant: fewer questions reach it too, and more do not
        assert any(power(n, d, drop, 0.05) >= 0.80 for n in range(needed - 8, needed))


@given(st.floats(0.1, 1), st.floats(0.2, 1), st.sampled_from([0.01, 0.05, 0.2]), st.sampled_from([0.5, 0.8, 0.95]))
@settings(max_examples=10)
def test_power_never_dips_again_past_the_questions_needed(d: float, share: float, alpha: float, asked: float) -> None:
    needed = questions_needed(d, share * d, alpha, asked)
    assume(needed is not None and needed < 2000)
    assert needed is not None
    assert needed == 1 or power(needed - 1, d, share * d, alpha) < asked
    assert min(power(n, d, share * d, alpha) for n in range(needed, needed + 150)) >= asked - 1e-9


def test_what_no_number_of_questions_can_see() -> None:
    assert questions_needed(0.1, 0.0, 0.05, 0.8) is None
    assert questions_needed(0.1, 0.05, 0.05, 1.0) is None
    assert questions_needed(0.1, 0.0005, 0.05, 0.8) is None  # over a million
    with pytest.raises(ValueError, match="cannot come of a discordance"):
        power(100, 0.05, 0.10, 0.05)


@pytest.mark.parametrize(
    ("correct", "samples", "expected"),
    [
        ([0, 1, 1, 0], 1, 0.0),
        ([0, 2, 2], 2, 0.0),
        ([1, 1], 2, 1.0),  # two generations that always differ
        ([0, 1, 2, 3, 4], 4, (0 + 3 + 4 + 3 + 0) / 6 / 5),
    ],
)
def test_discordance(correct: list[int], samples: int, expected: float) -> None:
    assert discordance(correct, samples) == pytest.approx(expected)


@given(st.integers(2, 6), st.data())
def test_discordance_is_the_share_of_pairs_of_generations_that_differ(samples: int, data: st.DataObject) -> None:
    correct = data.draw(st.lists(st.integers(0, samples), min_size=1, max_size=8))
    differ = [a != b for count in correct for a, b in itertools.combinations([1] * count + [0] * (samples - count), 2)]
    assert discordance(correct, samples) == pytest.approx(sum(differ) / len(differ))


@pytest.mark.parametrize(("correct", "samples"), [([], 1), ([2], 1), ([-1], 4), ([0], 0)])
def test_counts_that_cannot_be(correct: list[int], samples: int) -> None:
    with pytest.raises(ValueError, match=r"questions|samples"):
        discordance(correct, samples)


def test_expected_discordance_and_shared_alpha() -> None:
    assert expected_discordance(0.0, 0.05) == 0.10
    assert expected_discordance(0.28, 0.05) == pytest.approx(0.33)
    assert expected_discordance(0.5, 1.0) == 1.0
    assert Plan(400, discordance=expected_discordance(0.5, 1.0), margin=1.0, alpha=0.05, power=0.8).enough
    assert share_alpha(0.05, 1) == 0.05
    assert share_alpha(0.06, 3) == pytest.approx(0.02)
    with pytest.raises(ValueError, match="0 gates"):
        share_alpha(0.05, 0)


NEEDS = "5 were asked for (that needs about 530)"


@pytest.mark.parametrize(
    ("n", "discordance", "sentence"),
    [
        (1, 0.20, "1 question: any drop could go unseen, even if every answer turned wrong; 5 points were asked for (that needs about 530)"),
        (4, 0.20, "4 questions: any drop could go unseen, even if every answer turned wrong; 5 points were asked for (that needs about 530)"),
        (5, 0.20, f"5 questions: a drop of less than about 96 points could go unseen, {NEEDS}"),
        (7, 0.20, f"7 questions: a drop of less than about 77 points could go unseen, {NEEDS}"),
        (60, 0.20, f"60 questions: a drop of less than about 15 points could go unseen, {NEEDS}"),
        (400, 0.20, f"400 questions: a drop of less than about 5.8 points could go unseen, {NEEDS}"),
        (1319, 0.33, "1319 questions at discordance .33 see a drop of 5 points with power .93; .80 was asked for"),
    ],
)  # fmt: skip
def test_sentences(n: int, discordance: float, sentence: str) -> None:
    planned = Plan(n, discordance=discordance, margin=0.05, alpha=0.05, power=0.80)
    assert planned.sentence == sentence
    assert planned.enough == (n == 1319)


def test_what_enough_questions_could_miss_all_the_same() -> None:
    missed = Plan(1319, discordance=0.33, margin=0.05, alpha=0.05, power=0.80).numbers()
    said = unseen(1319, "drop", missed["smallest_seen"], 0.05, missed["needed"], enough=True)
    assert said == "1319 questions: a drop of less than about 4.1 points could go unseen, 5 were asked for"
    gain = Plan(60, discordance=0.10, margin=0.01, alpha=0.025, power=0.80, effect="gain")
    assert gain.sentence.startswith(
        "60 questions: a gain of less than about 13 points could go unseen, 1 was asked for"
    )


@pytest.mark.parametrize(
    ("differences", "d"),
    [
        ([0] * 60, 0.15),  # none was seen: as expected
        ([1] * 15 + [-1] * 15 + [0] * 30, 0.5),
        ([1] * 60, 0.15),  # an effect is no noise
        ([1] * 32 + [0] * 32, 0.25),
        ([1.0] * 32 + [-0.5] * 32, 0.5625),  # question means
    ],
)
def test_afterwards_the_discordance_is_known(differences: list[float], d: float) -> None:
    found = afterwards(differences, expected=0.15, margin=0.05, alpha=0.05, power=0.80)
    assert found == Plan(len(differences), discordance=d, margin=0.05, alpha=0.05, power=0.80)


def test_a_margin_that_over_a_million_questions_would_need() -> None:
    planned = Plan(100, discordance=0.10, margin=0.0005, alpha=0.05, power=0.80)
    assert planned.numbers()["needed"] is None
    assert planned.sentence == (
        "100 questions: a drop of less than about 8.2 points could go unseen, 0.05 were asked for "
        "(that needs over 1,000,000)"
    )


def test_the_numbers_of_a_plan() -> None:
    planned = Plan(200, discordance=0.20, margin=0.10, alpha=0.05, power=0.80)
    needed = questions_needed(0.20, 0.10, 0.05, 0.80)
    assert needed is not None
    assert needed <= 200
    found = {
        "reached": power(200, 0.20, 0.10, 0.05),
        "enough": True,
        "smallest_seen": smallest_drop(200, 0.20, 0.05, 0.80),
        "needed": needed,
    }
    assert planned.numbers().items() >= found.items()


@pytest.mark.parametrize(("share", "text"), [(0.05, ".05"), (0.05 / 3, ".017"), (0.001, ".001"), (0.9305, ".93"), (1.0, "1.00"), (0.5, ".50")])  # fmt: skip
def test_shares_in_print(share: float, text: str) -> None:
    assert two_digits(share) == text


def test_a_plan_takes_milliseconds_and_importing_the_gate_takes_neither_numpy_nor_scipy() -> None:
    power(1319, 0.33, 0.05, 0.05)
    started = time.process_time()
    for _ in range(10):
        power(1319, 0.33, 0.05, 0.05)
    assert time.process_time() - started < 1  # 0.01 s on a quiet core
    modules = "harness.gate.power, harness.gate.statistics, harness.gate.verdicts, harness.gate.signal"
    code = f"import sys, harness.gate, {modules}; sys.exit(bool({{'numpy', 'scipy'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
