"""The binomial distribution from ``scipy.special``: what the gate needs of it, on arrays.

``scipy.stats.binom`` gives the same numbers, but importing ``scipy.stats`` takes a second, and power is planned while
tests are collected. Tests hold the two against each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def pmf(k: Any, n: Any, p: float) -> NDArray[np.float64]:
    """P(X = k) for X of Binomial(n, p), 0 where k lies outside 0 to n."""
    import numpy as np
    from scipy.special import gammaln, xlog1py, xlogy

    k, n = np.broadcast_arrays(np.asarray(k, dtype=float), np.asarray(n, dtype=float))
    inside = (k >= 0) & (k <= n)
    k = np.where(inside, k, 0)
    log = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1) + xlogy(k, p) + xlog1py(n - k, -p)
    return np.where(inside, np.exp(log), 0.0)


def sf(k: Any, n: Any, p: float) -> NDArray[np.float64]:
    """P(X > k)."""
    import numpy as np
    from scipy.special import betainc

    k, n = np.broadcast_arrays(np.asarray(k, dtype=float), np.asarray(n, dtype=float))
    within = (k >= 0) & (k < n)
    tail = betainc(np.where(within, k + 1, 1.0), np.where(within, n - k, 1.0), p)
    return np.where(within, tail, np.where(k < 0, 1.0, 0.0))


def isf(q: float, n: Any, p: float) -> NDArray[np.float64]:
    """The smallest k with P(X > k) <= q, by bisection."""
    import numpy as np

    n = np.asarray(n, dtype=float)
    low: NDArray[np.float64] = np.full(n.shape, -1.0)
    high: NDArray[np.float64] = n.copy()  # P(X > n) is 0
    while np.any(high - low > 1):
        middle = np.floor((low + high) / 2)
        enough = sf(middle, n, p) <= q
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return high
