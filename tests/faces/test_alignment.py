import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from placed_faces import TEMPLATE, face_points, noise_photo

from leed_hub.faces import alignment


def test_unit_range_and_bytes_are_each_others_inverse():
    values = torch.arange(256, dtype=torch.uint8)
    assert alignment.to_unit(values)[[0, 255]].tolist() == [-1.0, 1.0]
    assert torch.equal(alignment.to_bytes(alignment.to_unit(values)), values)


@given(st.floats(40, 400), st.floats(-60, 60), st.floats(50, 150), st.floats(50, 150))
@settings(max_examples=30, deadline=None)
def test_crop_matrix_lays_any_turned_and_scaled_face_onto_the_template(scale, turn_deg, x, y):
    points = face_points(scale, turn_deg, (x, y))
    matrix = alignment.crop_matrix(points, TEMPLATE, 128)
    laid = points[[0, 1, 3, 4]] @ matrix[:, :2].T + matrix[:, 2]
    assert np.allclose(laid, np.array(TEMPLATE).reshape(4, 2) * 128 - 0.5, atol=1e-6)


def test_square_matrix_keeps_a_square_picture_as_it_is_and_centres_a_wide_one():
    assert np.allclose(alignment.square_matrix(64, 64, 64), [[1, 0, 0], [0, 1, 0]])
    wide = alignment.square_matrix(100, 60, 30)
    centre = wide @ [49.5, 29.5, 1]
    assert np.allclose(centre, [14.5, 14.5])


@pytest.mark.parametrize("factor", [1, 2, 5])
def test_crop_of_a_finer_photo_averages_its_pixels(factor):
    small = noise_photo(60, 60)
    fine = np.repeat(np.repeat(small, factor, axis=0), factor, axis=1)
    crop = alignment.crop_face(fine, alignment.square_matrix(60 * factor, 60 * factor, 60), 60)
    inside = (slice(2, -2), slice(2, -2))
    assert np.abs(crop[inside].astype(int) - small[inside]).max() <= 1


def test_crop_of_a_checkerboard_finer_than_the_crop_is_flat_grey():
    board = (np.indices((400, 400)).sum(axis=0) % 2 * 255).astype(np.uint8)
    crop = alignment.crop_face(np.dstack([board] * 3), alignment.square_matrix(400, 400, 50), 50)
    assert np.abs(crop.astype(int) - 127).max() <= 2


def test_grey_crops_are_pil_luma():
    crop = noise_photo(16, 16)[:16, :16]
    from PIL import Image

    expected = np.asarray(Image.fromarray(crop).convert("L"))
    grey = alignment.to_bytes(alignment.crop_tensor(crop, channels=1))[0, 0].numpy()
    assert np.abs(grey.astype(int) - expected).max() <= 1


def nothing(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        np.zeros((size // 2, size // 2, 2), np.float32),
        np.zeros((size, size), np.float32),
        np.zeros((size, size, 3), np.float32),
    )
