"""Photographs get the landmarks that renders are known by, from a mesh of other points."""

import numpy as np
import pytest
import torch

from leed_hub.data import mesh_landmarks
from leed_hub.data.mesh_landmarks import LandmarkMap, with_mesh_landmarks
from leed_hub.data.pairs import FaceTable
from leed_hub.errors import ConfigError
from leed_hub.faces.face_mesh import FaceMesh
from leed_hub.models.leed import LEEDConfig
from leed_hub.training import recipes
from leed_hub.training.config import EditingData
from leed_hub.training.editing import EditingLosses

COUNT, SIDE = 60, 8


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LEED_HUB_CACHE", str(tmp_path))


class Mesh:
    """468 points of which the mouth opens by a picture's level of grey; no face in a black picture."""

    calls = 0

    def __call__(self, picture: np.ndarray, *, is_crop: bool) -> np.ndarray | None:
        assert is_crop
        type(self).calls += 1
        level = float(picture.mean())
        points = np.random.default_rng(0).uniform(1, SIDE - 1, (468, 3))
        points[:234, 1] += level / 50
        return points if level else None


def table(levels: torch.Tensor, landmarks: torch.Tensor) -> FaceTable:
    count = len(levels)
    unknown = torch.full((count,), -1)
    return FaceTable(
        images=levels.to(torch.uint8)[:, None, None, None].expand(-1, 3, SIDE, SIDE),
        setup=unknown,
        is_neutral=unknown > 0,
        expression=unknown,
        person=unknown,
        landmarks=landmarks,
        repeats=torch.ones(count, dtype=torch.long),
        corpus=torch.zeros(count, dtype=torch.long),
    )


def test_photographs_get_the_renders_points_and_none_where_there_is_no_face(monkeypatch):
    monkeypatch.setattr(mesh_landmarks, "FaceMesh", Mesh)
    levels = torch.linspace(10, 200, COUNT).round()
    opening = torch.stack([torch.zeros(COUNT), levels / 400], 1)[:, None] + torch.tensor([[0.1, 0.0], [-0.1, 0.2]])
    renders = table(levels, opening)
    photographs = table(torch.tensor([0.0, 50.0, 150.0]), torch.full((3, 2, 2), torch.nan))
    found = with_mesh_landmarks(photographs, renders).landmarks
    assert found[0].isnan().all()
    assert (found[2, :, 1] - found[1, :, 1] - 0.25).abs().max() < 0.02  # 100 of 400
    assert (found[1:, :, 0] - torch.tensor([0.1, -0.1])).abs().max() < 0.02
    before = Mesh.calls
    assert torch.equal(with_mesh_landmarks(photographs, renders).landmarks[1:], found[1:]) and Mesh.calls == before


def test_where_and_how_large_the_face_is_does_not_matter():
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(COUNT, 30, 2, generator=generator)
    landmarks = points[:, :5] + 0.5 * points[:, 5:10]
    to_landmarks = LandmarkMap(points, landmarks)
    found, moved = to_landmarks(points), to_landmarks(0.3 * points + torch.tensor([2.0, -1.0]))
    assert (found - landmarks).abs().max() < 0.2
    # What is asked of a moved face is the same face moved: sums of weights need not be one, so compare shapes.
    assert torch.allclose(moved - moved.mean(1, keepdim=True), 0.3 * (found - found.mean(1, keepdim=True)), atol=1e-4)


def test_they_need_renders_to_be_laid_as(monkeypatch):
    monkeypatch.setattr(recipes, "photograph_table", lambda *_, **__: table(torch.ones(2), torch.zeros(2, 68, 2)))
    data = EditingData(corpora=[{"corpus": "london", "split": "train", "landmarks": True}], held_out=[])
    with pytest.raises(ConfigError, match="landmarks of london"):
        recipes.editing_recipe(LEEDConfig(), EditingLosses(), data)


def test_without_a_mesh_one_is_told_what_to_install(tmp_path):
    with pytest.raises(ConfigError, match="pip install --no-deps mediapipe"):
        FaceMesh(tmp_path)
