"""The anytime-valid interval: against its definition on a grid, and by coverage where stopping depends on the data."""

from __future__ import annotations

import math
from statistics import mean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.gate import accuracy_interval
from harness.gate.confidence import anytime_interval


def by_definition(values: list[float], alpha: float, total: int | None = None) -> tuple[float, float]:
    """Waudby-Smith and Ramdas, theorem 3 (theorem 4 without replacement), question by question on a grid of means."""
    grid = np.linspace(0.0005, 0.9995, 1000)
    up, down, alive = np.ones(1000), np.ones(1000), np.ones(1000, dtype=bool)
    seen, squares = 0.0, 0.0
    for t, value in enumerate(values, start=1):
        variance = (0.25 + squares) / t
        bet = math.sqrt(2 * math.log(2 / alpha) / (variance * t * math.log(t + 1)))
        left = grid if total is None else (total * grid - seen) / (total - t + 1)
        possible = (left > 0) & (left < 1)
        left = np.clip(left, 1e-9, 1 - 1e-9)
        up *= 1 + np.minimum(bet, 0.5 / left) * (value - left)
        down *= 1 - np.minimum(bet, 0.5 / (1 - left)) * (value - left)
        alive &= possible & (np.maximum(up, down) / 2 < 1 / alpha)
        seen += value
        squares += (value - (0.5 + seen) / (t + 1)) ** 2
    return float(grid[alive].min()), float(grid[alive].max())


@pytest.mark.parametrize("total", [None, 300])
@pytest.mark.parametrize("accuracy", [0.05, 0.5, 0.8])
def test_it_is_what_the_paper_defines(accuracy: float, total: int | None) -> None:
    rng = np.random.default_rng(1)
    for values in [(rng.random(150) < accuracy).astype(float).tolist(), rng.beta(2 * accuracy, 2, 150).tolist()]:
        for alpha in (0.05, 0.2):
            found = anytime_interval(values, confidence=1 - alpha, total=total)
            assert found == pytest.approx(by_definition(values, alpha, total), abs=0.0015)


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), max_size=60), st.floats(0.5, 0.99), st.sampled_from([None, 70]))
@settings(deadline=None)
def test_it_holds_the_mean_and_stays_between_0_and_1(values: list[float], confidence: float, total: int | None) -> None:
    low, high = anytime_interval(values, confidence=confidence, total=total)
    assert 0 <= low <= high <= 1
    if values:
        assert low - 1e-9 <= mean(values) <= high + 1e-9
    mirrored = anytime_interval([1 - value for value in values], confidence=confidence, total=total)
    assert (low, high) == pytest.approx((1 - mirrored[1], 1 - mirrored[0]), abs=1e-9)


def test_nothing_known_and_everything_known() -> None:
    assert anytime_interval([]) == (0.0, 1.0)
    assert anytime_interval([1.0], total=1) == pytest.approx((1.0, 1.0))
    everything = [1.0, 0.0, 1.0, 1.0] * 25
    assert anytime_interval(everything, total=100) == pytest.approx((0.75, 0.75), abs=1e-6)
    low, high = anytime_interval(everything)
    assert low < 0.7 < 0.8 < high
    half = anytime_interval(everything[:50], total=100)
    assert low - 1 < half[0] < 0.75 < half[1]


@pytest.mark.parametrize("values", [[1.5], [0.5, -0.1]])
def test_values_are_shares(values: list[float]) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        anytime_interval(values)
    with pytest.raises(ValueError, match="3 values of 2"):
        anytime_interval([0.0, 1.0, 1.0], total=2)


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
    truth, runs, looks = 0.4, 200, range(50, 401, 50)
    missed = {"anytime": 0, "wilson": 0}
    for _ in range(runs):
        values = (rng.random(400) < truth).astype(float).tolist()
        for name, interval in (("anytime", anytime_interval), ("wilson", accuracy_interval)):
            intervals = (interval(values[:n]) for n in looks)
            missed[name] += any(not low <= truth <= high for low, high in intervals)
    assert missed["anytime"] / runs <= 0.05
    assert missed["wilson"] / runs > 0.10


def test_coverage_without_replacement() -> None:
    rng = np.random.default_rng(4)
    population, runs = np.array([1.0] * 60 + [0.5] * 20 + [0.0] * 120), 150
    missed = 0
    for _ in range(runs):
        values = rng.permutation(population).tolist()
        intervals = (anytime_interval(values[:n], total=200) for n in range(40, 201, 40))
        missed += any(not low - 1e-6 <= 0.35 <= high + 1e-6 for low, high in intervals)
    assert missed / runs <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)
