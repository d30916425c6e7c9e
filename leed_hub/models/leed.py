"""LEED (Wu and Lu, ECCV 2020, arXiv:2007.08971): edit a face's expression to that of a reference face.

The letters follow the paper where it names a thing and our reading where it does not:

    E  encoder               image x            -> point z on the expression manifold
    N  neutral mapping       z                  -> z_n, the neutral point: the identity attribute
       displacement          d = z - z_n        the expression attribute, as this person makes it
    X  extractor             d                  -> e, the expression code, free of the person
    T  transformer           (z_n, e)           -> d', the displacement that `e` makes on this person
    D  decoder               (x_A, z_A, z')     -> edited image, with z' = z_n(A) + strength * T(z_n(A), e(B))
    q  variational posterior q(d | e)           for the mutual expression information loss

Every code is bounded, and so are the flow and the paint: whatever picture comes in, the decoder is asked for nothing
far from what it has learned, and no pixel moves further than `max_flow`.
"""

from dataclasses import dataclass
from typing import Annotated, Literal, Self, cast

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from leed_hub.models.config import MAX_SIDE, FourCounts, FourPositive, Template, checked_config
from leed_hub.models.hub_mixin import HubModel
from leed_hub.models.layers import (
    MLP,
    ConvBlock,
    GaussianHead,
    ModulatedBlock,
    ModulatedResidualBlock,
    ResidualBlock,
    RunningNorm,
)


@checked_config
class LEEDConfig:
    """Architecture of `LEEDModel`; `config.json` holds exactly these fields.

    Attributes:
        image_size: side of the square face crop in pixels, a multiple of 8 * patch.
        patch: pixels a side that one cell of the trunk covers, 2 or 4; 4 sees twice the crop at the price of 2.
        widths: channels at 1, 1/2, 1/4 and 1/8 of the trunk's resolution, which is image_size / patch.
        manifold_dim: numbers in a point z of the expression manifold.
        identity_dim: numbers that the neutral mapping passes on of z. Few, as in e: what a wide code has to spare
            carries the other attribute along, faint but legible.
        expression_dim: numbers in the expression code e.
        expression_limit: how long a code can get, in square roots of `expression_dim`.
        landmarks: how many landmarks of the face a point of the manifold tells.
        max_flow: how far a pixel may be moved, as a share of half the crop's side; no input whatever moves one further.
        depths: residual blocks of the encoder at each of its four scales.
        refinements: residual blocks that the decoder adds at each of its three finer scales.
        flow_cells: cells a side of a coarse flow that is read off the codes alone; 0 for none.
        uses_flow: whether the decoder may move pixels.
        uses_color: whether the decoder may paint (teeth, tongue, folds) under a mask.
        template: where the crop puts the image-left eye, the image-right eye and the image-left and image-right mouth
            corners, as x, y fractions of its side: eight numbers.
        pairs: what the training knew of its pictures: "none", "neutral" or "rendered".
    """

    image_size: Annotated[int, Field(ge=32, le=MAX_SIDE)] = 128
    patch: Literal[2, 4] = 4
    widths: FourPositive = (48, 96, 128, 192)
    manifold_dim: PositiveInt = 256
    identity_dim: PositiveInt = 16
    expression_dim: PositiveInt = 24
    expression_limit: Annotated[float, Field(gt=0)] = 1.0
    landmarks: PositiveInt = 68
    max_flow: Annotated[float, Field(gt=0, le=1)] = 0.4
    depths: FourCounts = (1, 2, 2, 2)
    refinements: Annotated[int, Field(ge=0, le=64)] = 1
    flow_cells: Annotated[int, Field(ge=0, le=64)] = 0
    uses_flow: bool = True
    uses_color: bool = True
    template: Template = (0.36, 0.40, 0.64, 0.40, 0.386, 0.71, 0.614, 0.71)
    pairs: Literal["none", "neutral", "rendered"] = "rendered"

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.image_size % (8 * self.patch):
            raise ValueError(f"image_size must be a multiple of {8 * self.patch}; got {self.image_size}.")
        if not (self.uses_flow or self.uses_color):
            raise ValueError("at least one of uses_flow and uses_color must be true.")
        return self


@dataclass
class FaceEncoding:
    """What the encoder knows of a face.

    Attributes:
        features: (B, widths[i], H / patch / 2^i, W / patch / 2^i), fine to coarse.
        point: z, (B, manifold_dim).
        neutral_point: z_n, (B, manifold_dim).
        expression_code: e, (B, expression_dim).
    """

    features: list[Tensor]
    point: Tensor
    neutral_point: Tensor
    expression_code: Tensor

    @property
    def displacement(self) -> Tensor:
        """d = z - z_n, (B, manifold_dim)."""
        return self.point - self.neutral_point

    def __getitem__(self, indices: Tensor) -> "FaceEncoding":
        """Some of the faces, by their indices (N,)."""
        return FaceEncoding(
            [scale[indices] for scale in self.features],
            self.point[indices],
            self.neutral_point[indices],
            self.expression_code[indices],
        )


@dataclass
class LEEDOutput:
    """An edit and the parts it was put together from.

    Attributes:
        edited: (B, 3, H, W) in [-1, 1].
        flow: (B, 2, H/2, W/2); where each pixel comes from, as an (x, y) offset in units of half the crop's side.
        mask: (B, 1, H, W) in [0, 1]; 1 where the colour is painted, 0 where the warped source stays.
        color: (B, 3, H, W) in [-1, 1]; what no warp can bring.
        target_point: z', (B, manifold_dim).
    """

    edited: Tensor
    flow: Tensor
    mask: Tensor
    color: Tensor
    target_point: Tensor


@dataclass
class LEEDTrainingOutput:
    """All that the losses look at.

    Attributes:
        edit: the E edited sources.
        faces: the encodings of all P pictures.
        posterior: mean and log variance of q(d | e) at each picture's code, (P, manifold_dim) each.
        landmarks: what z of each picture tells of its landmarks, (P, L, 2), x, y in -1..1 over the crop.
        neutral_landmarks: likewise of z_n, (P, L, 2).
        edited_landmarks: likewise of z', (E, L, 2).
    """

    edit: LEEDOutput
    faces: FaceEncoding
    posterior: tuple[Tensor, Tensor]
    landmarks: Tensor
    neutral_landmarks: Tensor
    edited_landmarks: Tensor


SKIN_PAINT = 0.4  # of a mask, where neither mouth nor eyes are
POINT_LIMIT = 3.0  # of each number of a point, in standard deviations over the training's faces
SQUEEZED = 32  # numbers that a cell of the two coarsest scales tells the manifold point


class FaceEncoder(nn.Module):
    """E: (B, 3, H, W) in [-1, 1] -> features at four scales and the manifold point z."""

    def __init__(self, config: LEEDConfig):
        super().__init__()
        self.to_cells = nn.PixelUnshuffle(config.patch)
        entering = (3 * config.patch**2, *config.widths)
        self.stages = nn.ModuleList(
            nn.Sequential(
                ConvBlock(entering[scale], width, stride=2 if scale else 1),
                *(ResidualBlock(width) for _ in range(config.depths[scale])),
            )
            for scale, width in enumerate(config.widths)
        )
        # The crop is aligned, so a cell's place tells which part of the face it sees: keep places apart, do not pool.
        self.squeezes = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, SQUEEZED, 1, bias=False), nn.BatchNorm2d(SQUEEZED), nn.SiLU())
            for width in config.widths[2:]
        )
        numbers = SQUEEZED * sum((config.image_size // (side * config.patch)) ** 2 for side in (4, 8))
        # Centred before the projection, or the features' common strength is 99 % of the manifold's variance. Unit
        # variance a dimension behind it: displacements have a scale, and no loss can win by shrinking the manifold.
        self.to_point = nn.Sequential(
            RunningNorm(numbers), nn.Linear(numbers, config.manifold_dim), RunningNorm(config.manifold_dim)
        )

    def forward(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        features = [self.to_cells(images)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        squeezed = [squeeze(scale).flatten(1) for squeeze, scale in zip(self.squeezes, features[-2:], strict=True)]
        return features[1:], within_limits(self.to_point(torch.cat(squeezed, dim=1)))


def within_limits(points: Tensor) -> Tensor:
    """Points of the manifold, brought back to the border of the cloud that the decoder knows where they lie outside."""
    return points.clamp(-POINT_LIMIT, POINT_LIMIT)


class ExpressionExtractor(nn.Linear):
    """X: d (B, manifold_dim) -> e (B, expression_dim), linear but for its length, which stays below `radius`.

    Linear and without a constant, no displacement is no expression. The bound gives codes one scale: a face unlike all
    that the training saw may have a long displacement, but not a long code.
    """

    def __init__(self, manifold_dim: int, expression_dim: int, limit: float):
        super().__init__(manifold_dim, expression_dim, bias=False)
        self.radius = limit * expression_dim**0.5

    def forward(self, displacement: Tensor) -> Tensor:
        return self.bounded(super().forward(displacement).float())

    def bounded(self, code: Tensor) -> Tensor:
        """A code of any length (B, expression_dim), brought below `radius`; short ones hardly change."""
        return code * (1 + code.square().sum(dim=1, keepdim=True) / self.radius**2).rsqrt()

    def straightened(self, code: Tensor) -> Tensor:
        """The linear map's own answer from a bounded code: the inverse of `bounded`."""
        return code * (1 - code.square().sum(dim=1, keepdim=True) / self.radius**2).clamp(min=1e-3).rsqrt()


class PixelHead(nn.Sequential):
    """(B, C, h, w) -> (B, D, h * factor, w * factor), near zero to begin with: no flow, and a plain grey to paint."""

    def __init__(self, channels_in: int, channels_out: int, factor: int):
        conv = nn.Conv2d(channels_in, channels_out * factor**2, 3, 1, 1)
        super().__init__(conv, nn.PixelShuffle(factor))
        nn.init.normal_(conv.weight, std=1e-3)
        nn.init.zeros_(cast(Tensor, conv.bias))


class FaceDecoder(nn.Module):
    """D: the source's features, z_A and z' -> flow, mask and colour; a U-Net steered by the way from z_A to z'."""

    def __init__(self, config: LEEDConfig):
        super().__init__()
        w0, w1, w2, w3 = config.widths
        condition_dim = config.manifold_dim
        self.condition = MLP(2 * config.manifold_dim, condition_dim, condition_dim)
        self.up3 = ModulatedBlock(w3, w3, condition_dim)
        self.up2 = ModulatedBlock(w3 + w2, w2, condition_dim)
        self.up1 = ModulatedBlock(w2 + w1, w1, condition_dim)
        self.up0 = ModulatedBlock(w1 + w0, w0, condition_dim)
        self.refine = nn.ModuleList(
            nn.ModuleList(ModulatedResidualBlock(width, condition_dim) for _ in range(config.refinements))
            for width in (w2, w1, w0)
        )
        self.max_flow = config.max_flow
        # The crop is aligned, so where a mouth corner goes is known from the codes, long before any feature is.
        self.flow_cells = config.flow_cells
        self.coarse_flow = None
        if config.flow_cells:
            self.coarse_flow = nn.Linear(condition_dim, 2 * config.flow_cells**2)
            nn.init.zeros_(self.coarse_flow.weight)
            nn.init.zeros_(self.coarse_flow.bias)
        self.to_flow = PixelHead(w0, 2, config.patch // 2)
        self.to_paint = PixelHead(w0, 4, config.patch)

    def forward(self, features: list[Tensor], point: Tensor, target_point: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        condition = F.silu(self.condition(torch.cat([point, target_point - point], dim=1)))
        h = self.up3(features[3], condition)
        for up, refine, skip in zip((self.up2, self.up1, self.up0), self.refine, features[2::-1], strict=True):
            h = F.interpolate(h, scale_factor=2.0, mode="nearest")
            h = up(torch.cat([h, skip], dim=1), condition)  # (B, w, 2h, 2w)
            for block in cast(nn.ModuleList, refine):
                h = block(h, condition)
        flow = self.to_flow(h).float()
        if self.coarse_flow is not None:
            cells = self.coarse_flow(condition).float()
            cells = cells.unflatten(1, (2, self.flow_cells, self.flow_cells))
            flow = flow + F.interpolate(cells, flow.shape[-2:], mode="bilinear", align_corners=False)
        # To begin with a tenth of half the side a unit: the size of a strong smile.
        flow = self.max_flow * torch.tanh(flow * (0.1 / self.max_flow))
        paint = self.to_paint(h).float()  # (B, 4, H, W)
        return flow, torch.sigmoid(paint[:, :1] - 2), torch.tanh(paint[:, 1:])  # painting starts rare


def warp(images: Tensor, flow: Tensor) -> Tensor:
    """Fetch each pixel from where `flow` points.

    Args:
        images: (B, C, H, W).
        flow: (B, 2, h, w), (x, y) offsets in units of half the image's side; resized to (H, W) when smaller.
    Returns:
        (B, C, H, W); places outside the image take the nearest border pixel.
    """
    batch, _, height, width = images.shape
    flow = F.interpolate(flow.float(), (height, width), mode="bilinear", align_corners=False)
    y = torch.arange(height, device=flow.device, dtype=flow.dtype).mul(2).add(1).div(height).sub(1)
    x = torch.arange(width, device=flow.device, dtype=flow.dtype).mul(2).add(1).div(width).sub(1)
    grid = torch.stack(torch.broadcast_tensors(x[None, :], y[:, None]), dim=-1)[None] + flow.permute(0, 2, 3, 1)
    return F.grid_sample(images.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)


Fields = tuple[Tensor, Tensor, Tensor]  # flow, mask and colour of an edit, as in `LEEDOutput`


def composed(images: Tensor, flow: Tensor, mask: Tensor, color: Tensor) -> Tensor:
    """The pictures (B, 3, H, W) warped, and painted where the mask says."""
    return (1 - mask) * warp(images, flow) + mask * color


def mixed(first: Fields, second: Fields, flow_share: float | Tensor, paint_share: float | Tensor) -> Fields:
    """Two edits of the same faces in one: shares of the second, of 0..1, or above where a flow goes on."""
    flow = torch.lerp(first[0], second[0], flow_share)
    mask = torch.lerp(first[1], second[1], paint_share)
    paint = torch.lerp(first[1] * first[2], second[1] * second[2], paint_share)
    return flow, mask, paint / mask.clamp(min=1e-6)


def between(images: Tensor, neutral: LEEDOutput, full: LEEDOutput, strength: float) -> LEEDOutput:
    """The edit of the same faces (B, 3, H, W) at any strength, of those at 0 and 1; above 1 only the flow goes on."""
    first, second = ((end.flow, end.mask, end.color) for end in (neutral, full))
    fields = mixed(first, second, strength, min(strength, 1.0))
    target_point = within_limits(torch.lerp(neutral.target_point, full.target_point, strength))
    return LEEDOutput(composed(images, *fields), *fields, target_point)


class LEEDModel(HubModel, pipeline_tag="image-to-image", tags=["facial-expression-editing", "leed"]):
    """The LEED editor: encode both faces, move the source along the manifold, decode.

    Examples:
        >>> model = LEEDModel(LEEDConfig(image_size=64)).eval()
        >>> model.edit(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64)).edited.shape
        torch.Size([1, 3, 64, 64])
    """

    card_template, model_type = "editor.md", "leed"

    def __init__(self, config: LEEDConfig):
        super().__init__()
        self.config = config
        self.encoder = FaceEncoder(config)
        z, e = config.manifold_dim, config.expression_dim
        self.neutral_mapping = nn.Sequential(nn.Linear(z, config.identity_dim), nn.Linear(config.identity_dim, z))
        self.extractor = ExpressionExtractor(z, e, config.expression_limit)
        # What an expression does to everybody, and what it does to this person besides.
        self.transformer_common = nn.Linear(e, z, bias=False)
        self.transformer_personal = MLP(z + e, z, z)
        self.posterior = GaussianHead(e, z, z)
        self.to_landmarks = nn.Linear(z, 2 * config.landmarks)
        self.decoder = FaceDecoder(config)
        with torch.device("cpu"):  # computed on "meta", see `check_room`, it would load torch's compiler
            self.register_buffer("paintable", paint_window(config), persistent=False)

    def encode(self, images: Tensor) -> FaceEncoding:
        """Read faces: (B, 3, H, W) in [-1, 1] -> `FaceEncoding`."""
        features, point = self.encoder(images)
        neutral_point = within_limits(self.neutral_mapping(point))
        return FaceEncoding(features, point, neutral_point, self.extractor(point - neutral_point))

    def transform(self, neutral_point: Tensor, expression_code: Tensor) -> Tensor:
        """T: the displacement (B, manifold_dim) an expression makes on a person; exactly zero for a zero code."""
        with_code = torch.cat([neutral_point, expression_code], dim=1)
        without = torch.cat([neutral_point, torch.zeros_like(expression_code)], dim=1)
        personal = self.transformer_personal(with_code) - self.transformer_personal(without)
        return self.transformer_common(expression_code) + personal

    def decode(
        self, images: Tensor, source: FaceEncoding, expression_code: Tensor, strength: float | Tensor = 1.0
    ) -> LEEDOutput:
        """Give the source faces an expression.

        Training knows two strengths, 0 and 1, and in between the decoder does not move evenly. So a number other than
        those mixes the two edits, flow and paint, for the price of a second pass; above 1 only the flow goes on. A
        tensor goes straight to z' = z_n + strength * T in one pass.

        Args:
            images: (B, 3, H, W) in [-1, 1], the faces `source` was read from.
            source: their encoding.
            expression_code: e of the reference, (B, expression_dim).
            strength: 0 gives the neutral face, 1 the reference's expression, above 1 exaggerates; a number or (B, 1).
        """
        displacement = self.transform(source.neutral_point, expression_code)
        target_point = within_limits(source.neutral_point + strength * displacement)
        if not isinstance(strength, Tensor) and strength not in (0, 1):
            neutral, full = (self.decode(images, source, expression_code, end) for end in (0, 1))
            return between(images, neutral, full, strength)
        flow, mask, color = self._draw(source, target_point)
        return LEEDOutput(composed(images, flow, mask, color), flow, mask, color, target_point)

    def _draw(self, source: FaceEncoding, target_point: Tensor) -> Fields:
        """One pass of the decoder to z' (B, manifold_dim): flow, mask and colour as in `LEEDOutput`, float32."""
        flow, mask, color = self.decoder(source.features, source.point, target_point)
        if not self.config.uses_flow:
            flow = torch.zeros_like(flow)
        if not self.config.uses_color:
            mask = torch.zeros_like(mask)
        return flow.float(), self.paintable * mask.float(), color.float()

    def edit(self, source: Tensor, reference: Tensor, strength: float | Tensor = 1.0) -> LEEDOutput:
        """Give `source` (B, 3, H, W) the expression of `reference` (B, 3, H, W), both in [-1, 1]."""
        return self.decode(source, self.encode(source), self.encode(reference).expression_code, strength)

    def forward(self, images: Tensor, source: Tensor, reference: Tensor, strength: Tensor) -> LEEDTrainingOutput:
        """Read a batch's pictures once each and make its edits: a training step's one way through the network.

        Args:
            images: (P, 3, H, W) in [-1, 1].
            source: (E,), which picture each edit starts from.
            reference: (E,), which picture lends the expression.
            strength: (E, 1), as in `decode`.
        """
        faces = self.encode(images)
        codes = faces.expression_code
        edit = self.decode(images[source], faces[source], codes[reference], strength)
        points = (faces.point, faces.neutral_point, edit.target_point)
        return LEEDTrainingOutput(edit, faces, self.posterior(codes), *map(self.landmarks, points))

    def landmarks(self, points: Tensor) -> Tensor:
        """Where the landmarks of a face at a point (B, manifold_dim) lie: (B, L, 2), x, y in -1..1 over the crop.

        A linear reading, which gives the manifold its geometry: z_n tells where the neutral face's landmarks are, and
        z' where the edit's shall be.
        """
        return self.to_landmarks(points.float()).unflatten(1, (-1, 2))


def paint_window(config: LEEDConfig) -> Tensor:
    """How much may be painted where, (1, 1, H, W): all at mouth and eyes, a part of it on the face, nothing around it.

    Mouths and lids open and close, which no warp can bring; elsewhere there are only folds to draw, and a mask that
    cannot close keeps a face's skin whatever the decoder paints. Photographs of one person differ in hair and
    background too, and a decoder taught by pairs of them would paint there.
    """
    face, openings = face_windows(config)
    return face * openings.clamp(min=SKIN_PAINT)


def face_windows(config: LEEDConfig) -> tuple[Tensor, Tensor]:
    """Where the face is, and where mouth and eyes are, (1, 1, H, W) each: 1 inside, falling to 0 around."""
    points = torch.tensor(config.template).view(4, 2)  # eyes, mouth corners
    eyes, mouth = points[:2].mean(dim=0), points[2:].mean(dim=0)
    height = (mouth - eyes).norm()
    places = (torch.arange(config.image_size) + 0.5) / config.image_size

    def ellipse(centre: Tensor, across: float, down: float) -> Tensor:
        """1 inside, falling to 0 around it; radii in distances from eyes to mouth."""
        x, y = (places - centre[0]) / (across * height), (places - centre[1]) / (down * height)
        return ((1.15 - (x[None, :].square() + y[:, None].square()).sqrt()) / 0.3).clamp(0, 1)[None, None]

    below = torch.stack([torch.zeros(()), height])
    openings = [ellipse(mouth + 0.2 * below, 0.6, 0.62), *(ellipse(eye, 0.36, 0.28) for eye in points[:2])]
    return ellipse(eyes + 0.58 * (mouth - eyes), 1.1, 1.35), torch.stack(openings).amax(dim=0)
