"""How well edits follow their references: correlation and slope over many pairs, beside a shuffled control."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from leed_hub.metrics.intervals import BOOTSTRAP_ROUNDS

_LEAST_VARIANCE = 1e-12  # below it a movement is none, and rounding alone would correlate


def following_scores(asked: np.ndarray, made: np.ndarray, names: Sequence[str], *, seed: int = 0) -> dict:
    """Compare the movements made of some sources with those that some references asked for.

    `correlation` is Pearson's over all pairs of a source and a reference; `slope` is that of the least-squares line
    through the origin from asked to made, the share of a movement that arrives. The control asks each source for the
    movement of another of the references (a derangement, drawn anew for each source). Its correlation is 0 but for
    chance, in the mean -1 / (R - 1) times that of the editor, since the others' askings lean to the other side; its
    slope is what the same mean movement for every reference would reach, so it need not be 0 where most references ask
    for the same.

    Args:
        asked: (R, F), what each reference asks for.
        made: (N, R, F), what was made of each source; NaN where it could not be measured.
        names: of the F features.
        seed: of the derangements, and of the bootstrap over sources behind the intervals (95 %); the references
            are taken as given.
    Returns:
        dict: `correlation`, `slope`, means over the features that have one, and `..._interval`; the same of
            `correlation_shuffled`, `slope_shuffled`; `features`: for each name the same; `n_pairs`. A value is None
            where nothing was asked or made, or, of the control, where there is one reference alone.
    Raises:
        ValueError: if the shapes do not match.
    """
    if made.ndim != 3 or asked.shape != made.shape[1:] or asked.shape[1] != len(names):
        raise ValueError(f"following_scores expected (R, F) and (N, R, F), got {asked.shape} and {made.shape}.")
    generator = np.random.default_rng(seed)
    n, r, _ = made.shape
    plain = np.broadcast_to(asked, made.shape)
    shuffled = np.stack([asked[_derangement(r, generator)] for _ in range(n)]) if n and r > 1 else None
    draws = generator.multinomial(n, np.full(n, 1 / n), size=BOOTSTRAP_ROUNDS) if n else np.zeros((0, 0))

    result: dict = {"features": {name: {} for name in names}, "n_pairs": int(np.isfinite(made).all(axis=2).sum())}
    for suffix, movements in (("", plain), ("_shuffled", shuffled)):
        scores = (
            None if movements is None else [_scores(movements[..., k], made[..., k], draws) for k in range(len(names))]
        )
        for kind in ("correlation", "slope"):
            pairs: list[Any] = [(None, None)] * len(names) if scores is None else [score[kind] for score in scores]
            for name, (value, rounds) in zip(names, pairs, strict=True):
                result["features"][name] |= _with_interval(kind + suffix, value, rounds)
            known = [pair for pair in pairs if pair[0] is not None]
            value = float(np.mean([pair[0] for pair in known])) if known else None
            rounds = np.mean([rounds for _, rounds in known], axis=0) if known else None
            result |= _with_interval(kind + suffix, value, rounds)
    return result


def _scores(asked: np.ndarray, made: np.ndarray, draws: np.ndarray) -> dict:
    """(value, its bootstrap rounds) of a feature's correlation and slope; asked and made (N, R), draws (rounds, N)."""
    measured = np.isfinite(made)
    a, m = np.where(measured, asked, 0), np.where(measured, made, 0)
    sums = np.stack([measured, a, m, a * a, m * m, a * m], axis=-1).sum(axis=1)  # (N, 6), each source's share
    everything = np.concatenate([sums.sum(axis=0)[None], draws @ sums])
    count, sum_a, sum_m, sum_aa, sum_mm, sum_am = np.moveaxis(everything, 1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        covariance = sum_am / count - sum_a * sum_m / count**2
        variance_a, variance_m = (
            np.where(v > _LEAST_VARIANCE, v, np.nan)
            for v in (sum_aa / count - (sum_a / count) ** 2, sum_mm / count - (sum_m / count) ** 2)
        )
        values = {
            "correlation": covariance / np.sqrt(variance_a * variance_m),
            "slope": sum_am / np.where(sum_aa > _LEAST_VARIANCE * count, sum_aa, np.nan),
        }
    return {
        kind: (float(value[0]), value[1:]) if np.isfinite(value[0]) else (None, None) for kind, value in values.items()
    }


def _with_interval(name: str, value: float | None, rounds: np.ndarray | None) -> dict:
    """The value and the middle 95 % of its rounds, under their names."""
    drawn = None if rounds is None else rounds[np.isfinite(rounds)]
    interval = [float(end) for end in np.percentile(drawn, [2.5, 97.5])] if drawn is not None and len(drawn) else None
    return {name: value, f"{name}_interval": interval}


def _derangement(n: int, generator: np.random.Generator) -> np.ndarray:
    """A random cycle through 0..n-1, so that none stays in its place (Sattolo 1986)."""
    order = np.arange(n)
    for i in range(n - 1, 0, -1):
        j = int(generator.integers(i))
        order[[i, j]] = order[[j, i]]
    return order
