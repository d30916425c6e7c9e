"""A small face locator of our own: a detector that runs over a picture pyramid, and a refiner that looks at each find.

Both see grey pictures. The detector (all convolutions, one cell per 8x8 pixels) knows faces of one range of sizes, as
the pyramid brings every face into it; its cells say how likely a face is centred there (CenterNet, Zhou et al. 2019,
arXiv:1904.07850) and where the five points are. The refiner sees one upright crop, says whether it shows a face, and
places the points anew, as the last stage of MTCNN does (Zhang et al. 2016, arXiv:1604.02878).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from leed_hub.errors import ConfigError
from leed_hub.models.hub import HubModel
from leed_hub.models.layers import ConvBlock, ResidualBlock

STRIDE = 8  # pixels a side that one cell of the detector covers

# The mean frontal face, as YuNet places its points on the London set, in units of the face's side, which is 2.5 eye
# distances; (0, 0) lies halfway between the eyes' and the mouth corners' middle. Order as `leed_hub.faces.Face.points`.
MEAN_FACE = ((-0.204, -0.210), (0.204, -0.210), (0.0, 0.026), (-0.177, 0.210), (0.177, 0.210))
MEAN_BOX = (-0.446, -0.677, 0.446, 0.527)  # forehead to chin, in the same units
FRAME_POINTS = [0, 1, 3, 4]  # eyes and mouth corners lie in one plane; the nose tip moves with yaw


@dataclass(frozen=True, kw_only=True)
class FaceLocatorConfig:
    """Architecture of `FaceLocatorModel`; `config.json` holds exactly these fields.

    Attributes:
        detector_widths: channels at 1/2, 1/4 and 1/8 of the picture's resolution.
        refiner_widths: channels at 1/2, 1/4, 1/8 and 1/16 of the crop's resolution.
        hidden_dim: width of the refiner's one hidden layer.
        crop_size: side of the refiner's crop in pixels, a multiple of 16.
        crop_scale: side of that crop over the face's side.
        smallest_face, largest_face: face sides in pixels that the detector knows; at least an octave apart, so that
            no face falls between two levels of the pyramid.
        detection_threshold, score_threshold: what a find and the refiner's verdict need to reach, in (0, 1). Trained
            with focal losses, neither is a probability: most true faces score 0.8 to 0.95.
    """

    detector_widths: tuple[int, ...] = (16, 32, 48)
    refiner_widths: tuple[int, ...] = (16, 32, 48, 64)
    hidden_dim: int = 96
    crop_size: int = 64
    crop_scale: float = 1.5
    smallest_face: float = 18.0
    largest_face: float = 52.0
    detection_threshold: float = 0.25
    score_threshold: float = 0.75

    def __post_init__(self):
        for name, count in (("detector_widths", 3), ("refiner_widths", 4)):
            widths = tuple(getattr(self, name))  # JSON gives lists back
            object.__setattr__(self, name, widths)
            if len(widths) != count or min(widths) < 1:
                raise ConfigError(f"{name} must be {count} positive numbers; got {widths}.")
        if self.hidden_dim < 1:
            raise ConfigError(f"hidden_dim must be at least 1; got {self.hidden_dim}.")
        if self.crop_size < 32 or self.crop_size % 16:
            raise ConfigError(f"crop_size must be a multiple of 16, at least 32; got {self.crop_size}.")
        if not 1 <= self.crop_scale <= 3:
            raise ConfigError(f"crop_scale must lie between 1 and 3; got {self.crop_scale}.")
        if not 0 < 2 * self.smallest_face <= self.largest_face:
            raise ConfigError(
                f"largest_face must be at least twice smallest_face; got {self.largest_face} and {self.smallest_face}."
            )
        for name in ("detection_threshold", "score_threshold"):
            if not 0 < getattr(self, name) < 1:
                raise ConfigError(f"{name} must lie between 0 and 1; got {getattr(self, name)}.")


@dataclass
class FaceLocatorOutput:
    """What both networks say.

    Attributes:
        cell_logits: (B, H/8, W/8), is a face centred in this cell?
        cell_points: (B, 5, 2, H/8, W/8), its points as (x, y) in pixels of the picture.
        crop_logits: (N,), does the crop show a face?
        crop_points: (N, 5, 2), its points in units of half the crop's side, (0, 0) being the crop's middle.
    """

    cell_logits: Tensor
    cell_points: Tensor
    crop_logits: Tensor
    crop_points: Tensor


class Detector(nn.Module):
    """(B, 1, H, W) in [-1, 1], sides multiples of 8 -> logits and points of every cell, see `FaceLocatorOutput`."""

    def __init__(self, config: FaceLocatorConfig):
        super().__init__()
        w0, w1, w2 = config.detector_widths
        self.features = nn.Sequential(
            nn.PixelUnshuffle(2),
            ConvBlock(4, w0),
            ConvBlock(w0, w1, stride=2),
            ResidualBlock(w1),
            ConvBlock(w1, w2, stride=2),
            ResidualBlock(w2),
            ResidualBlock(w2),
            ConvBlock(w2, w2),
        )
        self.to_cells = nn.Conv2d(w2, 11, 1)
        nn.init.normal_(self.to_cells.weight, std=1e-2)
        nn.init.zeros_(self.to_cells.bias)
        nn.init.constant_(self.to_cells.bias[:1], -4.0)  # faces are rare: start by saying so
        # Cells tell points relative to a mean face of the middle size, so that all outputs have about unit scale.
        side = (config.smallest_face * config.largest_face) ** 0.5
        self.side = side
        self.register_buffer("mean_points", side * torch.tensor(MEAN_FACE), persistent=False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        cells = self.to_cells(self.features(images)).float()
        rows, columns = cells.shape[2:]
        x = (torch.arange(columns, device=cells.device) + 0.5) * STRIDE - 0.5  # pixel centres are whole numbers
        y = (torch.arange(rows, device=cells.device) + 0.5) * STRIDE - 0.5
        middle = torch.stack(torch.broadcast_tensors(x[None, :], y[:, None]))  # (2, H/8, W/8)
        offsets = self.side * cells[:, 1:].unflatten(1, (5, 2))
        return cells[:, 0], offsets + self.mean_points[..., None, None] + middle


class Refiner(nn.Module):
    """(N, 1, crop_size, crop_size) in [-1, 1] -> logits (N,) and points (N, 5, 2), see `FaceLocatorOutput`."""

    def __init__(self, config: FaceLocatorConfig):
        super().__init__()
        w0, w1, w2, w3 = config.refiner_widths
        self.features = nn.Sequential(
            nn.PixelUnshuffle(2),
            ConvBlock(4, w0),
            ConvBlock(w0, w1, stride=2),
            ResidualBlock(w1),
            ConvBlock(w1, w2, stride=2),
            ResidualBlock(w2),
            ConvBlock(w2, w3, stride=2),
            nn.Flatten(),  # the crop is upright, so places matter: no pooling
            nn.Linear(w3 * (config.crop_size // 16) ** 2, config.hidden_dim),
            nn.ReLU(inplace=True),
        )
        self.to_verdict = nn.Linear(config.hidden_dim, 11)
        nn.init.normal_(self.to_verdict.weight, std=1e-2)
        nn.init.zeros_(self.to_verdict.bias)
        self.register_buffer("mean_points", 2 / config.crop_scale * torch.tensor(MEAN_FACE), persistent=False)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        verdict = self.to_verdict(self.features(crops)).float()
        return verdict[:, 0], verdict[:, 1:].unflatten(1, (5, 2)) + self.mean_points


class FaceLocatorModel(HubModel, pipeline_tag="object-detection", tags=["face-detection", "face-landmarks"]):
    """Finds faces and their five points; `leed_hub.faces.BundledLocator` brings pictures to it.

    Example:
        >>> model = FaceLocatorModel(FaceLocatorConfig()).eval()
        >>> model(torch.zeros(1, 1, 96, 128), torch.zeros(3, 1, 64, 64)).cell_points.shape
        torch.Size([1, 5, 2, 12, 16])
    """

    card_template = "locator.md"

    def __init__(self, config: FaceLocatorConfig):
        super().__init__()
        self.config = config
        self.detector = Detector(config)
        self.refiner = Refiner(config)

    def forward(self, images: Tensor, crops: Tensor) -> FaceLocatorOutput:
        """Both networks at once, for training.

        Args:
            images: (B, 1, H, W) in [-1, 1], sides multiples of 8.
            crops: (N, 1, crop_size, crop_size) in [-1, 1].
        """
        return FaceLocatorOutput(*self.detector(images), *self.refiner(crops))

    def detect(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The finds of one level of the pyramid: cells above the threshold that no neighbour outdoes.

        Args:
            image: (1, 1, H, W) in [-1, 1], sides multiples of 8.
        Returns:
            scores (N,) in 0..1 and points (N, 5, 2) in pixels.
        """
        logits, points = self.detector(image)
        scores = torch.sigmoid(logits)[0]
        highest = F.max_pool2d(scores[None], 3, 1, 1)[0]
        found = (scores == highest) & (scores > self.config.detection_threshold)
        return scores[found], points[0].permute(2, 3, 0, 1)[found]


def face_frames(points: Tensor) -> tuple[Tensor, Tensor]:
    """The similarity that lays `MEAN_FACE` onto faces with least squares over eyes and mouth corners.

    Args:
        points: (N, 5, 2).
    Returns:
        middles (N, 2) and axes (N, 2), both in the units of the points; the axis is the face's side times
        (cos, sin) of its turn, clockwise in a picture whose y points down.
    """
    mean = torch.tensor(MEAN_FACE, device=points.device, dtype=points.dtype)[FRAME_POINTS]
    points = points[:, FRAME_POINTS]
    middles = points.mean(dim=1)  # the mean face's own middle is (0, 0)
    points = points - middles[:, None]
    along = (points * mean).sum(dim=(1, 2))
    across = (points[:, :, 1] * mean[:, 0] - points[:, :, 0] * mean[:, 1]).sum(dim=1)
    return middles, torch.stack([along, across], dim=1) / (mean**2).sum()


def placed(shape: Tensor, middles: Tensor, axes: Tensor) -> Tensor:
    """Shapes (K, 2) or (N, K, 2) in face sides -> (N, K, 2) in the units of middles and axes, see `face_frames`."""
    cos, sin = axes[:, :1], axes[:, 1:]
    x, y = shape[..., 0], shape[..., 1]
    return torch.stack([cos * x - sin * y, sin * x + cos * y], dim=-1) + middles[:, None]
