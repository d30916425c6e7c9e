"""What tells expression from identity: bounds on mutual information, agreement of codes, and the siamese pull.

Notation: d displacement, e expression code, S siamese embedding; A source, B reference, AB the edited picture.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def gaussian_log_likelihood(value: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Log density of a diagonal Gaussian, in full (with the log 2 pi term).

    Args:
        value, mean (Tensor): (B, D).
        log_variance (Tensor): (B, D), natural log; the network that predicts it should keep it bounded.
    Returns:
        Tensor: (B,), in nats, summed over D.
    """
    squared_error = (value - mean).square() * torch.exp(-log_variance)
    return -0.5 * (math.log(2 * math.pi) + log_variance + squared_error).sum(dim=1)


def mutual_expression_information_loss(displacement: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """LEED's mutual expression information loss: e must tell what d was, L_mei = -E log q(d | e).

    Source: Wu & Lu 2020, arXiv:2007.08971, with the variational lower bound of Barber & Agakov 2003: I(e; d) >= H(d) +
    E log q(d | e). H(d) is not e's to change, so it is left out; beware that an encoder may instead lower H(d), by
    shrinking d. Detach `displacement` where only X and q should learn.

    Args:
        displacement (Tensor): (B, D), d = z - z_n.
        mean, log_variance (Tensor): (B, D), q's, predicted from e; the logarithm is the natural one.
    Returns:
        Tensor: scalar, nats per dimension of d (divided by D, so that its weight does not depend on the width).
            Can be negative: it is a density.
    """
    return -gaussian_log_likelihood(displacement, mean, log_variance).mean() / displacement.shape[1]


def info_nce_loss(codes: Tensor, expression: Tensor, person: Tensor, *, temperature: float = 0.1) -> Tensor:
    """Ask that the codes of one expression on several persons find each other among all codes of the batch.

    The logarithm of the number of candidates minus this loss is a lower bound on the information that two such codes
    share (InfoNCE, van den Oord et al. 2018, arXiv:1807.03748). What two persons in one expression share is the
    expression, so e is taught expression and nothing else; the batch also holds the same persons in other expressions,
    which e must tell apart. Similarity is the cosine.

    Args:
        codes (Tensor): (P, D).
        expression (Tensor): (P,), equal numbers for equal expressions; pictures of -1, whose expression is unknown or
            none, are left out.
        person (Tensor): (P,); two views of one person are not asked for, for they find each other by the face.
        temperature (float): of the softmax.
    Returns:
        Tensor: scalar >= 0, nats; 0 where no expression is worn by two persons.
    """
    known = expression >= 0
    codes, expression, person = codes[known], expression[known], person[known]
    normed = F.normalize(codes, dim=1, eps=1e-4)
    similarity = normed @ normed.T / temperature  # (K, K)
    same = expression[:, None] == expression
    partners = same & (person[:, None] != person)
    others = similarity.masked_fill(same, float("-inf")).logsumexp(dim=1, keepdim=True)
    # Of a partner: -log(exp(s) / (exp(s) + sum over others)).
    loss = F.softplus(others - similarity)
    return (loss * partners).sum() / partners.sum().clamp_min(1)


def scatter_share(codes: Tensor, groups: Tensor) -> Tensor:
    """How much codes differ within groups that should be equal, beside how much they differ altogether.

    Args:
        codes (Tensor): (P, D).
        groups (Tensor): (P,), equal numbers for what should be equal; -1 for what is unknown, and left out.
    Returns:
        Tensor: scalar >= 0, the mean variance within groups of two and more over the variance of all their codes;
            about 1 where groups mean nothing, 0 where there is no such group.
    """
    _, place, count = groups.unique(return_inverse=True, return_counts=True)
    chosen = (groups >= 0) & (count[place] > 1)
    if not chosen.any():
        return 0 * codes.sum()
    codes = codes[chosen]
    _, place, count = groups[chosen].unique(return_inverse=True, return_counts=True)
    means = codes.new_zeros(len(count), codes.shape[1]).index_add(0, place, codes) / count[:, None]
    within = (codes - means[place]).square().sum() / (len(codes) - len(count))
    return within / (codes.var(dim=0).sum() + 1e-6)


def siamese_loss(edited: Tensor, reference: Tensor, source: Tensor, differs: Tensor, margin: float) -> Tensor:
    """LEED's siamese loss: pull the edited expression to the reference's, and keep it off the source's.

    Source: Wu & Lu 2020, arXiv:2007.08971. The squared hinge is that of Hadsell, Chopra & LeCun 2006. Detach
    `reference` and `source`, so that the edited picture moves and the embedding of real pictures does not.

    Args:
        edited, reference, source (Tensor): (B, D), S(x_AB), S(x_B) and S(x_A).
        differs (Tensor): (B,), bool, true where A and B wear different expressions; only there the source repels.
        margin (float): distance from the source beyond which nothing more is asked; in the embedding's units.
    Returns:
        Tensor: scalar >= 0, `mean ||edited - reference||^2` plus the mean over `differs` of
            `relu(margin - ||edited - source||)^2`, 0 when none differ. At distance 0 its gradient is 0, not NaN.
    """
    pull = (edited - reference).square().sum(dim=1).mean()
    push = _hinge_on_distance(edited, source, margin) * differs  # (B,)
    return pull + push.sum() / differs.sum().clamp_min(1)


def contrastive_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    """Teach the siamese embedding S from pairs that share an expression by construction, never from labels.

    Source: Hadsell, Chopra & LeCun 2006 (contrastive loss), without their factor 1 / 2.

    Args:
        anchor (Tensor): (B, D), S of a picture.
        positive (Tensor): (B, D), S of another person, or another view, in the very same expression.
        negative (Tensor): (B, D), S of a picture in another expression; best of the anchor's own person.
        margin (float): distance which `negative` should keep; in the embedding's units.
    Returns:
        Tensor: scalar >= 0, `mean ||anchor - positive||^2 + mean relu(margin - ||anchor - negative||)^2`.
    """
    pull = (anchor - positive).square().sum(dim=1).mean()
    return pull + _hinge_on_distance(anchor, negative, margin).mean()


def _hinge_on_distance(first: Tensor, second: Tensor, margin: float) -> Tensor:
    """(B,), relu(margin - ||first - second||)^2; vector_norm's gradient at 0 is 0, where sqrt's would be infinite."""
    return F.relu(margin - torch.linalg.vector_norm(first - second, dim=1)).square()
