"""Losses know tensors, not networks: each is a function that can be checked by hand.

Every function returns a scalar mean (`changed_region` and `gaussian_log_likelihood` aside) and leaves the choice of who
learns to its caller: nothing is detached except masks, so detach (or freeze) what a term must not move. Give them
float32: under autocast, cast a network's output first, for differences of close numbers lose their digits in bfloat16.
"""

from leed_hub.losses.adversarial import hinge_discriminator_loss, hinge_generator_loss, r1_penalty
from leed_hub.losses.disentanglement import (
    club_upper_bound,
    contrastive_loss,
    gaussian_log_likelihood,
    mutual_expression_information_loss,
    siamese_loss,
)
from leed_hub.losses.recognition import encoder_adversarial_loss, expression_classification_loss
from leed_hub.losses.reconstruction import (
    changed_region,
    cycle_loss,
    flow_total_variation,
    gradient_l1,
    identity_loss,
    mask_sparsity,
    pyramid_l1,
    weighted_l1,
)

__all__ = [
    "changed_region",
    "club_upper_bound",
    "contrastive_loss",
    "cycle_loss",
    "encoder_adversarial_loss",
    "expression_classification_loss",
    "flow_total_variation",
    "gaussian_log_likelihood",
    "gradient_l1",
    "hinge_discriminator_loss",
    "hinge_generator_loss",
    "identity_loss",
    "mask_sparsity",
    "mutual_expression_information_loss",
    "pyramid_l1",
    "r1_penalty",
    "siamese_loss",
    "weighted_l1",
]
