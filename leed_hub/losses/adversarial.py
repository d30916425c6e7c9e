"""The game between generator and discriminator: hinge losses and the R1 penalty.

Logits are one number per picture, (B, 1), or one per patch, (B, 1, h, w); a patch counts like a picture.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def hinge_discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Push real logits above 1 and fake logits below -1; what lies beyond costs nothing.

    Source: Lim & Ye 2017, arXiv:1705.02894; Miyato et al. 2018, arXiv:1802.05957.

    Args:
        real_logits (Tensor): (B, 1) or (B, 1, h, w), any real number, positive for "real".
        fake_logits (Tensor): the same for edited pictures; detach those, so that only the discriminator learns.
    Returns:
        Tensor: scalar >= 0, `mean(relu(1 - real)) + mean(relu(1 + fake))`; 2 for a discriminator that always says 0.
    """
    return F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()


def hinge_generator_loss(fake_logits: Tensor) -> Tensor:
    """Raise the discriminator's verdict on edited pictures, without limit.

    Source: Lim & Ye 2017, arXiv:1705.02894.

    Args:
        fake_logits (Tensor): (B, 1) or (B, 1, h, w), computed from the generator's output with its graph.
    Returns:
        Tensor: scalar, `-mean(fake)`; negative once the discriminator is fooled.
    """
    return -fake_logits.mean()


def r1_penalty(real_logits: Tensor, real_images: Tensor) -> Tensor:
    """Penalise the discriminator's slope at real images, which steadies GAN training near equilibrium.

    Source: Mescheder et al. 2018, arXiv:1801.04406 (R1). We leave out gamma / 2; the task weights it.
    A patch discriminator's logits are summed per picture, so its penalty grows with the number of patches. The
    discriminator must treat pictures independently (no batch statistics): the sum over the batch hides other slopes.

    Args:
        real_logits (Tensor): (B, 1) or (B, 1, h, w), computed from `real_images`.
        real_images (Tensor): (B, 3, H, W) in [-1, 1], with `requires_grad=True`.
    Returns:
        Tensor: scalar, mean over the batch of the squared gradient norm; it can be differentiated again.
    Raises:
        ValueError: if `real_images` does not require grad.
    """
    if not real_images.requires_grad:
        raise ValueError(
            "r1_penalty expected real_images with requires_grad=True, got False: "
            "call real_images.requires_grad_() before the discriminator sees them."
        )
    (slope,) = torch.autograd.grad(real_logits.sum(), real_images, create_graph=True)
    return slope.square().flatten(1).sum(dim=1).mean()
