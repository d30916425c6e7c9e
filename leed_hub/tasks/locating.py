"""The locating task: the detector's cells and the refiner's crops, learned in one pass."""

from dataclasses import dataclass

import torch
from torch import Tensor

from leed_hub.losses.locating import centre_loss, point_loss, verdict_loss

_NEAR = 0.3  # cells with at least this heat learn the face's points


@dataclass(frozen=True, kw_only=True)
class LocatingLosses:
    """Weights of the four terms; the distances they weigh are in face sides (cells) and half crop sides (crops)."""

    centre: float = 1.0
    cell_points: float = 5.0
    verdict: float = 2.0
    crop_points: float = 10.0


class LocatingTask:
    """Loss terms of one step; knows networks and losses, not devices or optimizers.

    Args:
        losses: the weights.
        model: a `FaceLocatorModel`, perhaps wrapped for distributed training.
    """

    def __init__(self, losses: LocatingLosses, model):
        self.losses, self.model = losses, model

    def generator_losses(self, batch: dict[str, Tensor], step: int) -> tuple[dict[str, Tensor], None]:
        """All unweighted terms and their weighted sum `loss` of a batch of `LocatorScenes`."""
        w = self.losses
        output = self.model(batch["images"], batch["crops"])
        heat = batch["heat"].nan_to_num(0.0)
        near = heat > _NEAR
        side = batch["side"][near][:, None, None]
        terms = {
            "centre": centre_loss(output.cell_logits, batch["heat"]),
            "cell_points": point_loss(
                output.cell_points.permute(0, 3, 4, 1, 2)[near] / side,
                batch["points"].permute(0, 3, 4, 1, 2)[near] / side,
                heat[near],
            ),
            "verdict": verdict_loss(output.crop_logits, batch["is_face"]),
            "crop_points": point_loss(output.crop_points, batch["crop_points"], (batch["is_face"] == 1).float()),
        }
        terms["loss"] = sum(getattr(w, name) * value for name, value in terms.items())
        with torch.no_grad():
            known = ~batch["is_face"].isnan()
            terms["accuracy"] = ((output.crop_logits > 0) == (batch["is_face"] == 1))[known].float().mean()
        return terms, None  # there are no critics
