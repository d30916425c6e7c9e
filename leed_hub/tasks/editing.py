"""The editing task: LEED's networks and losses joined into named terms.

Terms and what they are for (the names are the keys of the config's `losses` and of the log):

    pixels        the edit equals the exact target at three sizes, most where source and target differ
    edges         the same for image gradients
    paint         the colour alone equals the target too: a mask that is still closed gives it nothing to learn from
    geometry      z tells a picture's landmarks, z_n its neutral face's and z' the edit's, where a corpus gives them
    landmarks     the flow fetches the target's landmarks from where they are in the source, where a corpus gives them
    neutral       pictures known to be neutral have little displacement beside the others
    same_neutral  pictures of one person, pose and light have one neutral point, whatever the expression
    same_expression  an expression has one code, whoever wears it
    information   mutual expression information: e tells d (variational bound on I(e; d))
    shared        the codes of one expression on several persons tell each other (InfoNCE)
    siamese       the edit is near the reference in expression and away from the source
    adversarial   the edit looks real
    cycle         editing back with the source's own expression returns the source
    identity      the edit keeps the source's neutral point
    smooth        total variation of the flow
    sparse        mean of the mask
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from leed_hub.losses.adversarial import hinge_discriminator_loss, hinge_generator_loss, r1_penalty
from leed_hub.losses.disentanglement import (
    contrastive_loss,
    mutual_expression_information_loss,
    scatter_share,
    shared_information_loss,
    siamese_loss,
)
from leed_hub.losses.reconstruction import (
    changed_region,
    cycle_loss,
    flow_total_variation,
    gradient_l1,
    identity_loss,
    landmark_distance,
    landmark_flow_loss,
    mask_sparsity,
    pyramid_l1,
    weighted_l1,
)


@dataclass(frozen=True, kw_only=True)
class EditingLosses:
    """Weights of the terms; one of weight 0 is not computed (but `information` and `geometry`, which cost nothing)."""

    pixels: float = 1.0
    edges: float = 1.0
    paint: float = 0.3
    geometry: float = 0.0
    landmarks: float = 0.0
    neutral: float = 0.05
    information: float = 0.005
    shared: float = 0.01
    same_neutral: float = 0.005
    same_expression: float = 0.05
    siamese: float = 0.05
    adversarial: float = 0.01
    cycle: float = 0.0
    identity: float = 0.0
    smooth: float = 0.01
    sparse: float = 0.002
    r1: float = 0.0
    unchanged_weight: float = 0.15  # weight of a pixel outside the changed region, beside 1 inside
    siamese_margin: float = 0.7
    # Terms that shape the codes, and the judges of an edit, slow a young network down: they wait until it edits.
    codes_start_step: int = 0  # shared, same_neutral, same_expression
    judges_start_step: int = 0  # siamese, adversarial


class EditingTask:
    """Loss terms of one step; knows networks and losses, not devices or optimizers.

    Args:
        losses: the weights.
        model: a `LEEDModel`, perhaps wrapped for distributed training.
        critics: its `EditingCritics`, likewise.
    """

    def __init__(self, losses: EditingLosses, model, critics):
        self.losses, self.model, self.critics = losses, model, critics

    def generator_losses(self, batch: dict[str, Tensor], step: int) -> tuple[dict[str, Tensor], Tensor]:
        """All unweighted terms with their weighted sum `loss`, and the edits (E, 3, H, W), cut from the graph."""
        w = self.losses
        shaped, judged = step >= w.codes_start_step, step >= w.judges_start_step
        images, has_target = batch["images"], batch["has_target"]
        output = self.model(images, batch["source"], batch["reference"], batch["strength"])
        edit, edited, faces = output.edit, output.edit.edited, output.faces
        source, reference, target = (images[batch[role]] for role in ("source", "reference", "target"))
        code, neutral_point = faces.expression_code.float(), faces.neutral_point.float()
        terms: dict[str, Tensor] = {}

        weight = w.unchanged_weight + (1 - w.unchanged_weight) * changed_region(source, target).float()
        weight = weight * has_target[:, None, None, None]
        if w.pixels:
            terms["pixels"] = pyramid_l1(edited, target, weight)
        if w.edges:
            terms["edges"] = gradient_l1(edited, target, weight)
        if w.paint:
            terms["paint"] = weighted_l1(edit.color, target, weight)
        points = batch["landmarks"]
        # (Always computed, as `information`.)
        terms["geometry"] = (
            landmark_distance(output.landmarks, points)
            + landmark_distance(output.neutral_landmarks, batch["neutral_landmarks"])
            + landmark_distance(output.edited_landmarks[has_target], points[batch["target"][has_target]])
        ) / 3
        if w.landmarks:
            terms["landmarks"] = landmark_flow_loss(
                edit.flow[has_target], points[batch["source"][has_target]], points[batch["target"][has_target]]
            )
        if w.neutral:
            terms["neutral"] = _neutral_share(faces.displacement.float(), batch["is_neutral"])
        # d stands still: shrinking it would raise the likelihood without any information. (Always computed: the
        # posterior is part of the network, and distributed training waits for a gradient of every part.)
        terms["information"] = mutual_expression_information_loss(
            _unit_scale(faces.displacement.detach()), *_floats(output.posterior)
        )
        if w.shared and shaped:
            terms["shared"] = shared_information_loss(code, batch["expression"], batch["person"])
        if w.same_neutral and shaped:
            terms["same_neutral"] = scatter_share(neutral_point, batch["setup"])
        if w.same_expression and shaped:
            terms["same_expression"] = scatter_share(code, batch["expression"])
        if w.smooth:
            terms["smooth"] = flow_total_variation(edit.flow)
        if w.sparse:
            terms["sparse"] = mask_sparsity(edit.mask)
        asked = batch["strength"].squeeze(1) > 0  # at strength 0 the edit shall not look like the reference
        if w.siamese and judged and asked.any():
            embedded = self._frozen_critic("siamese", torch.cat([edited, reference, source]))
            edited_s, reference_s, source_s = embedded.chunk(3)
            terms["siamese"] = siamese_loss(
                edited_s[asked], reference_s[asked].detach(), source_s[asked], has_target[asked], w.siamese_margin
            )
        if w.adversarial and judged:
            terms["adversarial"] = hinge_generator_loss(self._frozen_critic("discriminator", edited).float())
        if w.cycle or w.identity:
            count = len(edited)
            sources = torch.arange(count, 2 * count, device=edited.device)
            returned = self.model(
                torch.cat([edited, source]), sources - count, sources, torch.ones_like(batch["strength"])
            )
            if w.cycle:
                terms["cycle"] = cycle_loss(returned.edit.edited, source)
            if w.identity:
                terms["identity"] = identity_loss(
                    neutral_point[batch["source"]].detach(), returned.faces.neutral_point[:count].float()
                )
        terms["loss"] = sum(getattr(w, name) * term for name, term in terms.items())
        return terms, edited.detach()

    def critic_losses(self, batch: dict[str, Tensor], edited: Tensor, step: int) -> dict[str, Tensor]:
        """The judges' own terms and their sum `loss`; empty while no judge is in use. `edited` as made in this step."""
        w = self.losses
        inputs: dict[str, Tensor] = {}
        if step < w.judges_start_step:
            return {}
        source, reference, target = (batch["images"][batch[role]] for role in ("source", "reference", "target"))
        if w.siamese:
            inputs["siamese"] = torch.cat([target, reference, source])
        if w.adversarial:
            real = target.detach().requires_grad_(w.r1 > 0)
            inputs["discriminator"] = torch.cat([real, edited])
        if not inputs:
            return {}
        answers = self.critics(inputs)

        terms: dict[str, Tensor] = {}
        if "siamese" in inputs:
            target, reference, source = answers["siamese"].chunk(3)
            paired = batch["has_target"] & (batch["strength"].squeeze(1) > 0)
            # Without a pair in the batch the sum over none keeps the judge in the graph.
            terms["siamese_pairs"] = (
                contrastive_loss(target[paired], reference[paired], source[paired], w.siamese_margin)
                if paired.any()
                else target[paired].sum()
            )
        if "discriminator" in inputs:
            real_logits, fake_logits = answers["discriminator"].float().chunk(2)
            terms["discriminator"] = hinge_discriminator_loss(real_logits, fake_logits)
            if w.r1:
                terms["discriminator"] = terms["discriminator"] + w.r1 / 2 * r1_penalty(real_logits, real)
        terms["loss"] = sum(terms.values())
        return terms

    def _frozen_critic(self, name: str, inputs: Tensor):
        """A judge's answer that gives gradient to its inputs only, so that nothing is there to distribute."""
        critics = getattr(self.critics, "module", self.critics)
        parameters = list(critics.parameters())
        for parameter in parameters:
            parameter.requires_grad_(False)
        try:
            return critics({name: inputs})[name]
        finally:
            for parameter in parameters:
                parameter.requires_grad_(True)


def _neutral_share(displacement: Tensor, is_neutral: Tensor) -> Tensor:
    """Mean squared displacement of the faces known to be neutral, as a share of theirs and the others' together.

    A share, because a plain mean is least when no face has any displacement; 0 where a batch has only one kind.
    """
    squared = displacement.square().mean(dim=1)
    if not is_neutral.any() or is_neutral.all():
        return 0 * squared.mean()
    neutral, others = squared[is_neutral].mean(), squared[~is_neutral].mean()
    return neutral / (neutral + others + 1e-6)


def _unit_scale(codes: Tensor) -> Tensor:
    """Codes (B, D) in float32 with a mean square of 1 over the batch: information does not depend on their scale."""
    codes = codes.float()
    return codes / codes.square().mean().add(1e-8).sqrt().detach()


def _floats(pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Gaussian parameters in float32: a bfloat16 log variance is too coarse for a likelihood."""
    return pair[0].float(), pair[1].float()
