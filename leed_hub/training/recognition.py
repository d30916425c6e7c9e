"""The recognition task: classification, encoder-based adversary and optional reconstruction (arXiv:2008.07001)."""

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from leed_hub.losses.recognition import (
    concordance_loss,
    distillation_loss,
    encoder_adversarial_loss,
    expression_classification_loss,
)
from leed_hub.losses.reconstruction import weighted_l1
from leed_hub.models.config import checked_config
from leed_hub.models.expression_encoder import ExpressionEncoderModel


@checked_config
class RecognitionLosses:
    """Weights of L = L_cls + beta1 * L_rec + beta2 * L_adv; the paper finds beta1 = 0 best.

    Not the paper's: `distillation`, the teachers' share of L_cls where a config names any, beside the labels' (Hinton
    et al. 2015, arXiv:1503.02531), and `teachers_smoothing`, the label smoothing that these were trained with, which is
    taken off their scores; `valence_arousal`, which weighs the concordance of the optional head of that name.
    """

    beta1: float = 0.0
    beta2: float = 0.1
    label_smoothing: float = 0.1
    distillation: Annotated[float, Field(ge=0, le=1)] = 1.0
    teachers_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    valence_arousal: float = 0.0


class RecognitionTask:
    """Loss terms of one step; knows networks and losses, not devices or optimizers.

    Args:
        losses: the weights.
        model: an `ExpressionEncoderModel`, perhaps wrapped for distributed training.
        teachers: such models; where there are any, the classifier learns their mean score beside the labels or instead.
    """

    def __init__(self, losses: RecognitionLosses, model, teachers: Sequence[ExpressionEncoderModel] = ()):
        self.losses, self.model = losses, model
        self.teachers = [
            teacher.eval().requires_grad_(False).to(memory_format=torch.channels_last) for teacher in teachers
        ]

    def generator_losses(self, batch: dict[str, Tensor], step: int) -> tuple[dict[str, Tensor], None]:
        """All unweighted terms, their weighted sum `loss`, and `accuracy`.

        One backward pass serves both sides of the adversary: A's weights get the gradient of its own classification
        of the *detached* h_n, and P_n and F get that of the confusion term, in which A stands still.
        """
        w, labels = self.losses, batch["labels"]
        output = self.model(batch["images"])

        def classification(logits: Tensor, label_smoothing: float = 0.0) -> Tensor:
            """Of blended pictures (mixup), each label counts by its picture's share."""
            loss = expression_classification_loss(logits.float(), labels, label_smoothing=label_smoothing)
            if "other_labels" not in batch:
                return loss
            others = batch["other_labels"]
            other = expression_classification_loss(logits.float(), others, label_smoothing=label_smoothing)
            return loss.lerp(other, batch["other_share"])

        terms = {
            "classification": classification(output.logits, w.label_smoothing),
            "adversary": classification(output.adversary_logits),
            "confusion": encoder_adversarial_loss(output.confusion_logits.float()),
        }
        if self.teachers:
            taught = distillation_loss(output.logits.float(), self._taught(batch["images"]))
            terms["classification"] = terms["classification"].lerp(taught, w.distillation)
        terms["loss"] = terms["classification"] + terms["adversary"] + w.beta2 * terms["confusion"]
        if w.beta1:
            terms["reconstruction"] = weighted_l1(output.reconstruction.float(), batch["images"])
            terms["loss"] = terms["loss"] + w.beta1 * terms["reconstruction"]
        if w.valence_arousal:
            annotated = batch["valence_arousal"]
            if "other_share" in batch:
                annotated = annotated.lerp(annotated.roll(1, 0), batch["other_share"])
            terms["valence_arousal"] = concordance_loss(output.valence_arousal.float(), annotated)
            terms["loss"] = terms["loss"] + w.valence_arousal * terms["valence_arousal"]
        with torch.no_grad():
            terms["accuracy"] = (output.logits.argmax(1) == labels).float().mean()
        return terms, None  # the adversary learns in the same pass: there is no discriminators' step

    @torch.no_grad()
    def _taught(self, images: Tensor) -> Tensor:
        """The teachers' mean score of each picture, (B, K), as it would be had they not learnt smoothed labels.

        A smoothed label is (1 - s) label + s / K: who learns it is never surer than 1 - s + s / K, where no temperature
        helps.
        """
        logits = [teacher.to(images.device).recognize(images)[0].float() for teacher in self.teachers]
        scores = torch.stack(logits).softmax(dim=2).mean(dim=0)
        sharp = (scores - self.losses.teachers_smoothing / scores.shape[1]).clamp_min(0)
        return sharp / sharp.sum(dim=1, keepdim=True)
