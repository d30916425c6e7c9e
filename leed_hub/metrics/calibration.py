"""Temperature scaling: the factor by which a classifier's logits are divided so that its scores are calibrated."""

import math

from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional as F

TEMPERATURES = (0.05, 20.0)  # beyond them lie only classifiers that are always right, or no better than chance


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature T that makes the true classes likeliest: softmax(logits / T) with the least negative
    log-likelihood.

    It does not change the predicted class. Fit it on rows that neither trained the classifier nor are reported on.

    Source: Guo et al. 2017, arXiv:1706.04599. The loss is convex in 1 / T, so a bounded search finds its one valley.

    Args:
        logits: (N, K), N at least 1.
        labels: (N,), integers in 0..K-1; leave unlabelled rows out.
    Returns:
        float: in 0.05..20; above 1 for an over-confident classifier. Near a bound for one that is always right, or no
            better than chance.
    Raises:
        ValueError: if shapes do not fit, there is no row, a label is outside 0..K-1, or a logit is not finite.
    """
    logits, labels = checked_logits("fit_temperature", logits, labels, logits.shape[-1])
    logits = logits.double()
    if not logits.isfinite().all():
        raise ValueError("fit_temperature expected finite logits.")

    found = minimize_scalar(
        lambda log_temperature: F.cross_entropy(logits / math.exp(log_temperature), labels).item(),
        bounds=[math.log(bound) for bound in TEMPERATURES],
        method="bounded",
        options={"xatol": 1e-6},
    )
    return math.exp(found.x)


def checked_logits(caller: str, logits: Tensor, labels: Tensor, n_classes: int) -> tuple[Tensor, Tensor]:
    """Logits (N, K) and labels (N,) on the CPU, or a `ValueError` where they are something else."""
    if len(labels) == 0 or labels.ndim != 1 or logits.shape != (len(labels), n_classes):
        raise ValueError(
            f"{caller} expected logits (N, {n_classes}) and labels (N,), N >= 1, got {tuple(logits.shape)} and "
            f"{tuple(labels.shape)}."
        )
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ValueError(
            f"{caller} expected labels in 0..{n_classes - 1}, got {labels.min()}..{labels.max()}: leave out unlabelled "
            "rows (-1)."
        )
    return logits.detach().cpu(), labels.detach().long().cpu()
