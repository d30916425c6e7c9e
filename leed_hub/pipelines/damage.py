"""A cheap look at an edit's flow and paint, for pictures so unlike the training's that the network draws nonsense."""

import torch
from torch import Tensor

from leed_hub.models.leed import LEEDOutput, warp

MOST_FOLDED = 0.04  # of the crop: lips that close and lids that open fold a little
MOST_GARISH = 0.02  # of the crop
GARISH_LEVELS = 0.55  # of the range -1..1, see `garish_share`
KEPT = (1.0, 0.75, 0.5, 0.25, 0.0)  # shares of an edit that are tried, in this order


def folded_share(flow: Tensor) -> Tensor:
    """How much of the crop the flow turns inside out, (B,) in 0..1: where its Jacobian's determinant is negative.

    Args:
        flow: (B, 2, h, w), offsets in half sides.
    """
    height, width = flow.shape[-2:]
    across = (flow[:, :, :-1, 1:] - flow[:, :, :-1, :-1]) * (width / 2)
    down = (flow[:, :, 1:, :-1] - flow[:, :, :-1, :-1]) * (height / 2)
    determinant = (1 + across[:, 0]) * (1 + down[:, 1]) - across[:, 1] * down[:, 0]
    return (determinant < 0).float().mean(dim=(1, 2))


def garish_share(images: Tensor, output: LEEDOutput) -> Tensor:
    """How much of the crop is painted in colours far outside of the face's own, (B,) in 0..1.

    Teeth, tongue and the dark of a mouth are less colourful than lips and skin; saturated red, green or blue is not.

    Args:
        images: (B, 3, H, W) in [-1, 1], the sources.
        output: the edit.
    """
    before = warp(images, output.flow)
    change = output.edited - before
    colourfulness = change - change.mean(dim=1, keepdim=True)  # a change of brightness alone is none
    return (colourfulness.abs().amax(dim=1) > GARISH_LEVELS).float().mean(dim=(1, 2))


def looks_broken(images: Tensor, output: LEEDOutput) -> Tensor:
    """(B,) bool: edits that no face makes."""
    return (folded_share(output.flow) > MOST_FOLDED) | (garish_share(images, output) > MOST_GARISH)


def softened(images: Tensor, output: LEEDOutput) -> tuple[LEEDOutput, Tensor]:
    """The edits, with less of flow and paint where they look broken as they are.

    Args:
        images: (B, 3, H, W) in [-1, 1], the sources.
        output: their edits.
    Returns:
        The edits to show, and the share of each that was kept, (B,) in 0..1: 1 for all that look whole, 0 where the
        source stays as it is.
    """
    kept = torch.full((len(images),), KEPT[0], device=images.device)
    shown = output
    for share in KEPT[1:]:
        broken = looks_broken(images, shown)
        if not broken.any():
            break
        kept = torch.where(broken, share, kept)
        flow, mask = output.flow * kept[:, None, None, None], output.mask * kept[:, None, None, None]
        edited = torch.lerp(warp(images, flow), output.color, mask)
        shown = LEEDOutput(edited, flow, mask, output.color, output.target_point)
    return shown, kept
