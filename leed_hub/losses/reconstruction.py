"""What an edit should look like: near its target, unchanged elsewhere, the same person, a calm flow, a sparse mask.

Pictures are (B, C, H, W) in [-1, 1], so one of the 255 grey levels is 2 / 255.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

# A thousandth of a grey level: rounding must not carry two pixels that differ by exactly `threshold` over it.
_ROUNDING = 2 / 255 * 1e-3


@torch.no_grad()
def changed_region(source: Tensor, target: Tensor, *, threshold: float = 8 / 255 * 2, dilation_px: int = 3) -> Tensor:
    """Mark where the expression truly moves the picture: source and target differ, and a rim around it.

    The default is the region in which `metrics.editing` measures `error_ratio`.

    Args:
        source, target (Tensor): (B, C, H, W) in [-1, 1], one person, pose and light in two expressions.
        threshold (float): a pixel counts when any channel differs by more than this; the default is 8 of 255 levels.
        dilation_px (int): rim in pixels, a square of side 2 * dilation_px + 1 around each counted pixel.
    Returns:
        Tensor: (B, 1, H, W), bool, no gradient.
    """
    difference = (source.float() - target.float()).abs().amax(dim=1, keepdim=True)  # (B, 1, H, W)
    changed = (difference > threshold + _ROUNDING).float()
    side = 2 * dilation_px + 1  # across, then down: a third of the time of a square
    changed = F.max_pool2d(changed, (1, side), stride=1, padding=(0, dilation_px))
    return F.max_pool2d(changed, (side, 1), stride=1, padding=(dilation_px, 0)) > 0


def weighted_l1(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean absolute difference, with some pixels counting more than others.

    Args:
        prediction, target (Tensor): (B, C, H, W).
        weight (Tensor | None): (B, 1, H, W), bool or >= 0; taken as given: no gradient flows into it. None: all alike.
    Returns:
        Tensor: scalar >= 0, `sum(w * |prediction - target|) / sum(w) / C`: in the pictures' units, however large the
            weights are. 0 when every weight is 0.
    """
    difference = (prediction - target).abs()
    if weight is None:
        return difference.mean()
    weight = weight.detach().to(difference.dtype)
    total_weight = weight.sum().clamp_min(torch.finfo(difference.dtype).tiny)  # 0 / tiny is 0, where 0 / 0 is not
    return (weight * difference).sum() / total_weight / difference.shape[1]


def pyramid_l1(prediction: Tensor, target: Tensor, weight: Tensor | None = None, *, levels: int = 3) -> Tensor:
    """`weighted_l1` at full, half, quarter ... size: coarse levels tell a flow the way when it is far off.

    Args:
        prediction, target (Tensor): (B, C, H, W).
        weight (Tensor | None): (B, 1, H, W) as in `weighted_l1`; a coarse pixel weighs the mean of its pixels.
        levels (int): how many sizes.
    Returns:
        Tensor: scalar >= 0, the mean over the levels.
    """
    total = prediction.new_zeros(())
    for level in range(levels):
        if level:
            prediction, target = F.avg_pool2d(prediction, 2), F.avg_pool2d(target, 2)
            weight = None if weight is None else F.avg_pool2d(weight, 2)
        total = total + weighted_l1(prediction, target, weight)
    return total / levels


def gradient_l1(prediction: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Compare edges rather than colours: L1 between the forward differences of two pictures.

    Source: Mathieu et al. 2016, arXiv:1511.05440 (gradient difference loss), with signed differences: an edge that goes
    the wrong way costs too.

    Args:
        prediction, target (Tensor): (B, C, H, W).
        weight (Tensor | None): (B, 1, H, W) as in `weighted_l1`; a difference weighs the mean of its two pixels.
    Returns:
        Tensor: scalar >= 0, the horizontal mean plus the vertical mean. 0 for pictures that differ by a constant.
    """
    weight_x, weight_y = (None, None) if weight is None else _pair_means(weight.float())
    prediction_x, prediction_y = _forward_differences(prediction)
    target_x, target_y = _forward_differences(target)
    return weighted_l1(prediction_x, target_x, weight_x) + weighted_l1(prediction_y, target_y, weight_y)


def flow_total_variation(flow: Tensor) -> Tensor:
    """Keep the flow smooth, for neighbouring skin moves together.

    Source: Rudin, Osher & Fatemi 1992, in the anisotropic (L1) form.

    Args:
        flow (Tensor): (B, 2, h, w), in pixels or in normalised coordinates.
    Returns:
        Tensor: scalar >= 0, mean absolute forward difference along x plus the same along y, in the flow's units.
    """
    along_x, along_y = _forward_differences(flow)
    return along_x.abs().mean() + along_y.abs().mean()


def landmark_flow_loss(flow: Tensor, source: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Ask the flow to fetch each landmark of the target from where it is in the source.

    Differences of pixels tell a flow the way only where it is nearly right; points tell it from everywhere.

    Args:
        flow (Tensor): (B, 2, h, w), where each place comes from: (x, y) offsets in half sides.
        source, target (Tensor): (B, L, 2), their landmarks, x, y in -1..1; NaN where unknown.
        weight (Tensor | None): (L,), how much each counts; None: all alike.
    Returns:
        Tensor: scalar >= 0, the mean distance in units of half the side over the landmarks that are known and in the
            crop; 0 where there is none.
    """
    known = (source.isfinite() & target.isfinite() & (target.abs() < 1)).all(dim=2)
    target, wanted = target.nan_to_num(), (source - target).nan_to_num()
    found = F.grid_sample(flow, target[:, None].to(flow.dtype), padding_mode="border", align_corners=False)[:, :, 0]
    distance = torch.linalg.vector_norm(found.transpose(1, 2) - wanted, dim=2)
    return _mean_of_known(distance, known, weight)


def landmark_distance(found: Tensor, landmarks: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean distance of landmarks that are read off a code to the true ones.

    Args:
        found (Tensor): (B, L, 2).
        landmarks (Tensor): (B, L, 2); NaN where unknown, which does not count.
        weight (Tensor | None): (L,), how much each counts; None: all alike.
    Returns:
        Tensor: scalar >= 0, in the landmarks' unit; 0 where none is known.
    """
    known = landmarks.isfinite().all(dim=2)
    distance = torch.linalg.vector_norm(found - landmarks.nan_to_num(), dim=2)
    return _mean_of_known(distance, known, weight)


def mask_sparsity(mask: Tensor) -> Tensor:
    """Make painting cost something, so that the decoder warps what it can and paints only what it must.

    Source: Pumarola et al. 2018, arXiv:1807.09251 (GANimation), whose attention is pulled the same way.

    Args:
        mask (Tensor): (B, 1, h, w) in [0, 1], 1 where the picture is painted anew.
    Returns:
        Tensor: scalar in [0, 1], the mean.
    """
    return mask.mean()


def _mean_of_known(distance: Tensor, known: Tensor, weight: Tensor | None) -> Tensor:
    """The weighted mean of distances (B, L) where they are known, (B, L) bool; 0 where none is."""
    counts = known if weight is None else known * weight.to(distance)
    return (distance * counts).sum() / counts.sum().clamp_min(1)


def _forward_differences(image: Tensor) -> tuple[Tensor, Tensor]:
    """Right minus left (B, C, H, W-1), and below minus above (B, C, H-1, W)."""
    return image[..., :, 1:] - image[..., :, :-1], image[..., 1:, :] - image[..., :-1, :]


def _pair_means(weight: Tensor) -> tuple[Tensor, Tensor]:
    """The mean weight of each horizontal and each vertical pair of neighbours."""
    return (weight[..., :, 1:] + weight[..., :, :-1]) / 2, (weight[..., 1:, :] + weight[..., :-1, :]) / 2
