"""The networks that judge the editor while it learns and are thrown away afterwards."""

from torch import Tensor, nn
from torch.nn.utils import parametrizations

from leed_hub.models.layers import ConvBlock


class PatchDiscriminator(nn.Module):
    """Real or edited? (B, 3, H, W) in [-1, 1] -> one logit a patch, (B, 1, H/16, W/16).

    Source: patches after Isola et al. 2017 (arXiv:1611.07004), spectral norm after Miyato et al. 2018
    (arXiv:1802.05957).
    """

    def __init__(self, width: int = 32):
        super().__init__()
        layers: list[nn.Module] = [nn.PixelUnshuffle(2)]
        channels = 12
        for out in (width, 2 * width, 4 * width):
            layers += [parametrizations.spectral_norm(nn.Conv2d(channels, out, 4, 2, 1)), nn.LeakyReLU(0.2)]
            channels = out
        layers.append(nn.Conv2d(channels, 1, 3, 1, 1))
        self.body = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        return self.body(images)


class SiameseEmbedding(nn.Module):
    """S: face -> a unit vector that says which expression it shows, (B, 3, H, W) in [-1, 1] -> (B, D).

    It learns from pairs that share an expression by construction, never from labels.
    """

    def __init__(self, image_size: int, width: int = 24, dim: int = 64):
        super().__init__()
        self.body = nn.Sequential(
            nn.PixelUnshuffle(4),
            ConvBlock(48, 2 * width),
            ConvBlock(2 * width, 4 * width, stride=2),
            ConvBlock(4 * width, 4 * width, stride=2),
            nn.Flatten(),
            nn.Linear(4 * width * (image_size // 16) ** 2, dim),
        )

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.normalize(self.body(images).float(), dim=1)


class EditingDiscriminators(nn.Module):
    """The two judges of an edit: realism, and likeness of expression."""

    def __init__(self, image_size: int):
        super().__init__()
        self.discriminator = PatchDiscriminator()
        self.siamese = SiameseEmbedding(image_size)

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """The answers of some judges, by name; all of a step go through one call, as distributed training asks."""
        return {name: getattr(self, name)(value) for name, value in inputs.items()}
