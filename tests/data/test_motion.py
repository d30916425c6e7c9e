"""The estimated motion explains the pictures it was estimated from."""

import torch
from torch.nn import functional as F

from leed_hub.data.motion import optical_flow
from leed_hub.models.leed import warp


def texture(size: int = 64) -> torch.Tensor:
    noise = torch.rand(2, 3, size // 4, size // 4, generator=torch.Generator().manual_seed(0))
    return F.interpolate(noise, size=(size, size), mode="bicubic").clamp(0, 1) * 2 - 1


def test_a_known_shift_is_found_in_units_of_half_the_side():
    source = texture()
    target = source.roll((3, -2), dims=(2, 3))  # 3 pixels down, 2 to the left: it comes from above and from the right
    flow = optical_flow(source, target)
    assert flow.shape == (2, 2, 64, 64) and flow.dtype == torch.float32
    inside = flow[:, :, 12:-12, 12:-12] * 32
    assert torch.allclose(inside.mean((2, 3)), torch.tensor([2.0, -3.0]), atol=0.3)
    assert (warp(source, flow) - target).abs().mean() < 0.2 * (source - target).abs().mean()


def test_without_a_change_nothing_moves():
    assert optical_flow(texture(), texture()).abs().max() < 0.02
