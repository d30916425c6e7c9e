"""Random views of faces, made in batches from uint8 pictures in memory; every draw comes from the given generator."""

import math
from dataclasses import dataclass, field
from typing import Self, cast

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from leed_hub.data.landmarks import MIRRORED_68

LUMA = (0.299, 0.587, 0.114)
KNOTS = 7  # of an elastic deformation, a side: brows, lids and lips are moved apart
LIKENESS = 0.7  # of its halves
GAIN_KNOTS = 5  # of a gain field, a side


class Bounds:
    """How far a kind of random change may go, in one number a property; 0 is no change."""

    def scaled(self, factor: float) -> Self:
        """The same with every bound multiplied."""
        return type(self)(**{name: factor * bound for name, bound in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class Affine(Bounds):
    """How far a view may be moved: the largest relative scale, shift (of the side), rotation in degrees, and stretch.

    A stretch makes the face longer or wider and keeps its area: another person's proportions.
    """

    scale: float = 0.0
    shift: float = 0.0
    rotation_deg: float = 0.0
    stretch: float = 0.0

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Affine maps (count, 2, 3) from output to input places, in units of half the side."""
        scale, angle, x, y, stretch = _uniform(5, count, generator)
        scale, stretch = torch.exp(scale * self.scale), torch.exp(stretch * self.stretch)
        angle = torch.deg2rad(angle * self.rotation_deg)
        cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
        shift_x, shift_y = 2 * self.shift * x, 2 * self.shift * y
        across = torch.stack([cos * stretch, -sin * stretch, shift_x], 1)
        down = torch.stack([sin / stretch, cos / stretch, shift_y], 1)
        return torch.stack([across, down], 1)


def _uniform(rows: int, count: int, generator: torch.Generator) -> Tensor:
    """(rows, count) uniform in [-1, 1]."""
    return torch.rand(rows, count, generator=generator) * 2 - 1


def mirror(theta: Tensor, flips: Tensor) -> Tensor:
    """Turn left and right around in the views that `flips` (B,) names."""
    sign = torch.where(flips, -1.0, 1.0)[:, None]
    return torch.cat([theta[:, :1] * sign[:, :, None], theta[:, 1:]], dim=1)


def elastic_deformations(count: int, deviation: float, generator: torch.Generator) -> Tensor:
    """Smooth displacements (count, 2, KNOTS, KNOTS) for `view`: other proportions, of which no affine map is capable.

    Nearly alike on the left and the right, as faces are. `deviation` is the standard one, as a share of the side.
    """
    x, y = torch.randn(2, count, KNOTS, KNOTS, generator=generator) / math.hypot(1, LIKENESS)
    return 2 * deviation * torch.stack([x - LIKENESS * x.flip(2), y + LIKENESS * y.flip(2)], dim=1)


def enlarged(knots: Tensor, size: int) -> Tensor:
    """Smooth fields (B, C, k, k) -> (B, C, size, size), bicubic, as matrix products: a tenth of the time on CPUs."""
    side = knots.shape[-1]
    weights = F.interpolate(torch.eye(side, device=knots.device)[None, None], (size, side), mode="bicubic")[0, 0]
    return weights @ knots @ weights.T


def view(images: Tensor, theta: Tensor, size: int, elastic: Tensor | None = None) -> Tensor:
    """Sample views: uint8 (B, C, H, W), affine maps (B, 2, 3), deformations -> float (B, C, size, size) in [0, 1]."""
    grid = F.affine_grid(theta.to(images.device), [len(images), images.shape[1], size, size], align_corners=False)
    if elastic is not None:
        grid = grid + enlarged(elastic.to(images.device), size).permute(0, 2, 3, 1)
    return F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="border", align_corners=False) / 255


@dataclass(frozen=True, kw_only=True)
class ColorJitter(Bounds):
    """How far light and colour may be changed: the largest change of log gamma, log gain, offset, log tint, colour."""

    gamma: float = 0.25
    gain: float = 0.15
    offset: float = 0.06
    tint: float = 0.06
    saturation: float = 0.3

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, 7): gamma, gain, offset, three colour gains, saturation."""
        u = _uniform(7, count, generator)
        return torch.stack(
            [
                torch.exp(self.gamma * u[0]),
                torch.exp(self.gain * u[1]),
                self.offset * u[2],
                *torch.exp(self.tint * u[3:6]),
                1 + self.saturation * u[6],
            ],
            dim=1,
        )


def apply_color_jitter(images: Tensor, jitter: Tensor) -> Tensor:
    """Apply `ColorJitter.draw`'s numbers (B, 7) to images (B, C, H, W) in [0, 1]; C is 1 or 3, grey ignores colour."""
    jitter = jitter.to(images.device)[:, :, None, None]
    images = images.clamp(1e-4, 1) ** jitter[:, 0:1] * jitter[:, 1:2] + jitter[:, 2:3]
    if images.shape[1] == 3:
        grey = (images * torch.tensor(LUMA, device=images.device)[:, None, None]).sum(1, keepdim=True)
        images = (grey + (images - grey) * jitter[:, 6:7]) * jitter[:, 3:6]
    return images.clamp(0, 1)


def gain_fields(count: int, deviation: float, generator: torch.Generator) -> Tensor:
    """Smooth fields of log gain (count, 3, GAIN_KNOTS, GAIN_KNOTS): colour jitter by place, other skin and shadows.

    `deviation` is the standard one, alike for all colours but for a quarter of it.
    """
    grey = torch.randn(count, 1, GAIN_KNOTS, GAIN_KNOTS, generator=generator)
    return deviation * (grey + torch.randn(count, 3, GAIN_KNOTS, GAIN_KNOTS, generator=generator) / 4)


def apply_gain_field(images: Tensor, gain_field: Tensor) -> Tensor:
    """Darken and lighten the places of images (B, 3, H, W) in [0, 1] by `gain_fields` (B, 3, k, k)."""
    gain = enlarged(gain_field.to(images.device), images.shape[-1]).exp()
    return (images * gain).clamp(0, 1)


@dataclass(frozen=True, kw_only=True)
class Degradation(Bounds):
    """How often photographs are degraded: shares of views that are grey, blurred, small, noisy and compressed.

    The class attributes say how far; `BLUR_SIGMA` and `SMALL_SIDE` are shares of the crop's side.
    """

    grey: float = 0.15
    blurred: float = 0.2
    small: float = 0.15
    noisy: float = 0.3
    compressed: float = 0.25

    BLUR_SIGMA = (0.003, 0.02)
    SMALL_SIDE = (0.25, 0.75)
    NOISE = (0.01, 0.05)  # standard deviation, of the whole range
    JPEG_QUALITY = (20, 80)


def degrade(images: Tensor, view_of: Tensor, degradation: Degradation, generator: torch.Generator) -> Tensor:
    """Degrade views as cameras, scanners and networks do; all pictures of a view alike, down to the noise.

    Images are (P, 1 or 3, S, S) in [0, 1]; `view_of` (P,).
    """
    count, side = int(view_of.max()) + 1, images.shape[-1]
    chances, amounts = torch.rand(2, 5, count, generator=generator)
    is_grey, is_blurred, is_small, is_noisy, is_compressed = (
        (chance < share)[view_of] for chance, share in zip(chances, vars(degradation).values(), strict=True)
    )
    _, blur, small, noise, quality = amounts[:, view_of]

    images = images.clone()

    def places(chosen: Tensor) -> Tensor:
        return torch.nonzero(chosen).squeeze(1).to(images.device)

    grey = places(is_grey)
    if images.shape[1] == 3 and len(grey):
        luma = torch.tensor(LUMA, device=images.device)[:, None, None]
        images[grey] = (images[grey] * luma).sum(1, keepdim=True).expand(-1, 3, -1, -1)
    blurred = places(is_blurred)
    if len(blurred):
        low, high = degradation.BLUR_SIGMA
        images[blurred] = _blurred(images[blurred], side * low * (high / low) ** blur[is_blurred])
    for view in view_of[is_small].unique():
        low, high = degradation.SMALL_SIDE
        of_view = places(view_of == view)
        reduced_side = round(side * float(low + (high - low) * small[view_of == view][0]))
        reduced = F.interpolate(images[of_view], reduced_side, mode="area")
        images[of_view] = F.interpolate(reduced, side, mode="bilinear", align_corners=False)
    noisy = places(is_noisy)
    if len(noisy):
        low, high = degradation.NOISE
        deviation = (low + (high - low) * noise[is_noisy])[:, None, None, None].to(images.device)
        # One noise a view: else a source would differ from its target everywhere.
        views, which = view_of[is_noisy].unique(return_inverse=True)
        grain = torch.randn(len(views), *images.shape[1:], generator=generator)[which].to(images.device)
        images[noisy] = (images[noisy] + deviation * grain).clamp(0, 1)
    low, high = degradation.JPEG_QUALITY
    for place in torch.nonzero(is_compressed).squeeze(1).tolist():
        images[place] = _compressed(images[place], round(low + (high - low) * float(quality[place])))
    return images


def _compressed(image: Tensor, quality: int) -> Tensor:
    """What a JPEG of a quality of 1 to 100 keeps of an image (C, H, W) in [0, 1], grey or in colour."""
    pixels = (image * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    _, file = cv2.imencode(".jpg", np.ascontiguousarray(pixels[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cast(np.ndarray, cv2.imdecode(file, cv2.IMREAD_UNCHANGED)).reshape(pixels.shape)
    return torch.from_numpy(decoded[..., ::-1].copy()).to(image).permute(2, 0, 1) / 255


def _blurred(images: Tensor, sigma: Tensor) -> Tensor:
    """Blur each of (B, C, H, W) by a Gaussian of its own standard deviation (B,), in pixels."""
    count, channels, height, width = images.shape
    reach = math.ceil(3 * float(sigma.max()))
    offsets = torch.arange(-reach, reach + 1)
    kernels = torch.exp(-offsets.square() / (2 * sigma[:, None].square()))
    kernels = (kernels / kernels.sum(1, keepdim=True)).repeat_interleave(channels, 0).to(images.device)
    flat = F.pad(images.reshape(1, count * channels, height, width), [reach] * 4, mode="reflect")
    flat = F.conv2d(flat, kernels[:, None, None, :], groups=count * channels)
    return F.conv2d(flat, kernels[:, None, :, None], groups=count * channels).view_as(images)


@dataclass(frozen=True, kw_only=True)
class Views:
    """Random views of aligned faces; all pictures of a view are moved, bent, lit and set before a background alike.

    Attributes:
        size: side of the crops in pixels.
        affine: how far views are moved.
        elastic, gain_field: as in `elastic_deformations` and `gain_fields`.
        color_jitter: how far light and colour are changed.
        background_share: how many views get another picture behind the head, see `DrawnViews.on_backgrounds`.
    """

    size: int
    affine: Affine = field(default_factory=Affine)
    elastic: float = 0.0
    gain_field: float = 0.0
    color_jitter: ColorJitter = field(default_factory=ColorJitter)
    background_share: float = 0.35

    def draw(self, count: int, generator: torch.Generator) -> "DrawnViews":
        """The numbers of `count` views."""
        return DrawnViews(
            self.size,
            self.affine.draw(count, generator),
            elastic_deformations(count, self.elastic, generator),
            gain_fields(count, self.gain_field, generator),
            self.color_jitter.draw(count, generator),
            torch.rand(count, generator=generator) < self.background_share,
        )


@dataclass
class DrawnViews:
    """V views, as numbers; see `Views`.

    Attributes:
        size: side of the crops.
        affine: (V, 2, 3), from places in the crop to places in the picture, both in -1..1.
        elastic: (V, 2, KNOTS, KNOTS).
        gain_field: (V, 3, GAIN_KNOTS, GAIN_KNOTS).
        color_jitter: (V, 7).
        has_background: (V,) bool.
    """

    size: int
    affine: Tensor
    elastic: Tensor
    gain_field: Tensor
    color_jitter: Tensor
    has_background: Tensor

    def seen(self, images: Tensor, view_of: Tensor) -> Tensor:
        """Pictures (P, C, H, W) in 0..255 in their views, (P, C, size, size) in [0, 1]."""
        return view(images, self.affine[view_of], self.size, self.elastic[view_of])

    def landmarks_seen(self, landmarks: Tensor, view_of: Tensor) -> Tensor:
        """Where the 68 points (P, 68, 2), in -1..1 over the pictures, come to lie in the crops, likewise.

        They are numbered as they are seen, so that in a mirrored view, too, the left eye is the one on the left: by a
        nearly symmetric face alone nobody knows whether its picture is mirrored. A view says where each place of the
        crop comes from; that is turned around by fixed-point iteration, elastic deformations being small and smooth.
        """
        fields = enlarged(self.elastic, self.size)[view_of]
        linear, shift = self.affine[view_of].split([2, 1], dim=2)
        back = torch.linalg.inv(linear).transpose(1, 2)
        target = landmarks - shift.transpose(1, 2)
        places = target @ back
        for _ in range(3):
            bent = F.grid_sample(fields, places[:, None].nan_to_num(), padding_mode="border", align_corners=False)
            places = (target - bent[:, :, 0].transpose(1, 2)) @ back
        mirrored = torch.linalg.det(linear)[:, None, None] < 0
        return torch.where(mirrored, places[:, MIRRORED_68], places)

    def on_backgrounds(
        self,
        images: Tensor,
        view_of: Tensor,
        backgrounds: Tensor,
        template: tuple[float, ...],
        generator: torch.Generator,
    ) -> Tensor:
        """Put another picture, turned, enlarged and moved at random, behind some views' heads.

        A head is what lies within an oval around eyes and mouth, of random size and sharpness: a studio's grey wall
        or a rendered background shall tell the encoder nothing.

        Args:
            images: (P, 3, size, size) in [0, 1], in their views.
            view_of: (P,).
            backgrounds: (V, 3, H, W) in 0..255.
            template: where eyes and mouth corners are, as in `LEEDConfig`.
        """
        count = len(backgrounds)
        x, y = (2 * torch.tensor(template) - 1).view(4, 2).T
        eyes, mouth = torch.stack([x[:2].mean(), y[:2].mean()]), torch.stack([x[2:].mean(), y[2:].mean()])
        height = (mouth - eyes).norm()
        centre = eyes + 0.5 * (mouth - eyes)
        widening, softness, shrinking = torch.rand(3, count, 1, 1, generator=generator)
        radius = (1.1 + 0.6 * widening) * height
        places = (torch.arange(self.size) + 0.5) / self.size * 2 - 1
        across = (places - centre[0])[None, None, :] / (1.15 * radius)
        down = (places - centre[1])[None, :, None] / (1.45 * radius)
        outside = ((across.square() + down.square()).sqrt() - 1) / (0.03 + 0.3 * softness)
        outside = (outside.clamp(0, 1) * self.has_background[:, None, None])[:, None].to(images.device)
        moves = Affine(shift=0.4, rotation_deg=180).draw(count, generator) * (0.3 + 0.7 * shrinking)
        behind = view(backgrounds, moves, self.size)
        return torch.lerp(images, behind[view_of], outside[view_of])


def erase(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Grey out one random rectangle in `share` of the images (Zhong et al. 2020, arXiv:1708.04896)."""
    count, _, height, width = images.shape
    draws = torch.rand(5, count, generator=generator)
    h, w = height * (0.15 + 0.3 * draws[0]), width * (0.15 + 0.3 * draws[1])
    top, left = draws[2] * (height - h), draws[3] * (width - w)
    y, x = torch.arange(height)[None, :, None], torch.arange(width)[None, None, :]
    inside = (y >= top[:, None, None]) & (y < (top + h)[:, None, None])
    inside = inside & (x >= left[:, None, None]) & (x < (left + w)[:, None, None])
    inside = inside & (draws[4] < share)[:, None, None]
    return images.masked_fill(inside[:, None].to(images.device), 0.5)
