"""Batches for the recogniser: labelled pictures in memory, seen through random views."""

from dataclasses import dataclass, field

import datasets
import torch
from torch import Tensor

from leed_hub.data.augment import Geometry, Light, erased, mirrored, relit, view
from leed_hub.data.memory import decode_images


@dataclass(frozen=True, kw_only=True)
class RecognitionViews:
    """The random half of the recogniser's preprocessing."""

    geometry: Geometry = field(default_factory=lambda: Geometry(scale=0.12, shift=0.08, rotation_deg=12))
    light: Light = field(default_factory=lambda: Light(gamma=0.3, gain=0.3, offset=0.1, tint=0, saturation=0))
    erased_share: float = 0.3


class LabelledFaces:
    """Pictures with their categories.

    Args:
        dataset: rows with `image` and `label` (a `ClassLabel`); rows whose category is not in `labels` are left out.
        labels: the recogniser's categories in the order of its logits.
        size: side of the crops in pixels.
        channels: 1 or 3.
        balanced: draw every category equally often instead of as often as the corpus has it.
    """

    def __init__(self, dataset: datasets.Dataset, labels: tuple[str, ...], size: int, channels: int, *, balanced: bool):
        names = dataset.features["label"].names
        to_position = torch.tensor([labels.index(name) if name in labels else -1 for name in names] + [-1])
        positions = to_position[torch.tensor(dataset["label"])]  # -1, unlabelled, reads the last entry
        kept = torch.nonzero(positions >= 0).squeeze(1)
        self.labels = positions[kept]
        self.images = decode_images(dataset.select(kept.tolist()), size, channels)
        self.size, self.balanced, self.views = size, balanced, RecognitionViews()
        counts = torch.bincount(self.labels, minlength=len(labels))
        self.draw_weights = (1 / counts.clamp(min=1))[self.labels]

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, anchors: Tensor, generator: torch.Generator, device: torch.device) -> dict[str, Tensor]:
        """Random views of the anchors (B,), or of as many balanced draws: `images` in [-1, 1], `labels`."""
        if self.balanced:
            anchors = torch.multinomial(self.draw_weights, len(anchors), replacement=True, generator=generator)
        views = self.views
        theta = views.geometry.draw(len(anchors), generator)
        theta = mirrored(theta, torch.rand(len(anchors), generator=generator) < 0.5)
        images = view(self.images[anchors].to(device), theta, self.size)
        images = relit(images, views.light.draw(len(anchors), generator))
        images = erased(images, views.erased_share, generator)
        return {"images": images * 2 - 1, "labels": self.labels[anchors].to(device)}
