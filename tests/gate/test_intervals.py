"""Intervals of accuracies, against closed forms and by how often they hold the truth."""

from __future__ import annotations

import math
from statistics import NormalDist, mean, stdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.gate import accuracy_interval


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


def test_statsmodels_says_the_same() -> None:
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    for correct, n in [(0, 3), (2, 7), (150, 400)]:
        expected = proportion.proportion_confint(correct, n, method="wilson")
        assert accuracy_interval([1.0] * correct + [0.0] * (n - correct)) == pytest.approx(expected, abs=1e-9)


def test_several_answers_a_question_are_one_observation() -> None:
    means = [0.25, 0.5, 0.5, 0.75, 1.0, 0.0, 0.25, 0.75]
    half = stats.t.ppf(0.975, len(means) - 1) * stdev(means) / math.sqrt(len(means))
    assert accuracy_interval(means) == pytest.approx((mean(means) - half, mean(means) + half))
    # Eight answers each: pooling them would claim an interval about sqrt(8) times as narrow.
    pooled = wilson(round(8 * sum(means)), 8 * len(means))
    assert 2 * half > 2 * (pooled[1] - pooled[0])


@pytest.mark.parametrize(
    "means",
    [[], [0.5], [0.5, 0.5], [0.25] * 20],
    ids=["nothing", "one question", "no spread", "no spread in many"],
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
