"""Losses of the face locator: where a face is, and where its points are."""

import torch
from torch import Tensor
from torch.nn import functional as F


def centre_loss(logits: Tensor, heat: Tensor) -> Tensor:
    """CenterNet's focal loss (Zhou et al. 2019, arXiv:1904.07850, eq. 1), a mean over the faces.

    Args:
        logits: (B, h, w), any shape.
        heat: as many, 1 where a face is centred, falling towards 0 around it, NaN where nothing is asked.
    """
    known = ~heat.isnan()
    logits, heat = logits[known], heat[known]
    chance = torch.sigmoid(logits)
    hits = (1 - chance) ** 2 * F.softplus(-logits)
    false_alarms = (1 - heat) ** 4 * chance**2 * F.softplus(logits)
    return torch.where(heat == 1, hits, false_alarms).sum() / (heat == 1).sum().clamp(min=1)


def verdict_loss(logits: Tensor, is_face: Tensor) -> Tensor:
    """Focal cross-entropy (Lin et al. 2017, arXiv:1708.02002) of (N,) logits with labels 0 or 1, the mean times four.

    What is told apart already weighs little, as most places are easily seen to be no face; NaN where nothing is asked.
    """
    known = ~is_face.isnan()
    logits, is_face = logits[known], is_face[known]
    plain = F.binary_cross_entropy_with_logits(logits, is_face, reduction="none")
    return 4 * (plain * (torch.sigmoid(logits) - is_face).square()).mean()


def point_loss(points: Tensor, expected: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean distance between points (N, 5, 2), with weights (N,); 0 where no weight is above 0."""
    distances = (points - expected).square().sum(dim=2).add(1e-6).sqrt().mean(dim=1)
    return (distances * weights).sum() / weights.sum().clamp(min=1e-6)
