"""Expression classification, and the encoder's side of the adversarial game over the non-expression code.

The adversary's own side is `expression_classification_loss` on the detached non-expression code.
"""

import torch.nn.functional as F
from torch import Tensor

from leed_hub.models.labels import UNLABELLED

VARIANCE_FLOOR = 1e-6  # a batch of one value has no correlation to speak of


def expression_classification_loss(
    logits: Tensor, labels: Tensor, class_weights: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """Cross entropy over expressions, leaving out rows without a label.

    Source: L_cls of Halawa et al. 2020, arXiv:2008.07001; label smoothing as in Szegedy et al. 2016, arXiv:1512.00567.

    Args:
        logits (Tensor): (B, K).
        labels (Tensor): (B,), integers in 0..K-1, or -1 for an unlabelled row.
        class_weights (Tensor | None): (K,), > 0; the mean is then weighted by each row's class, as in torch.
        label_smoothing (float): in [0, 1), the share of the target spread evenly over the classes.
    Returns:
        Tensor: scalar >= 0, nats, mean over the labelled rows; 0 (with zero gradient), not NaN, when none is labelled.
    """
    total = F.cross_entropy(
        logits, labels, class_weights, ignore_index=UNLABELLED, reduction="sum", label_smoothing=label_smoothing
    )
    labelled = labels != UNLABELLED
    if class_weights is None:
        return total / labelled.sum().clamp_min(1)
    row_weights = class_weights[labels.clamp_min(0)] * labelled  # (B,)
    return total / row_weights.sum().clamp_min(1e-12)


def distillation_loss(logits: Tensor, scores: Tensor) -> Tensor:
    """Ask for a teacher's scores instead of a label: what it takes for likely besides tells more than one category.

    Source: Hinton et al. 2015, arXiv:1503.02531, at temperature 1. With teacher and student seeing one and the same
    view, and strong views, as in Beyer et al. 2022, arXiv:2106.05237.

    Args:
        logits (Tensor): (B, K).
        scores (Tensor): (B, K), each row sums to 1.
    Returns:
        Tensor: scalar >= 0, nats, mean over the rows of KL(scores || softmax(logits)).
    """
    return F.kl_div(F.log_softmax(logits, dim=1), scores, reduction="batchmean")


def encoder_adversarial_loss(adversary_logits: Tensor) -> Tensor:
    """Ask the adversary's guess to be uniform: then the non-expression code tells nothing about the expression.

    L_adv = CE(uniform, softmax(A(h_n))), minimised by the encoder while A is held still. Its gradient is softmax - 1/K,
    which is gentle where the negated classification loss would push without end.

    Source: encoder-based adversarial loss of Halawa et al. 2020, arXiv:2008.07001, in our reading (see the model card).

    Args:
        adversary_logits (Tensor): (B, K), A(h_n) with the encoder's graph.
    Returns:
        Tensor: scalar >= log K, nats; log K is reached when the adversary's guess is uniform.
    """
    return -F.log_softmax(adversary_logits, dim=1).mean()


def concordance_loss(predicted: Tensor, annotated: Tensor) -> Tensor:
    """1 - Lin's concordance correlation coefficient, the mean over dimensions such as valence and arousal.

    Unlike a correlation it also asks for the right mean and spread; it is what these dimensions are judged by.

    Source: Lin 1989, doi:10.2307/2532051; as a loss in the AVEC challenges, e.g. Trigeorgis et al. 2016.

    Args:
        predicted (Tensor): (B, D).
        annotated (Tensor): (B, D), NaN where there is no annotation; a row with a NaN is left out.
    Returns:
        Tensor: scalar in [0, 2]; 0 (with zero gradient) where fewer than two rows are annotated.
    """
    known = ~annotated.isnan().any(dim=1)
    if known.sum() < 2:
        return predicted.sum() * 0
    x, y = predicted[known], annotated[known]
    covariance = ((x - x.mean(0)) * (y - y.mean(0))).mean(0)
    spread = x.var(0, correction=0) + y.var(0, correction=0) + (x.mean(0) - y.mean(0)).square()
    return 1 - (2 * covariance / spread.clamp_min(VARIANCE_FLOOR)).mean()
