"""95 % confidence intervals of shares and of ratios."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest

BOOTSTRAP_ROUNDS = 2000


def wilson_interval(n_correct: int, n: int) -> list[float]:
    """The Wilson score interval of a share, at 95 %.

    Source: Wilson 1927, doi 10.1080/01621459.1927.10502953. Unlike the normal approximation it stays in 0..1 and
    is not empty at 0 or n.

    Args:
        n_correct: 0..n.
        n: at least 1.
    Returns:
        [low, high], in 0..1.
    """
    interval = binomtest(int(n_correct), int(n)).proportion_ci(0.95, "wilson")
    return [float(interval.low), float(interval.high)]


def share_with_interval(name: str, hits: ArrayLike) -> dict:
    """The share of hits among `hits` (N,), and its `wilson_interval`.

    Returns:
        dict: `NAME` in 0..1 and `NAME_interval`; None both if N is 0.
    """
    hits = np.asarray(hits, dtype=bool)
    n, n_hits = len(hits), int(hits.sum())
    return {name: n_hits / n if n else None, f"{name}_interval": wilson_interval(n_hits, n) if n else None}


def bootstrap_ratio_interval(numerators: ArrayLike, denominators: ArrayLike, *, seed: int = 0) -> list[float] | None:
    """The percentile bootstrap interval of sum(numerators) / sum(denominators) over units.

    With all denominators 1 it is the interval of a mean.

    Args:
        numerators: (n,), one a unit (a triplet, a person), at least 0.
        denominators: (n,), of the same units, at least 0.
        seed: of the draws.
    Returns:
        [low, high]; None if the denominators sum to zero.
    """
    # Weighted sums instead of `scipy.stats.bootstrap`, which gives no interval if one round draws denominators of 0.
    numerators, denominators = np.asarray(numerators, dtype=float), np.asarray(denominators, dtype=float)
    if not denominators.sum() > 0:
        return None
    n = len(denominators)
    # How often each unit is drawn, (rounds, n), which weights the sums.
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=BOOTSTRAP_ROUNDS)
    above, below = draws @ numerators, draws @ denominators
    drawn = below > 0  # a round may happen to draw only units whose denominator is zero
    low, high = np.percentile(above[drawn] / below[drawn], [2.5, 97.5])
    return [float(low), float(high)]
