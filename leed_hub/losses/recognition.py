"""Expression classification, and the encoder's side of the adversarial game over the non-expression code.

The adversary's own side is `expression_classification_loss` on the detached non-expression code.
"""

import torch.nn.functional as F
from torch import Tensor

from leed_hub.models.labels import UNLABELLED


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
