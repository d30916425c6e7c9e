"""How far a number measured on a sample may be off: 95 % intervals for shares and for ratios."""

import math

import numpy as np
from numpy.typing import ArrayLike

BOOTSTRAP_ROUNDS = 2000


def wilson_interval(n_correct: int, n: int) -> list[float]:
    """The Wilson score interval: between which accuracies `n_correct` of `n` is no surprise, at 95 %.

    Source: Wilson 1927. Unlike the normal approximation it stays in 0..1 and is not empty at 0 or n.

    Args:
        n_correct (int): 0..n.
        n (int): at least 1.
    Returns:
        list[float]: [low, high].
    """
    z = 1.959964  # the normal distribution's 97.5th percentile
    share = n_correct / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half_width = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return [max(0.0, centre - half_width), min(1.0, centre + half_width)]


def bootstrap_ratio_interval(numerators: ArrayLike, denominators: ArrayLike, *, seed: int = 0) -> list[float] | None:
    """The middle 95 % of sum(numerators) / sum(denominators) over units drawn with replacement.

    With all denominators 1 it is the interval of a mean.

    Args:
        numerators (ArrayLike): (n,), one a unit (a triplet, a person), at least 0.
        denominators (ArrayLike): (n,), of the same units, at least 0.
        seed (int): of the draws.
    Returns:
        list[float] | None: [low, high]; None if the denominators sum to zero.
    """
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
