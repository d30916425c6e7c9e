"""The locator's networks: shapes, configs that cannot be, and the geometry between points and frames."""

import dataclasses
import json

import pytest
import torch

from leed_hub.errors import ConfigError, ModelLoadError
from leed_hub.models.face_locator import MEAN_FACE, FaceLocatorConfig, FaceLocatorModel, face_frames, placed

TINY = FaceLocatorConfig(detector_widths=(4, 4, 8), refiner_widths=(4, 4, 8, 8), hidden_dim=8, crop_size=32)


def model(config: FaceLocatorConfig = TINY) -> FaceLocatorModel:
    torch.manual_seed(0)
    return FaceLocatorModel(config).eval()


def test_cells_are_eight_pixels_and_crops_give_five_points():
    output = model()(torch.zeros(2, 1, 64, 96), torch.zeros(3, 1, 32, 32))
    assert output.cell_logits.shape == (2, 8, 12)
    assert output.cell_points.shape == (2, 5, 2, 8, 12)
    assert output.crop_logits.shape == (3,)
    assert output.crop_points.shape == (3, 5, 2)


def test_an_untrained_cell_places_a_mean_face_around_its_own_middle():
    points = model()(torch.zeros(1, 1, 64, 96), torch.zeros(1, 1, 32, 32)).cell_points
    middles, axes = face_frames(points[0].permute(2, 3, 0, 1).reshape(-1, 5, 2))
    middles = middles.view(8, 12, 2)
    assert torch.allclose(middles[3, 5], torch.tensor([43.5, 27.5]), atol=4)  # cell (3, 5) begins at x 40, y 24
    assert torch.allclose(middles[:, 1:, 0] - middles[:, :-1, 0], torch.full((8, 11), 8.0), atol=4)
    assert ((axes.norm(dim=1) > TINY.smallest_face) & (axes.norm(dim=1) < TINY.largest_face)).all()


def test_finds_are_peaks_above_the_threshold():
    network = model(dataclasses.replace(TINY, detection_threshold=0.5))
    logits = torch.full((1, 4, 5), -9.0)
    logits[0, 1, 1], logits[0, 1, 2], logits[0, 3, 4] = 2.0, 1.0, 0.1  # a peak, its neighbour, another peak
    points = torch.arange(4 * 5.0).view(1, 1, 1, 4, 5).expand(1, 5, 2, 4, 5)
    network.detector.forward = lambda image: (logits, points)
    scores, found = network.detect(torch.zeros(1, 1, 32, 40))
    assert torch.allclose(scores, torch.sigmoid(torch.tensor([2.0, 0.1])))
    assert found[:, 0, 0].tolist() == [6.0, 19.0]


def test_a_frame_is_that_of_the_points_it_was_made_from():
    middles, axes = torch.tensor([[3.0, 4.0], [-1.0, 0.0]]), torch.tensor([[20.0, 10.0], [0.0, -2.0]])
    points = placed(torch.tensor(MEAN_FACE), middles, axes)
    found_middles, found_axes = face_frames(points)
    assert torch.allclose(found_middles, middles, atol=1e-5) and torch.allclose(found_axes, axes, atol=1e-5)
    eyes = points[0, 1] - points[0, 0]
    assert eyes[1] / eyes[0] == pytest.approx(0.5, abs=1e-5)  # y points down: the axis (20, 10) turns clockwise


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("detector_widths", (8, 8)),
        ("refiner_widths", (8, 8, 8, 0)),
        ("hidden_dim", 0),
        ("crop_size", 40),
        ("crop_scale", 0.5),
        ("largest_face", 30.0),
        ("detection_threshold", 1.0),
        ("score_threshold", 0.0),
    ],
)
def test_a_config_that_cannot_be_is_refused_by_name(field, value):
    with pytest.raises(ConfigError, match=field):
        dataclasses.replace(TINY, **{field: value})


def test_a_saved_locator_comes_back_the_same_and_a_misspelt_config_is_named(tmp_path):
    network = model()
    network.save_pretrained(tmp_path)
    loaded = FaceLocatorModel.from_pretrained(tmp_path)
    assert loaded.config == TINY
    images, crops = torch.rand(1, 1, 64, 64), torch.rand(2, 1, 32, 32)
    with torch.inference_mode():
        before, after = network(images, crops), loaded(images, crops)
    assert all(torch.equal(getattr(before, name), value) for name, value in vars(after).items())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"crop_sizes": 64}))
    with pytest.raises(ModelLoadError, match="crop_size"):
        FaceLocatorModel.from_pretrained(tmp_path)
