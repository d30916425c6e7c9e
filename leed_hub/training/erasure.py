"""Concept erasure: what a linear probe can still read of the expression in h_n is taken out in closed form.

The adversary leaves a rest, which a fresh probe finds. LEACE (Belrose et al. 2023, arXiv:2306.03819) is, of all affine
maps of a code after which no linear probe does better than a constant guess, the one that changes it least. It sees
means only: a probe of two layers may still find something. On the pictures of the fit the means are alike to the last
digit, so a probe that is trained on them learns noise: train it on others.
"""

import copy
from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional as F

from leed_hub.models.expression_encoder import Branch, ExpressionEncoderModel

RIDGE = 1e-4  # of the codes' mean variance: a dimension in which nothing differs must not rule


@torch.no_grad()
def erase_expression(
    model: ExpressionEncoderModel, batches: Iterable[tuple[Tensor, Tensor, Tensor]]
) -> ExpressionEncoderModel:
    """A recogniser that reads as `model` does, and whose h_n no linear probe reads on these pictures.

    Args:
        model: the trained recogniser, on the CPU; it stays as it is.
        batches: images (B, C, H, W) in [-1, 1], as they will be read, labels (B,), and the numbers of their corpora
            (B,): some ten thousand pictures together.
    """
    erased = copy.deepcopy(model).eval()
    branch, normalisation = erased.non_expression_branch
    parts = ((erased(images).non_expression_code, labels, corpora) for images, labels, corpora in batches)
    codes, labels, corpora = map(torch.cat, zip(*parts, strict=True))
    projection, centre = least_squares_erasure(codes, labels, corpora)
    # The map is put into the layer u = W x + b, of which h = offset + scale u.
    layer = cast(Branch, branch).to_code
    offset = normalisation(torch.zeros(1, codes.shape[1]))[0]
    scale = normalisation(torch.ones(1, codes.shape[1]))[0] - offset
    layer.weight.copy_((projection @ (scale[:, None] * layer.weight)) / scale[:, None])
    layer.bias.copy_((centre + projection @ (offset + scale * layer.bias - centre) - offset) / scale)
    return erased


def least_squares_erasure(codes: Tensor, labels: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    """LEACE: the map after which all classes of a group have one mean, and which changes the codes least.

    Args:
        codes: (N, D).
        labels: (N,) integers.
        groups: (N,) integers; alike means over all would leave what a class has in one group and lacks in another.
    Returns:
        tuple: an oblique projection (D, D) and the codes' mean (D,): a code h becomes mean + projection (h - mean).
    """
    codes = codes.double()
    centre = codes.mean(dim=0)
    identity = torch.eye(codes.shape[1], dtype=codes.dtype)
    covariance = codes.T.cov(correction=0)
    covariance += RIDGE * covariance.diagonal().mean() * identity
    member = F.one_hot(groups.unique(return_inverse=True)[1]).double()
    of_class = F.one_hot(torch.stack([groups, labels]).unique(dim=1, return_inverse=True)[1]).double()
    within = codes - member @ (member.T @ codes / member.sum(dim=0)[:, None])
    crossed = within.T @ of_class / len(codes)
    # Whitened, the directions in which the means of the classes differ are taken out orthogonally.
    values, vectors = torch.linalg.eigh(covariance)
    whitening, colouring = (vectors * values**power @ vectors.T for power in (-0.5, 0.5))
    directions, strengths, _ = torch.linalg.svd(whitening @ crossed, full_matrices=False)
    directions = directions[:, strengths > 1e-6]
    projection = identity - colouring @ directions @ directions.T @ whitening
    return projection.float(), centre.float()
