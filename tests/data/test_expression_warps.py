"""A made-up expression moves what a face moves and nothing else."""

import torch

from leed_hub.data.expression_warps import warp_expressions
from leed_hub.models.leed import LEEDConfig

STEPS = (torch.arange(64) + 0.5) / 64
OWN_PLACES = torch.stack(torch.meshgrid(STEPS, STEPS, indexing="xy"))  # (2, 64, 64), x and y in 0..1


def places(seed: int = 0) -> torch.Tensor:
    """Where each pixel of 200 crops comes from, (200, 2, 64, 64)."""
    crops = OWN_PLACES.expand(200, 2, 64, 64)
    return warp_expressions(crops, LEEDConfig().template, torch.Generator().manual_seed(seed))


def test_mouth_and_brows_move_on_both_sides_and_the_border_stays():
    moved = (places() - OWN_PLACES).norm(dim=1)
    for row, column in ((45, 24), (45, 39), (20, 22), (20, 41)):  # mouth corners, brows
        assert moved[:, row, column].max() > 0.01
    assert moved[:, 0].max() < 0.005 and moved[:, :, 0].max() < 0.005


def test_nothing_folds_over():
    across, down = places()[:, 0].diff(dim=2), places()[:, 1].diff(dim=1)
    assert across.min() > -1e-3 and down.min() > -1e-3


def test_a_grimace_is_a_function_of_its_generator():
    assert torch.equal(places(), places())
    assert not torch.equal(places(), places(seed=1))
