"""The few blocks all our networks are made of: plain convolutions, residual blocks, a modulated block, small MLPs."""

import torch
from torch import Tensor, nn


class ConvBlock(nn.Sequential):
    """3x3 convolution, batch norm, ReLU: (B, C, H, W) -> (B, D, H / stride, W / stride)."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1):
        super().__init__(
            nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        )


class ResidualBlock(nn.Module):
    """The basic block of He et al. 2016 (arXiv:1512.03385); the shape stays (B, C, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        norm = nn.BatchNorm2d(channels)
        self.body = nn.Sequential(
            ConvBlock(channels, channels), nn.Conv2d(channels, channels, 3, 1, 1, bias=False), norm
        )
        nn.init.zeros_(norm.weight)  # each block starts as the identity, which lets short trainings learn fast

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(features + self.body(features))


class ModulatedBlock(nn.Module):
    """A convolution whose normalised output is scaled and shifted, channel by channel, by a condition vector.

    Source: conditional normalisation, as FiLM (Perez et al. 2018, arXiv:1709.07871).
    """

    def __init__(self, channels_in: int, channels_out: int, condition_dim: int):
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels_out)
        self.modulation = nn.Linear(condition_dim, 2 * channels_out)
        nn.init.normal_(self.modulation.weight, std=0.02)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.modulation(condition)[:, :, None, None].chunk(2, dim=1)
        return torch.relu(self.norm(self.conv(features)) * (1 + scale) + shift)


class ModulatedResidualBlock(nn.Module):
    """A residual block whose inner features a condition vector steers; the shape stays (B, C, H, W)."""

    def __init__(self, channels: int, condition_dim: int):
        super().__init__()
        self.inner = ModulatedBlock(channels, channels, condition_dim)
        norm = nn.BatchNorm2d(channels)
        self.outer = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), norm)
        nn.init.zeros_(norm.weight)  # the identity to begin with, so that it can join a trained network

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        return torch.relu(features + self.outer(self.inner(features, condition)))


class RunningNorm(nn.BatchNorm1d):
    """Bring each of D dimensions to zero mean and unit variance by running statistics, in training too.

    A batch's own statistics shift all its codes at random: by 0.18 of a deviation at 32 faces, where an expression
    moves a dimension by 0.3. What learns from such codes learns to do too little. The gradient, though, is that of
    batch normalisation: a common shift or scale of a batch would only be undone by the statistics, some steps later,
    and a network that is let to follow such a gradient runs ahead of them without end.

    Source: batch renormalisation without its limits (Ioffe 2017, arXiv:1702.03275).
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def __init__(self, dim: int):
        super().__init__(dim, affine=False, momentum=0.01)

    def forward(self, codes: Tensor) -> Tensor:
        codes = codes.float()
        if not self.training:
            return (codes - self.running_mean) * (self.running_var + self.eps).rsqrt()
        mean, variance = codes.mean(dim=0), codes.var(dim=0)
        with torch.no_grad():
            self.num_batches_tracked += 1
            share = max(self.momentum, 1 / float(self.num_batches_tracked))  # a plain mean to begin with
            self.running_mean.lerp_(mean, share)
            self.running_var.lerp_(variance, share)
            scale = ((variance + self.eps) / (self.running_var + self.eps)).sqrt()
            shift = (mean - self.running_mean) * (self.running_var + self.eps).rsqrt()
        return (codes - mean) * (variance + self.eps).rsqrt() * scale + shift


class MLP(nn.Sequential):
    """Two linear layers with a SiLU between: (B, D) -> (B, E). Without biases it maps zero to zero.

    Not a ReLU: codes pass several of these one after another, and units that died in training left a decoder of 256
    condition units with 8.
    """

    def __init__(self, dim_in: int, dim_hidden: int, dim_out: int, *, bias: bool = True):
        first, last = nn.Linear(dim_in, dim_hidden, bias=bias), nn.Linear(dim_hidden, dim_out, bias=bias)
        super().__init__(first, nn.SiLU(), last)
        # Variance-keeping weights: torch's default shrinks a signal to a third in each of these two layers, and the
        # expression passes six of them on its way from one face to the other.
        nn.init.kaiming_normal_(first.weight)
        nn.init.normal_(last.weight, std=dim_hidden**-0.5)
        if bias:
            nn.init.zeros_(first.bias)
            nn.init.zeros_(last.bias)


class GaussianHead(nn.Module):
    """A diagonal Gaussian q(y | x): (B, D) -> mean (B, E), log variance (B, E) kept within +-`LIMIT`.

    Its targets have unit scale; a tighter or wider Gaussian than the limit allows only lets likelihoods explode.
    """

    LIMIT = 2.0

    def __init__(self, dim_in: int, dim_hidden: int, dim_out: int):
        super().__init__()
        self.mean = MLP(dim_in, dim_hidden, dim_out)
        self.log_variance = MLP(dim_in, dim_hidden, dim_out)

    def forward(self, given: Tensor) -> tuple[Tensor, Tensor]:
        return self.mean(given), self.LIMIT * torch.tanh(self.log_variance(given) / self.LIMIT)
