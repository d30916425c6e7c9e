"""How close an edit is to an exactly known target, and what it changes elsewhere."""

import numpy as np
import torch
import torch.nn.functional as F
from torchmetrics.functional.image import (
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
    visual_information_fidelity,
)

from leed_hub.metrics.intervals import bootstrap_ratio_interval

CHANGED_LEVELS = 8  # of 255: JPEG noise lies below, and what an expression moves lies above
DILATION_PX = 3
FRONTAL_YAW_DEG = 25.0
LEAST_SIDE_FOR_VIF = 41
PSNR_CEILING_DB = 100.0  # two equal pictures have infinite PSNR; one level in one value of 192x192x3 is 98.6 dB


class EditingMetrics:
    """Compare edits with exact targets, a triplet at a time; only a few sums per triplet are kept.

    The main number is `error_ratio`: the error left in the changed region over the error of the unedited source.
    Returning the source scores 1, returning the target 0; an edit which harms more than it helps lies above 1. The
    changed region is where source and target differ by more than 8 of 255 levels in any channel, and 3 px around it.

    Args:
        seed: of the bootstrap behind `error_ratio_interval`.
        similarity: whether SSIM, PSNR and VIF are computed too, which take most of the time.

    Examples:
        >>> metrics = EditingMetrics()
        >>> source, target = np.zeros((32, 32, 3), np.uint8), np.full((32, 32, 3), 100, np.uint8)
        >>> metrics.update(edited=source, source=source, target=target, yaw_deg=0.0)
        >>> metrics.compute()["error_ratio"]
        1.0
    """

    def __init__(self, *, seed: int = 0, similarity: bool = True):
        self.seed, self.similarity = seed, similarity
        self._changed_error: list[float] = []  # sum of |edited - target| inside the changed region
        self._source_error: list[float] = []  # sum of |source - target| there
        self._unchanged_error: list[float] = []  # sum of |edited - source| outside
        self._unchanged_values: list[int] = []  # pixels times channels outside
        self._yaw_deg: list[float] = []
        self._ssim: list[float] = []
        self._psnr: list[float] = []
        self._vif: list[float] = []

    def update(self, edited: np.ndarray, source: np.ndarray, target: np.ndarray, yaw_deg: float) -> None:
        """Add one triplet.

        Args:
            edited: what the editor made of the source.
            source, target: the latter is what it should have made; all (H, W, 3), uint8, RGB, H and W at least 11.
            yaw_deg: how far the source's head is turned; 0 is frontal, the sign does not matter.
        Raises:
            ValueError: if the pictures are not uint8 RGB of one size.
        """
        for name, image in (("edited", edited), ("source", source), ("target", target)):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.shape != source.shape:
                raise ValueError(
                    f"EditingMetrics expected uint8 RGB pictures of the source's shape {source.shape}, "
                    f"got {image.dtype} {image.shape} for {name}: resize the edit to the source before measuring."
                )
        if min(source.shape[:2]) < 11:
            raise ValueError(
                f"EditingMetrics expected pictures of at least 11x11 px (SSIM's window), got {source.shape}."
            )
        edited, source, target = (image.astype(np.int32) for image in (edited, source, target))
        changed = changed_pixels(source, target)  # (H, W)
        self._changed_error.append(float(np.abs(edited - target)[changed].sum()))
        self._source_error.append(float(np.abs(source - target)[changed].sum()))
        self._unchanged_error.append(float(np.abs(edited - source)[~changed].sum()))
        self._unchanged_values.append(3 * int((~changed).sum()))
        self._yaw_deg.append(float(yaw_deg))

        if not self.similarity:
            return
        # float32 costs SSIM up to 3e-5 on real pictures (1e-4 on flat ones); double would take 20 times as long.
        prediction, truth = (torch.from_numpy(image).permute(2, 0, 1)[None].float() for image in (edited, target))
        self._ssim.append(float(structural_similarity_index_measure(prediction, truth, data_range=255.0)))  # type: ignore[arg-type]
        if min(source.shape[:2]) >= LEAST_SIDE_FOR_VIF:
            self._vif.append(visual_information_fidelity(prediction, truth).item())
        psnr = float(peak_signal_noise_ratio(prediction, truth, data_range=255.0))
        self._psnr.append(min(psnr, PSNR_CEILING_DB))

    def error_ratio(self, chosen: np.ndarray | None = None) -> float | None:
        """The error ratio of some of the triplets.

        Args:
            chosen: (n,), bool, in the order of `update`. None: all.
        Returns:
            float | None: summed edited error over summed source error; None if nothing was chosen or nothing changes.
        """
        changed_error, source_error = np.array(self._changed_error), np.array(self._source_error)
        if chosen is not None:
            chosen = np.asarray(chosen, dtype=bool)
            changed_error, source_error = changed_error[chosen], source_error[chosen]
        return float(changed_error.sum() / source_error.sum()) if source_error.sum() > 0 else None

    def compute(self) -> dict:
        """Sum up what was seen.

        Returns:
            dict: `n`, `n_frontal`, `n_profile` (triplets, |yaw| <= 25 and > 25 degrees); `error_ratio`,
                `error_ratio_frontal`, `error_ratio_profile` (>= 0, lower is better); `worse_than_source` (0..1, share
                of triplets in which the edit is further from the target than the source is, among those in which
                anything changes); `error_ratio_interval` ([low,
                high], the middle 95 % of a bootstrap over triplets, as if each were of another person);
                `unchanged_error` (0..255, mean |edited - source| over all pixels and channels outside the changed
                regions); `ssim` (at most 1), `psnr` (dB, at most 100 a picture) and `visual_information_fidelity` (0 to
                about 1; Sheikh & Bovik 2006, of pictures of 41 px and more), means over pictures of edited against
                target. A value without data is None.
        """
        frontal = np.abs(np.array(self._yaw_deg)) <= FRONTAL_YAW_DEG
        unchanged_values = sum(self._unchanged_values)
        n = len(self._yaw_deg)
        changes = np.array(self._source_error) > 0
        is_worse = np.array(self._changed_error) > np.array(self._source_error)
        return {
            "n": n,
            "n_frontal": int(frontal.sum()),
            "n_profile": int((~frontal).sum()),
            "error_ratio": self.error_ratio(),
            "error_ratio_interval": bootstrap_ratio_interval(self._changed_error, self._source_error, seed=self.seed),
            "error_ratio_frontal": self.error_ratio(frontal),
            "error_ratio_profile": self.error_ratio(~frontal),
            "worse_than_source": float(is_worse[changes].mean()) if changes.any() else None,
            "unchanged_error": sum(self._unchanged_error) / unchanged_values if unchanged_values else None,
            "ssim": sum(self._ssim) / n if self._ssim else None,
            "psnr": sum(self._psnr) / n if self._psnr else None,
            "visual_information_fidelity": sum(self._vif) / len(self._vif) if self._vif else None,
        }


def changed_pixels(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(H, W), bool; the same region as `losses.changed_region` marks by default."""
    changed = np.abs(target - source).max(axis=2) > CHANGED_LEVELS
    changed = torch.from_numpy(changed)[None, None].float()
    dilated = F.max_pool2d(changed, 2 * DILATION_PX + 1, stride=1, padding=DILATION_PX)
    return (dilated[0, 0] > 0).numpy()
