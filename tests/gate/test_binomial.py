"""The gate's binomial distribution is scipy.stats' own."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from harness.gate.binomial import isf, pmf, sf


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
