"""What looks broken is found and weakened, and an ordinary edit is left alone."""

import torch

from leed_hub.models.leed import LEEDOutput, warp
from leed_hub.pipelines.damage import folded_share, garish_share, looks_broken, softened

SIZE = 32


def picture(count: int = 1) -> torch.Tensor:
    """A smooth face-coloured picture."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, SIZE), torch.linspace(-1, 1, SIZE), indexing="ij")
    base = torch.stack([0.4 + 0.2 * x, 0.1 + 0.2 * y, 0.0 * x])
    return base.expand(count, 3, SIZE, SIZE).clone()


def edit(images: torch.Tensor, flow: torch.Tensor, mask: float = 0.0, color=(0.0, 0.0, 0.0)) -> LEEDOutput:
    masks = torch.zeros(len(images), 1, SIZE, SIZE)
    masks[:, :, 18:28, 8:24] = mask
    colors = torch.tensor(color)[None, :, None, None].expand_as(images)
    edited = torch.lerp(warp(images, flow), colors, masks)
    return LEEDOutput(edited, flow, masks, colors, torch.zeros(len(images), 4))


def smile(count: int = 1) -> torch.Tensor:
    """A smooth flow of a few pixels."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, SIZE), torch.linspace(-1, 1, SIZE), indexing="ij")
    bump = torch.exp(-(x.square() + (y - 0.4).square()) / 0.1)
    return torch.stack([0.15 * bump, -0.1 * bump]).expand(count, 2, SIZE, SIZE).clone()


def torn(count: int = 1) -> torch.Tensor:
    return 0.4 * torch.randn(count, 2, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def test_a_calm_flow_folds_nothing_and_a_torn_one_much():
    assert folded_share(torch.zeros(1, 2, SIZE, SIZE)) == 0 and folded_share(smile()) == 0
    assert folded_share(torn()) > 0.3
    mirrored = torch.zeros(1, 2, SIZE, SIZE)
    mirrored[:, 0] = -2 * torch.linspace(-1, 1, SIZE)  # fetch from the other side
    assert folded_share(mirrored) == 1


def test_teeth_are_not_garish_and_saturated_paint_is():
    images = picture()
    for tone in ((0.7, 0.65, 0.6), (-0.9, -0.95, -0.95), (0.3, -0.2, -0.2)):  # teeth, the dark of a mouth, a tongue
        assert garish_share(images, edit(images, smile(), 1.0, tone)) == 0
    for tone in ((-1.0, 1.0, -1.0), (-1.0, -1.0, 1.0)):
        assert garish_share(images, edit(images, smile(), 1.0, tone)) > 0.05


def test_an_ordinary_edit_is_shown_as_it_is():
    images = picture(2)
    output = edit(images, smile(2), 0.8, (0.7, 0.65, 0.6))
    assert not looks_broken(images, output).any()
    shown, kept = softened(images, output)
    assert shown is output and kept.tolist() == [1.0, 1.0]


def test_a_broken_edit_is_weakened_until_it_is_whole_and_its_neighbour_is_not():
    images = picture(3)
    output = edit(images, torch.cat([smile(), torn(), 0.05 * torn()]), 0.0)
    assert looks_broken(images, output).tolist() == [False, True, True]
    shown, kept = softened(images, output)
    assert not looks_broken(images, shown).any()
    assert kept[0] == 1 and kept[1] < kept[2] < 1
    assert torch.equal(shown.flow[0], output.flow[0])
    assert torch.allclose(shown.edited, torch.lerp(warp(images, shown.flow), shown.color, shown.mask))


def test_what_nothing_mends_stays_the_source():
    images = picture()
    garish = edit(images, torch.full((1, 2, SIZE, SIZE), 0.0) + 50 * torn(), 1.0, (-1.0, 1.0, -1.0))
    shown, kept = softened(images, garish)
    assert kept == 0 and torch.allclose(shown.edited, images, atol=1e-5)
