"""Disentangled expression recognition (Halawa et al. 2020, arXiv:2008.07001).

F    shared layers        image x    -> features f
P_e  expression branch    f          -> h_e, the expression code
P_n  non-expression branch f         -> h_n, made blind to expression by the adversary
C    classifier           h_e        -> logits
V    valence and arousal  h_e        -> two numbers in [-1, 1]; optional, for corpora that annotate them
A    adversary            h_n        -> logits, held against P_n and F (encoder-based adversarial loss)
R    reconstruction       (h_e, h_n) -> image; optional, the paper finds that it hurts (beta1 = 0)
"""

from dataclasses import dataclass
from typing import Annotated, Literal, cast

import torch
from pydantic import Field, PositiveFloat, PositiveInt, Strict, field_validator
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from leed_hub.errors import ConfigError
from leed_hub.models.config import MAX_SIDE, FourPositive, Template, checked_config
from leed_hub.models.hub_mixin import HubModel
from leed_hub.models.labels import BASIC_EXPRESSIONS, EXPRESSIONS
from leed_hub.models.layers import MLP, ConvBlock, ResidualBlock


@checked_config
class ExpressionEncoderConfig:
    """Architecture of `ExpressionEncoderModel`; `config.json` holds exactly these fields.

    Attributes:
        labels: the categories the classifier tells apart, in the order of its logits; a subset of `EXPRESSIONS`.
        backbone: "small" for our own network, or any timm model's name; its weights never come from the network here.
        image_size: side of the square face crop in pixels.
        channels: 1 for grey, 3 for colour; the crop is made grey where the network is.
        widths: channels of the small network's stem, its two shared stages and the expression branch.
        non_expression_width: channels of the non-expression branch.
        code_dim: numbers in h_e and in h_n.
        dropout: share of h_e dropped before the classifier while training.
        reconstructs: whether the optional decoder R exists.
        valence_arousal: whether the optional head V exists.
        temperature: divides the logits before softmax, so that scores say how often they are right.
        template: where the crop puts both eyes and both mouth corners (image left first), x, y fractions of its side.
    """

    labels: Annotated[tuple[str, ...], Strict(False), Field(min_length=2)] = BASIC_EXPRESSIONS
    backbone: str = "small"
    image_size: Annotated[int, Field(ge=16, le=MAX_SIDE, multiple_of=8)] = 48
    channels: Literal[1, 3] = 1
    widths: FourPositive = (32, 48, 96, 192)
    non_expression_width: PositiveInt = 96
    code_dim: PositiveInt = 128
    dropout: Annotated[float, Field(ge=0, le=1)] = 0.2
    reconstructs: bool = False
    valence_arousal: bool = False
    temperature: PositiveFloat = 1.0
    template: Template = (0.315, 0.40, 0.685, 0.40, 0.346, 0.763, 0.654, 0.763)  # FER2013's own framing

    @field_validator("labels")
    @classmethod
    def _check_labels(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(labels)) < len(labels) or set(labels) - set(EXPRESSIONS):
            raise ValueError(f"must be different names of {EXPRESSIONS}")
        return labels


@dataclass
class ExpressionEncoderOutput:
    """What the network says of each face.

    Attributes:
        logits: C(h_e) over the temperature, (B, K); their softmax are the scores.
        expression_code: h_e, (B, code_dim).
        non_expression_code: h_n, (B, code_dim).
        adversary_logits: A(h_n) with h_n held still, (B, K): what the adversary learns from.
        confusion_logits: A(h_n) with A held still, (B, K): what the encoder is made blind by.
        reconstruction: R(h_e, h_n), (B, channels, H, W) in [-1, 1], or None.
        valence_arousal: V(h_e), (B, 2) in [-1, 1], or None.
    """

    logits: Tensor
    expression_code: Tensor
    non_expression_code: Tensor
    adversary_logits: Tensor
    confusion_logits: Tensor
    reconstruction: Tensor | None
    valence_arousal: Tensor | None = None


def standardised(images: Tensor) -> Tensor:
    """Bring each image (B, C, H, W) to zero mean and unit variance: light and contrast are no expression."""
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    centred = images - mean
    deviation = centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    return centred / (deviation + 0.02)  # an empty picture stays empty


class SmallBackbone(nn.Sequential):
    """Shared layers F for small crops: (B, C, H, W) -> (B, widths[2], H/4, W/4)."""

    def __init__(self, channels: int, widths: tuple[int, ...]):
        w0, w1, w2 = widths[:3]
        super().__init__(
            ConvBlock(channels, w0),
            ConvBlock(w0, w1, stride=2),
            ResidualBlock(w1),
            ResidualBlock(w1),
            ConvBlock(w1, w2, stride=2),
            ResidualBlock(w2),
            ResidualBlock(w2),
        )


class Branch(nn.Module):
    """P_e or P_n: shared features (B, C, h, w) -> code (B, code_dim)."""

    def __init__(self, channels_in: int, channels: int, code_dim: int):
        super().__init__()
        self.body = nn.Sequential(
            ConvBlock(channels_in, channels, stride=2), ResidualBlock(channels), ResidualBlock(channels)
        )
        self.to_code = nn.Linear(channels, code_dim)

    def forward(self, features: Tensor) -> Tensor:
        return self.to_code(self.body(features).mean(dim=(2, 3)))


class ReconstructionDecoder(nn.Module):
    """R: both codes -> image (B, channels, H, W) in [-1, 1]."""

    def __init__(self, config: ExpressionEncoderConfig):
        super().__init__()
        self.side = config.image_size // 8
        width = config.widths[2]
        self.start = nn.Linear(2 * config.code_dim, width * self.side**2)
        self.body = nn.Sequential(
            ConvBlock(width, width), ConvBlock(width, width // 2), ConvBlock(width // 2, width // 4)
        )
        self.to_image = nn.Conv2d(width // 4, config.channels, 3, 1, 1)

    def forward(self, codes: Tensor) -> Tensor:
        h = self.start(codes).unflatten(1, (-1, self.side, self.side))
        for block in self.body:
            h = F.interpolate(block(h), scale_factor=2.0, mode="nearest")
        return torch.tanh(self.to_image(h))


class ExpressionEncoderModel(
    HubModel, pipeline_tag="image-classification", tags=["facial-expression-recognition", "disentanglement"]
):
    """Expression recognition with a branch for the expression and a branch for everything else.

    Examples:
        >>> model = ExpressionEncoderModel(ExpressionEncoderConfig()).eval()
        >>> model(torch.zeros(1, 1, 48, 48)).logits.shape
        torch.Size([1, 7])
    """

    card_template, model_type = "recognizer.md", "expression_encoder"

    def __init__(self, config: ExpressionEncoderConfig):
        super().__init__()
        self.config = config
        self.shared: nn.Module
        if config.backbone == "small":
            self.shared, shared_channels = SmallBackbone(config.channels, config.widths), config.widths[2]
        else:
            self.shared = _timm_backbone(config)
            shared_channels = cast(int, self.shared.num_features)
        branch_width, classes = config.widths[3], len(config.labels)
        self.expression_branch = Branch(shared_channels, branch_width, config.code_dim)
        # Unit variance: neither can the branch hide what it knows in small numbers, nor hold nothing at all.
        self.non_expression_branch = nn.Sequential(
            Branch(shared_channels, config.non_expression_width, config.code_dim),
            nn.BatchNorm1d(config.code_dim, affine=False),
        )
        self.classifier = nn.Sequential(nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(config.code_dim, classes))
        self.adversary = MLP(config.code_dim, config.code_dim, classes)
        self.reconstruction = ReconstructionDecoder(config) if config.reconstructs else None
        self.affect = nn.Sequential(nn.Linear(config.code_dim, 2), nn.Tanh()) if config.valence_arousal else None

    def recognize(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Only what reading needs: (B, C, H, W) in [-1, 1] -> logits (B, K), expression code h_e (B, code_dim)."""
        expression_code = self.expression_branch(self.shared(standardised(images)))
        return self.classifier(expression_code) / self.config.temperature, expression_code

    def forward(self, images: Tensor) -> ExpressionEncoderOutput:
        """All parts: (B, C, H, W) in [-1, 1] -> `ExpressionEncoderOutput`."""
        features = self.shared(standardised(images))
        h_e, h_n = self.expression_branch(features), self.non_expression_branch(features)
        reconstruction = self.reconstruction(torch.cat([h_e, h_n], dim=1)) if self.reconstruction else None
        return ExpressionEncoderOutput(
            logits=self.classifier(h_e) / self.config.temperature,
            expression_code=h_e,
            non_expression_code=h_n,
            adversary_logits=self.adversary(h_n.detach()),
            confusion_logits=functional_call(
                self.adversary, {name: value.detach() for name, value in self.adversary.named_parameters()}, (h_n,)
            ),
            reconstruction=reconstruction,
            valence_arousal=self.affect(h_e) if self.affect else None,
        )


def load_backbone_weights(model: ExpressionEncoderModel, **timm_options) -> None:
    """Start the shared layers from timm's pretrained weights (downloaded from the Hub on first use).

    Raises:
        ConfigError: if the model's backbone is our small network, which has none.
    """
    config = model.config
    if config.backbone == "small":
        raise ConfigError("backbone 'small' has no pretrained weights; name a timm model instead.")
    model.shared.load_state_dict(_timm_backbone(config, pretrained=True, **timm_options).state_dict())


def _timm_backbone(config: ExpressionEncoderConfig, *, pretrained: bool = False, **options) -> nn.Module:
    """Only `load_backbone_weights` asks for pretrained weights: a load must not download."""
    import timm  # here, for it takes seconds and the small network does without

    options |= {"in_chans": config.channels, "num_classes": 0, "global_pool": ""}
    return timm.create_model(config.backbone, pretrained=pretrained, **options)
