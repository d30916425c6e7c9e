"""Scenes: the same draws give the same scene, and points and labels say what the picture shows."""

import numpy as np
import pytest
import torch

from leed_hub.data.face_bank import FaceBank, face_bank
from leed_hub.data.scenes import LocatorScenes, textures
from leed_hub.models.face_locator import STRIDE, FaceLocatorConfig, face_frames

CPU = torch.device("cpu")
CONFIG = FaceLocatorConfig()
POINTS = np.array([[70, 80], [130, 80], [100, 115], [75, 145], [125, 145]], np.float32)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def dotted(dots: np.ndarray = POINTS, side: int = 200) -> np.ndarray:
    """A grey picture with a white dot of a few pixels at each point."""
    picture = np.full((side, side, 3), 60, np.uint8)
    y, x = np.mgrid[:side, :side]
    for dot in dots:
        picture[np.hypot(x - dot[0], y - dot[1]) < 5] = 255
    return picture


@pytest.fixture(scope="module")
def scenes() -> LocatorScenes:
    return LocatorScenes(face_bank([(dotted(), POINTS)], repeats=64), CONFIG, texture_count=6)


def test_a_bank_keeps_faces_at_one_scale_and_their_points_on_them():
    large, small = dotted(), dotted()[20:180:2, 20:180:2]
    bank = face_bank([(large, POINTS), (small, (POINTS - 20) / 2)])
    assert bank.images.shape[1:] == (2, 160, 160)
    assert torch.allclose(bank.points[0], bank.points[1], atol=0.02)
    for picture, points in zip(bank.images[:, 0], bank.points, strict=True):
        columns, rows = ((points + 1) * 80 - 0.5).round().int().T
        assert (picture[rows, columns] > 200).all()
    assert bank.images[0, 1, 80, 80] == 255 and bank.images[1, 1].min() == 0  # where the photograph ended


def test_banks_join():
    first, second = face_bank([(dotted(), POINTS)], repeats=3), face_bank([(dotted(), POINTS)], repeats=2)
    both = first + second
    assert isinstance(both, FaceBank) and both.repeats.tolist() == [3, 2]
    assert len(LocatorScenes(both, CONFIG, texture_count=1)) == 5


def test_a_batch_is_a_function_of_its_generator_alone(scenes):
    first, again, other = (scenes.batch(torch.arange(4), generator(seed), CPU) for seed in (1, 1, 2))
    assert all(torch.equal(first[name].nan_to_num(9), again[name].nan_to_num(9)) for name in first)
    assert not torch.equal(first["images"], other["images"])
    assert torch.equal(textures(2, 32, generator()), textures(2, 32, generator()))


def test_a_batch_has_the_shapes_and_ranges_the_networks_ask_for(scenes):
    batch = scenes.batch(torch.arange(8), generator(), CPU)
    assert batch["images"].shape == (8, 1, 80, 80) and batch["crops"].shape == (24, 1, 64, 64)
    assert batch["heat"].shape == batch["side"].shape == (8, 10, 10)
    assert batch["points"].shape == (8, 5, 2, 10, 10) and batch["crop_points"].shape == (24, 5, 2)
    for name in ("images", "crops"):
        assert batch[name].min() >= -1 and batch[name].max() <= 1 and batch[name].std() > 0.1
    assert set(batch["is_face"].nan_to_num(9).tolist()) <= {0.0, 1.0, 9.0}


def test_points_lie_where_the_pasted_face_shows_them(scenes):
    canvas, points, visible = scenes.scenes(torch.zeros(96, dtype=torch.long), generator(3))
    brighter = []
    for picture, face, seen in zip(canvas[:, 0], points[:, 0], visible[:, 0], strict=True):
        if seen < 5:
            continue
        columns, rows = ((face + 1) * 80 - 0.5).round().long().clamp(0, 159).T
        between = ((face[[0, 1]] + face[[3, 4]]) / 2 + 1) * 80 - 0.5  # the cheeks have no dot
        cheeks = picture[between[:, 1].round().long().clamp(0, 159), between[:, 0].round().long().clamp(0, 159)]
        brighter.append((picture[rows, columns].median() > cheeks.median()).item())
    assert len(brighter) > 30
    assert np.mean(brighter) > 0.9  # something may lie before a face


def test_a_face_is_hot_in_its_own_cell_and_crops_of_it_show_its_points(scenes):
    batch = scenes.batch(torch.arange(64), generator(5), CPU)
    scene, row, column = torch.nonzero(batch["heat"] == 1, as_tuple=True)
    assert len(scene) > 30
    middles, axes = face_frames(batch["points"][scene, :, :, row, column])
    cell = torch.stack([column, row], 1) * STRIDE + (STRIDE - 1) / 2
    assert (middles - cell).abs().max() <= STRIDE / 2 + 1e-3
    assert torch.allclose(axes.norm(dim=1), batch["side"][scene, row, column], rtol=1e-3)
    assert (
        axes.norm(dim=1).min() >= CONFIG.smallest_face - 0.01 and axes.norm(dim=1).max() <= CONFIG.largest_face + 0.01
    )
    shown = batch["is_face"] == 1
    assert shown.sum() > 30
    dots = torch.nn.functional.grid_sample(
        batch["crops"][shown], batch["crop_points"][shown][:, None], align_corners=False
    )
    dots = dots[:, 0, 0]
    corners = batch["crops"][shown][:, 0].mean(dim=(1, 2))
    assert (dots.median(dim=1).values > corners).float().mean() > 0.85


def test_some_scenes_have_no_face_and_some_have_two(scenes):
    _, _, visible = scenes.scenes(torch.zeros(96, dtype=torch.long), generator(7))
    faces = (visible > 3).sum(dim=1)
    assert {0, 1, 2} == set(faces.tolist())
