"""Binomial probabilities and intervals: against scipy, closed forms and definitions, and by how often they hold."""

from __future__ import annotations

import math
from statistics import NormalDist, mean, stdev

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import binom

from harness.gate.statistics import accuracy_interval, anytime_interval, isf, pmf, sf


@pytest.mark.parametrize("p", [0.0, 1e-9, 0.1, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("n", [0, 1, 7, 64, 1319])
def test_pmf_and_sf(n, p):
    k = np.arange(-2, n + 3)
    assert pmf(k, n, p) == pytest.approx(binom.pmf(k, n, p), rel=1e-9, abs=1e-300)
    assert sf(k, n, p) == pytest.approx(binom.sf(k, n, p), rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("q", [0.001, 0.0125, 0.025, 0.05, 0.5])
def test_isf(q):
    n = np.arange(0, 700)
    k = isf(q, n, 0.5)
    assert np.all(binom.sf(k, n, 0.5) <= q * (1 + 1e-12))
    assert np.all((k == 0) | (binom.sf(k - 1, n, 0.5) > q * (1 - 1e-12)))
    assert np.array_equal(k, np.maximum(binom.isf(q, n, 0.5), 0))


def wilson(correct: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson 1927: the shares p whose test against correct/n does not reject."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = correct / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return middle - half, middle + half


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("correct", "n"), [(0, 1), (1, 1), (0, 5), (5, 5), (1, 10), (37, 200), (700, 1319)])
def test_one_answer_a_question_is_wilson(correct: int, n: int, confidence: float) -> None:
    found = accuracy_interval([1.0] * correct + [0.0] * (n - correct), confidence)
    assert found == pytest.approx(wilson(correct, n, confidence), abs=1e-9)


def test_a_known_wilson_interval() -> None:
    # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3: 81 of 263.
    assert accuracy_interval([1.0] * 81 + [0.0] * 182) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_several_answers_a_question_are_one_observation() -> None:
    means = [0.25, 0.5, 0.5, 0.75, 1.0, 0.0, 0.25, 0.75]
    with_ends = [*means, 0.0, 1.0]
    half = stats.t.ppf(0.975, len(with_ends) - 1) * stdev(with_ends) / math.sqrt(len(with_ends))
    assert accuracy_interval(means) == pytest.approx((mean(with_ends) - half, mean(with_ends) + half))
    # Eight answers each: pooling them would claim an interval about sqrt(8) times as narrow.
    pooled = wilson(round(8 * sum(means)), 8 * len(means))
    assert 2 * half > 2 * (pooled[1] - pooled[0])


@pytest.mark.parametrize(
    "means",
    [[], [0.5], [0.5, 0.5], [0.25, 0.875]],
    ids=["nothing", "one question", "no spread", "two questions"],
)
def test_too_little_to_tell(means: list[float]) -> None:
    assert accuracy_interval(means) == (0.0, 1.0)


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), max_size=30), st.floats(0.5, 0.999))
def test_an_interval_holds_its_mean_and_stays_between_0_and_1(means: list[float], confidence: float) -> None:
    low, high = accuracy_interval(means, confidence)
    assert 0 <= low <= high <= 1
    if means:
        assert low - 1e-12 <= mean(means) <= high + 1e-12


@given(st.integers(0, 50), st.integers(1, 50))
def test_wrong_is_right_mirrored(correct: int, wrong: int) -> None:
    low, high = accuracy_interval([1.0] * correct + [0.0] * wrong)
    mirrored_low, mirrored_high = accuracy_interval([0.0] * correct + [1.0] * wrong)
    assert (low, high) == pytest.approx((1 - mirrored_high, 1 - mirrored_low))


def test_the_t_interval_holds_the_truth_as_often_as_it_says() -> None:
    # 60 questions of unlike difficulty, 4 answers each; the pooled Wilson interval is too sure of itself.
    rng = np.random.default_rng(0)
    held, pooled_held, runs = 0, 0, 400
    for _ in range(runs):
        counts = rng.binomial(4, rng.choice([0.05, 0.95], 60))
        low, high = accuracy_interval([float(count) / 4 for count in counts])
        held += low <= 0.5 <= high
        low, high = wilson(int(counts.sum()), 240)
        pooled_held += low <= 0.5 <= high
    assert abs(held / runs - 0.95) < 3 * math.sqrt(0.95 * 0.05 / runs)
    assert pooled_held / runs < 0.85


@pytest.mark.parametrize("n", [8, 20, 60, 200])
@pytest.mark.parametrize(("share", "often", "seldom"), [(0.02, 0.0, 0.99), (0.1, 0.9, 0.02), (0.5, 0.95, 0.4)])
def test_few_questions_of_another_kind_are_reckoned_with(n: int, share: float, often: float, seldom: float) -> None:
    """Eight answers each; a small share of the questions is never, or mostly, answered right. Where none of them was
    asked, the means lie close together; Student's t alone misses the truth in up to 28 %."""
    rng, runs = np.random.default_rng(0), 1500
    truth = share * often + (1 - share) * seldom
    missed = 0
    for _ in range(runs):
        right = rng.binomial(8, np.where(rng.random(n) < share, often, seldom))
        low, high = accuracy_interval([float(count) / 8 for count in right])
        missed += not low <= truth <= high
    assert missed / runs <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)


def by_definition(values: list[float], alpha: float) -> tuple[float, float]:
    """Waudby-Smith and Ramdas, theorem 3, question by question on a grid of means."""
    grid = np.linspace(0.0005, 0.9995, 1000)
    up, down, alive = np.ones(1000), np.ones(1000), np.ones(1000, dtype=bool)
    seen, squares = 0.0, 0.0
    for t, value in enumerate(values, start=1):
        variance = (0.25 + squares) / t
        bet = math.sqrt(2 * math.log(2 / alpha) / (variance * t * math.log(t + 1)))
        up *= 1 + np.minimum(bet, 0.5 / grid) * (value - grid)
        down *= 1 - np.minimum(bet, 0.5 / (1 - grid)) * (value - grid)
        alive &= np.maximum(up, down) / 2 < 1 / alpha
        seen += value
        squares += (value - (0.5 + seen) / (t + 1)) ** 2
    return float(grid[alive].min()), float(grid[alive].max())


@pytest.mark.parametrize("accuracy", [0.05, 0.5, 0.8])
def test_the_anytime_interval_is_what_the_paper_defines(accuracy: float) -> None:
    rng = np.random.default_rng(1)
    for values in [(rng.random(150) < accuracy).astype(float).tolist(), rng.beta(2 * accuracy, 2, 150).tolist()]:
        for alpha in (0.05, 0.2):
            found = anytime_interval(values, confidence=1 - alpha)
            assert found == pytest.approx(by_definition(values, alpha), abs=0.0015)


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), max_size=60), st.floats(0.5, 0.99))
@settings(max_examples=40)
def test_the_anytime_interval_holds_the_mean_and_stays_between_0_and_1(values: list[float], confidence: float) -> None:
    low, high = anytime_interval(values, confidence=confidence)
    assert 0 <= low <= high <= 1
    if values:
        assert low - 1e-9 <= mean(values) <= high + 1e-9
    mirrored = anytime_interval([1 - value for value in values], confidence=confidence)
    assert (low, high) == pytest.approx((1 - mirrored[1], 1 - mirrored[0]), abs=1e-9)


def test_nothing_known() -> None:
    assert anytime_interval([]) == (0.0, 1.0)


@pytest.mark.parametrize("values", [[1.5], [0.5, -0.1]])
def test_values_are_shares(values: list[float]) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        anytime_interval(values)


@pytest.mark.parametrize("accuracy", [0.1, 0.3, 0.5, 0.9])
def test_width_beside_wilson(accuracy: float) -> None:
    # Being valid at any time costs width, but not more than about twice.
    rng = np.random.default_rng(2)
    ratios = []
    for _ in range(20):
        values = (rng.random(400) < accuracy).astype(float).tolist()
        low, high = anytime_interval(values)
        wilson = accuracy_interval(values)
        ratios.append((high - low) / (wilson[1] - wilson[0]))
    assert 1 < mean(ratios) < 2


def test_coverage_at_a_stopping_time_that_depends_on_the_answers() -> None:
    """Stop as soon as the interval leaves the truth out, which no fixed-n interval survives."""
    rng = np.random.default_rng(3)
    truth, runs, looks = 0.4, 100, range(50, 401, 50)
    missed = {"anytime": 0, "wilson": 0}
    for _ in range(runs):
        values = (rng.random(400) < truth).astype(float).tolist()
        for name, interval in (("anytime", anytime_interval), ("wilson", accuracy_interval)):
            intervals = (interval(values[:n]) for n in looks)
            missed[name] += any(not low <= truth <= high for low, high in intervals)
    assert missed["anytime"] / runs <= 0.05
    assert missed["wilson"] / runs > 0.10
