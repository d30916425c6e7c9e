"""The locating task: each term teaches its own network, and what is unclear teaches nothing."""

import pytest
import torch
from gradients import touched

from leed_hub.losses.locating import centre_loss, point_loss, verdict_loss
from leed_hub.models.face_locator import FaceLocatorConfig, FaceLocatorModel
from leed_hub.tasks.locating import LocatingLosses, LocatingTask

CONFIG = FaceLocatorConfig(detector_widths=(4, 4, 8), refiner_widths=(4, 4, 8, 8), hidden_dim=8, crop_size=32)


def batch() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    heat = torch.zeros(2, 4, 4)
    heat[0, 1, 2] = 1
    return {
        "images": torch.rand(2, 1, 32, 32) * 2 - 1,
        "heat": heat,
        "points": torch.rand(2, 5, 2, 4, 4) * 32,
        "side": torch.full((2, 4, 4), 20.0),
        "crops": torch.rand(4, 1, 32, 32) * 2 - 1,
        "is_face": torch.tensor([1.0, 0.0, 1.0, torch.nan]),
        "crop_points": torch.rand(4, 5, 2) - 0.5,
    }


@pytest.mark.parametrize(
    ("term", "network"),
    [("centre", "detector"), ("cell_points", "detector"), ("verdict", "refiner"), ("crop_points", "refiner")],
)
def test_a_term_teaches_its_own_network(term, network):
    torch.manual_seed(0)
    task = LocatingTask(LocatingLosses(), FaceLocatorModel(CONFIG))
    task.generator_losses(batch(), 0)[0][term].backward()
    assert touched(task.model) == {network}


def test_the_loss_is_the_weighted_sum_of_its_terms():
    torch.manual_seed(0)
    task = LocatingTask(LocatingLosses(centre=1, cell_points=2, verdict=3, crop_points=4), FaceLocatorModel(CONFIG))
    terms, critics = task.generator_losses(batch(), 0)
    expected = terms["centre"] + 2 * terms["cell_points"] + 3 * terms["verdict"] + 4 * terms["crop_points"]
    assert terms["loss"].item() == pytest.approx(expected.item(), rel=1e-5) and critics is None


def test_the_centre_loss_follows_its_formula_and_skips_what_is_unclear():
    logits, heat = torch.tensor([[2.0, -1.0, 5.0]]), torch.tensor([[1.0, 0.5, torch.nan]])
    hit, near = torch.sigmoid(logits[0, 0]), torch.sigmoid(logits[0, 1])
    expected = -((1 - hit) ** 2) * hit.log() - 0.5**4 * near**2 * (1 - near).log()
    assert centre_loss(logits, heat).item() == pytest.approx(expected.item(), rel=1e-5)
    assert centre_loss(torch.full((1, 2), -20.0), torch.zeros(1, 2)).item() == pytest.approx(0, abs=1e-6)


def test_the_verdict_skips_what_is_unclear_and_weighs_what_is_known_little():
    undecided = verdict_loss(torch.tensor([0.0, 0.0, 9.0]), torch.tensor([1.0, 0.0, torch.nan]))
    assert undecided.item() == pytest.approx(0.6931, abs=1e-3)  # 4 * 0.5 ** 2 * log 2
    sure, wrong = (verdict_loss(torch.tensor([4.0]), torch.tensor([label])).item() for label in (1.0, 0.0))
    assert sure < 1e-4 and wrong > 10


def test_the_point_loss_is_a_weighted_mean_distance():
    points = torch.zeros(2, 5, 2)
    expected = torch.stack([torch.tensor([3.0, 4.0]).expand(5, 2), torch.tensor([0.0, 9.0]).expand(5, 2)])
    assert point_loss(points, expected, torch.tensor([1.0, 0.0])).item() == pytest.approx(5, abs=1e-3)
    assert point_loss(points, expected, torch.tensor([1.0, 3.0])).item() == pytest.approx(8, abs=1e-3)
    assert point_loss(points, expected, torch.zeros(2)).item() == 0
