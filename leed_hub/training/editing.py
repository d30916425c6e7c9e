"""The editing task: LEED's networks and losses joined into named terms.

`TERMS` is the table: the names are the keys of the config's `losses` and of the log. A new term is a function of an
`EditingStep`, a row of the table and a weight in `EditingLosses`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from leed_hub.losses import adversarial, disentanglement, reconstruction
from leed_hub.models.config import checked_config
from leed_hub.models.leed import LEEDTrainingOutput, face_windows


@checked_config
class EditingLosses:
    """Weights of the terms; one of weight 0 is not computed, except `information` and `geometry`.

    Attributes:
        pixels: the edit equals the exact target at three sizes, most where source and target differ.
        edges: the same for image gradients.
        color: the painted colour alone equals the target too: a mask that is still closed gives it no gradient.
        geometry: z predicts a picture's landmarks, z_n its neutral face's and z' the edit's, where a corpus has them.
        landmarks: the flow moves the source's landmarks onto the target's, where a corpus has them.
        neutral: pictures known to be neutral have little displacement beside the others.
        information: mutual expression information: e predicts d (variational bound on I(e; d)).
        info_nce: the codes of one expression on several persons find each other (InfoNCE).
        same_neutral: pictures of one person, pose and light have one neutral point, whatever the expression.
        same_expression: an expression has one code, whoever wears it.
        siamese: the edit is near the reference in expression and away from the source.
        adversarial: the edit looks real at mouth and eyes.
        smooth: total variation of the flow.
        sparse: mean of the mask.
        r1: of the discriminator's gradient penalty.
        unchanged_weight: weight of a pixel outside the changed region, beside 1 inside.
        openings_weight: of one at mouth and eyes, where an expression is seen, beside 1 elsewhere.
        siamese_margin: distance in the siamese embedding which different expressions keep.
        codes_start_step: step from which info_nce, same_neutral and same_expression count: they slow a young network.
        discriminators_start_step: likewise of siamese and adversarial.
    """

    pixels: float = 1.0
    edges: float = 1.0
    color: float = 0.3
    geometry: float = 0.0
    landmarks: float = 0.0
    neutral: float = 0.05
    information: float = 0.005
    info_nce: float = 0.01
    same_neutral: float = 0.005
    same_expression: float = 0.05
    siamese: float = 0.05
    adversarial: float = 0.01
    smooth: float = 0.01
    sparse: float = 0.002
    r1: float = 0.0
    unchanged_weight: float = 0.15
    openings_weight: float = 1.0
    siamese_margin: float = 0.7
    codes_start_step: int = 0
    discriminators_start_step: int = 0


def point_weight(count: int) -> Tensor | None:
    """How much each of a face's landmarks counts in `geometry` and `landmarks`, (count,); None: all alike.

    Of the 68 points the lids' move by a few pixels where lips move by twenty, and yet say as much.
    """
    if count != 68:
        return None
    weight = torch.ones(68)
    weight[17:27], weight[36:48] = 2, 4  # brows, lids
    return weight


@dataclass
class EditingStep:
    """What the terms of one training step look at; each part is computed when a term first asks for it.

    Attributes:
        batch: as `EditingPairs.batch` gives it.
        output: what the editor made of it.
        losses: the weights.
        discriminators: `EditingDiscriminators`, unwrapped, held still.
        openings: where mouth and eyes are, (1, 1, H, W) in 0..1.
    """

    batch: dict[str, Tensor]
    output: LEEDTrainingOutput
    losses: EditingLosses
    discriminators: Any
    openings: Tensor

    def pictures(self, role: str) -> Tensor:
        """The edits' sources, references or targets, (E, 3, H, W) in [-1, 1]."""
        return self.batch["images"][self.batch[role]]

    @cached_property
    def target(self) -> Tensor:
        return self.pictures("target")

    @cached_property
    def weight(self) -> Tensor:
        """How much each pixel of an edit counts, (E, 1, H, W) in 0..1; nothing where no target is known."""
        changed = reconstruction.changed_region(self.pictures("source"), self.target).float()
        unchanged = self.losses.unchanged_weight
        counted = (unchanged + (1 - unchanged) * changed) * self.batch["has_target"][:, None, None, None]
        return counted * (1 + (self.losses.openings_weight - 1) * self.openings)

    @cached_property
    def code(self) -> Tensor:
        """e in float32, each number with unit variance over the batch, (P, D).

        Else the terms of codes are least where e is one number: the one that is read most surely.
        """
        code = self.output.faces.expression_code.float()
        return code / (code.var(dim=0) + 1e-4).sqrt()

    @property
    def neutral_point(self) -> Tensor:
        """z_n in float32, (P, D)."""
        return self.output.faces.neutral_point.float()


def _geometry(step: EditingStep) -> Tensor:
    output, points = step.output, step.batch["landmarks"]
    weight = point_weight(points.shape[1])
    return (
        reconstruction.landmark_distance(output.landmarks, points, weight)
        + reconstruction.landmark_distance(output.neutral_landmarks, step.batch["neutral_landmarks"], weight)
        + reconstruction.landmark_distance(output.edited_landmarks, step.batch["target_landmarks"], weight)
    ) / 3


def _landmarks(step: EditingStep) -> Tensor:
    source, target = step.batch["landmarks"][step.batch["source"]], step.batch["target_landmarks"]
    return reconstruction.landmark_flow_loss(step.output.edit.flow, source, target, point_weight(source.shape[1]))


def _information(step: EditingStep) -> Tensor:
    # d is detached: shrinking it would raise the likelihood without any information.
    displacement = _unit_scale(step.output.faces.displacement.detach())
    mean, log_variance = step.output.posterior
    return disentanglement.mutual_expression_information_loss(displacement, mean.float(), log_variance.float())


def _siamese(step: EditingStep) -> Tensor:
    asked = step.batch["strength"].squeeze(1) > 0  # at strength 0 the edit shall not look like the reference
    if not asked.any():
        return 0 * step.output.edit.edited.sum()
    pictures = torch.cat([step.output.edit.edited, step.pictures("reference"), step.pictures("source")])
    edited, reference, source = step.discriminators({"siamese": pictures})["siamese"].chunk(3)
    differs = step.batch["has_target"][asked]
    margin = step.losses.siamese_margin
    return disentanglement.siamese_loss(edited[asked], reference[asked].detach(), source[asked], differs, margin)


def _adversarial(step: EditingStep) -> Tensor:
    logits = step.discriminators({"discriminator": step.output.edit.edited})["discriminator"]
    return adversarial.hinge_generator_loss(at_openings(logits.float(), step.openings))


def at_openings(logits: Tensor, openings: Tensor) -> Tensor:
    """A discriminator's verdicts (B, 1, h, w) on the patches at mouth and eyes, (B, n).

    Elsewhere an edit is the photograph moved, which no verdict can better.

    Args:
        openings: where mouth and eyes are, (1, 1, H, W) in 0..1.
    """
    share = F.adaptive_avg_pool2d(openings, (logits.shape[2], logits.shape[3]))[0, 0]
    return logits[:, 0, share > share.max() / 4]


TERMS: dict[str, Callable[[EditingStep], Tensor]] = {
    "pixels": lambda step: reconstruction.pyramid_l1(step.output.edit.edited, step.target, step.weight),
    "edges": lambda step: reconstruction.gradient_l1(step.output.edit.edited, step.target, step.weight),
    "color": lambda step: reconstruction.weighted_l1(step.output.edit.color, step.target, step.weight),
    "geometry": _geometry,
    "landmarks": _landmarks,
    "neutral": lambda step: neutral_share(step.output.faces.displacement.float(), step.batch["is_neutral"]),
    "information": _information,
    "info_nce": lambda step: disentanglement.info_nce_loss(step.code, step.batch["expression"], step.batch["person"]),
    "same_neutral": lambda step: disentanglement.scatter_share(step.neutral_point, step.batch["setup"]),
    "same_expression": lambda step: disentanglement.scatter_share(step.code, step.batch["expression"]),
    "smooth": lambda step: reconstruction.flow_total_variation(step.output.edit.flow),
    "sparse": lambda step: reconstruction.mask_sparsity(step.output.edit.mask),
    "siamese": _siamese,
    "adversarial": _adversarial,
}
# Computed at weight 0 too: distributed training waits for a gradient of every part of the network.
ALWAYS = ("information", "geometry")
STARTS = dict.fromkeys(("info_nce", "same_neutral", "same_expression"), "codes_start_step") | dict.fromkeys(
    ("siamese", "adversarial"), "discriminators_start_step"
)
assert TERMS.keys() < {field.name for field in fields(EditingLosses)}


class EditingTask:
    """Loss terms of one step; knows networks and losses, not devices or optimizers.

    Args:
        losses: the weights.
        model: a `LEEDModel`, perhaps wrapped for distributed training.
        discriminators: its `EditingDiscriminators`, likewise.
    """

    def __init__(self, losses: EditingLosses, model, discriminators):
        self.losses, self.model, self.discriminators = losses, model, discriminators
        self._openings = face_windows(getattr(model, "module", model).config)[1]

    def generator_losses(self, batch: dict[str, Tensor], step: int) -> tuple[dict[str, Tensor], Tensor]:
        """All unweighted terms with their weighted sum `loss`, and the edits (E, 3, H, W), detached."""
        output = self.model(batch["images"], batch["source"], batch["reference"], batch["strength"])
        unwrapped = getattr(self.discriminators, "module", self.discriminators)
        seen = EditingStep(batch, output, self.losses, unwrapped, self._openings.to(batch["images"].device))
        weights = {name: getattr(self.losses, name) for name in TERMS}
        with _held_still(unwrapped):
            terms = {
                name: term(seen)
                for name, term in TERMS.items()
                if (weights[name] or name in ALWAYS)
                and (name not in STARTS or step >= getattr(self.losses, STARTS[name]))
            }
        terms["loss"] = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        return terms, output.edit.edited.detach()

    def discriminator_losses(self, batch: dict[str, Tensor], edited: Tensor, step: int) -> dict[str, Tensor]:
        """The discriminators' own terms and their sum `loss`; empty while none is in use. `edited` is this step's."""
        w = self.losses
        inputs: dict[str, Tensor] = {}
        if step < w.discriminators_start_step:
            return {}
        source, reference, target = (batch["images"][batch[role]] for role in ("source", "reference", "target"))
        real = target.detach().requires_grad_(w.r1 > 0)
        if w.siamese:
            inputs["siamese"] = torch.cat([target, reference, source])
        if w.adversarial:
            inputs["discriminator"] = torch.cat([real, edited])
        if not inputs:
            return {}
        answers = self.discriminators(inputs)

        terms: dict[str, Tensor] = {}
        if "siamese" in inputs:
            target, reference, source = answers["siamese"].chunk(3)
            paired = batch["has_target"] & (batch["strength"].squeeze(1) > 0)
            # Without a pair in the batch the sum over none keeps the embedding in the graph.
            terms["siamese_pairs"] = (
                disentanglement.contrastive_loss(target[paired], reference[paired], source[paired], w.siamese_margin)
                if paired.any()
                else target[paired].sum()
            )
        if "discriminator" in inputs:
            openings = self._openings.to(edited.device)
            real_logits, fake_logits = at_openings(answers["discriminator"].float(), openings).chunk(2)
            terms["discriminator"] = adversarial.hinge_discriminator_loss(real_logits, fake_logits)
            if w.r1:
                terms["discriminator"] = terms["discriminator"] + w.r1 / 2 * adversarial.r1_penalty(real_logits, real)
        terms["loss"] = torch.stack(list(terms.values())).sum()
        return terms


@contextmanager
def _held_still(network: nn.Module) -> Iterator[None]:
    """Within it a network gives gradient to its inputs only, so there is nothing to distribute."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


def neutral_share(displacement: Tensor, is_neutral: Tensor) -> Tensor:
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
