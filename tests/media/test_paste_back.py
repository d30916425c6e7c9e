import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from placed_faces import TEMPLATE, face_points, noise_photo

from leed_hub.faces import alignment
from leed_hub.media.paste_back import REACH_BELOW, paste_back
from leed_hub.models.leed import warp


@given(st.floats(30, 300), st.floats(-40, 40))
@settings(max_examples=20, deadline=None)
def test_an_edit_that_changes_nothing_returns_every_pixel(scale, turn_deg):
    photo = noise_photo()
    matrix = alignment.crop_matrix(face_points(scale, turn_deg, (120, 100)), TEMPLATE, 64)
    assert np.array_equal(paste_back(photo, matrix, 64, *nothing(64)), photo)


def nothing(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        np.zeros((size // 2, size // 2, 2), np.float32),
        np.zeros((size, size), np.float32),
        np.zeros((size, size, 3), np.float32),
    )


def covered(matrix: np.ndarray, photo: np.ndarray, height: int) -> np.ndarray:
    """The photograph's pixels under a crop of 64 x height, (H, W) bool."""
    crop = np.ones((height, 64), np.float32)
    return cv2.warpAffine(crop, cv2.invertAffineTransform(matrix), photo.shape[1::-1]) > 0


def test_outside_the_crop_nothing_changes_and_the_border_has_no_step():
    photo = noise_photo()
    matrix = alignment.crop_matrix(face_points(120, 15, (120, 100)), TEMPLATE, 64)
    flow, mask, color = nothing(64)
    edited = paste_back(photo, matrix, 64, flow, mask + 1, color + 1)  # paint it all white
    inside = covered(matrix, photo, 64)
    assert np.array_equal(edited[~inside], photo[~inside])
    assert edited[100, 120].min() > 240  # white but for the grain
    change = np.abs(edited.astype(int) - photo).max(axis=2)
    rim = inside & ~cv2.erode(inside.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    assert change[rim].max() <= 30  # of 255, where the middle changes by up to 255


def test_below_the_crop_the_flow_goes_on_and_fades():
    photo = noise_photo()
    matrix = alignment.crop_matrix(face_points(100, 15, (120, 90)), TEMPLATE, 64)
    flow, mask, color = nothing(64)
    edited = paste_back(photo, matrix, 64, flow + 0.1, mask, color)
    beyond = covered(matrix, photo, round(64 * (1 + REACH_BELOW)) + 1)
    assert beyond.sum() < photo[..., 0].size  # the test has something to look at
    assert np.array_equal(edited[~beyond], photo[~beyond])

    # A ramp of brightness from top to bottom tells where each row of the crop's middle was fetched.
    ramp = np.repeat(np.arange(240, dtype=np.uint8)[:, None, None], 240, axis=1).repeat(3, axis=2)
    matrix = alignment.square_matrix(100, 100, 64) + np.array([[0, 0, -44.8], [0, 0, -44.8]])  # 100 px from (70, 70)
    moved = paste_back(ramp, matrix, 64, flow + np.array([0, -0.1], np.float32), mask, color)
    shift = (ramp.astype(int) - moved)[:, 120, 0]
    assert shift[165] == 5 and shift[169] >= 4  # 0.1 of half the side, up to the crop's very border
    assert (np.diff(shift[165:190]) <= 0).all() and shift[186] == 0  # calmer and calmer, and never tearing
    assert np.abs(np.diff(moved[160:190, 120, 0].astype(int)) - 1).max() <= 1


def test_where_the_photograph_ends_with_the_crop_the_flow_does_not_fade():
    ramp = np.arange(100, dtype=np.uint8)[None, :, None].repeat(140, axis=0).repeat(3, axis=2)  # dark to light
    matrix = alignment.square_matrix(100, 140, 64)  # rows 20 to 119, all columns
    flow, mask, color = nothing(64)
    moved = paste_back(ramp, matrix, 64, flow + np.array([0.1, 0], np.float32), mask, color)
    shift = moved.astype(int)[..., 0] - ramp[..., 0]
    assert (shift[40:110, :94] == 5).all()  # 0.1 of half the side, at the left border too
    assert (moved[40:110, 96:] == 99).all()  # beyond the right border there is nothing but its last pixel
    assert (shift[:20] == 0).all() and (np.diff(shift[20:40, 50]) >= 0).all()  # above, the photograph goes on


def test_a_face_that_crosses_the_pictures_border_does_not_jump():
    """A ramp with ever less beside the crop's left border; what the flow does there comes up step by step."""
    flow, mask, color = nothing(64)
    flow += np.array([0.1, 0], np.float32)
    moves = []
    for beyond in np.arange(0, 8, 0.25):  # in photograph pixels of 0.64 crop pixels
        ramp = np.arange(120, dtype=np.uint8)[None, :, None].repeat(100, axis=0).repeat(3, axis=2) * 2
        matrix = alignment.square_matrix(100, 100, 64) - np.array([[0, 0, 0.64 * beyond], [0, 0, 0]])
        moved = paste_back(ramp, matrix, 64, flow, mask, color)
        moves.append(int(moved[50, 8, 0]) - 16)
    assert moves[0] == 10 and moves[-1] == 0  # 0.1 of half the side, which a ramp of 2 a pixel doubles
    assert max(np.abs(np.diff(moves))) <= 2 and (np.diff(moves) <= 0).all()


def test_flow_in_a_turned_large_photo_moves_the_same_face_places_as_in_the_crop():
    """Warping the crop, or setting the flow back and cropping again, is the same picture."""
    photo = cv2.GaussianBlur(noise_photo(600, 600), (0, 0), 8)
    matrix = alignment.crop_matrix(face_points(300, 25, (300, 300)), TEMPLATE, 96)
    flow, mask, color = nothing(96)
    flow += np.array([0.08, -0.05], np.float32)
    crop = alignment.crop_face(photo, matrix, 96)
    warped = warp(alignment.crop_tensor(crop), torch.from_numpy(flow).permute(2, 0, 1)[None])
    edited = alignment.crop_face(paste_back(photo, matrix, 96, flow, mask, color), matrix, 96)
    middle = (slice(16, -16), slice(16, -16))
    difference = edited[middle].astype(int) - alignment.to_bytes(warped[0]).permute(1, 2, 0).numpy()[middle]
    assert np.abs(difference).mean() < 1
    assert np.abs(edited[middle].astype(int) - crop[middle]).mean() > 5


def test_paint_takes_on_the_grain_of_the_photograph():
    random = np.random.default_rng(0)
    smooth = cv2.GaussianBlur(noise_photo(600, 600), (0, 0), 40)[:600, :600].astype(np.float64)
    photo = np.rint(smooth + random.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8)
    matrix = alignment.square_matrix(600, 600, 64)
    flow, mask, color = nothing(64)
    middle = (slice(200, 400), slice(200, 400))
    for field in (mask + 1, mask + 0.5):  # all paint, and half
        painted = paste_back(photo, matrix, 64, flow, field, color)[middle]
        fine = painted - cv2.GaussianBlur(painted.astype(np.float32), (0, 0), 3)
        assert 0.75 < fine.std() / 6 < 1.15


def test_paint_keeps_the_detail_under_it_where_it_has_the_same_colour():
    wrinkles = cv2.GaussianBlur(
        np.random.default_rng(0).normal(0, 60, (600, 600, 3)), (0, 0), 2.5
    )  # coarser than grain
    photo = np.rint(120 + wrinkles).astype(np.uint8)
    matrix = alignment.square_matrix(600, 600, 64)  # a pixel of the crop is 9 of these
    flow, mask, color = nothing(64)
    middle = (slice(200, 400), slice(200, 400))
    kept = []
    for level in (120, 127, 190):
        painted = paste_back(photo, matrix, 64, flow, mask + 1, color + level / 127.5 - 1)[middle]
        kept.append(np.polyfit(wrinkles[middle].ravel(), painted.ravel().astype(float), 1)[0])
    assert kept[0] > 0.6 > kept[1] > 0.3 > kept[2]  # what the crop sees of the wrinkles, paint covers


def test_paint_that_repeats_what_it_covers_changes_nothing():
    """At each pixel, moved or not: so the crop that detail is told from is sampled as the photograph is."""
    photo = cv2.GaussianBlur(noise_photo(600, 600), (0, 0), 10)
    matrix = alignment.square_matrix(600, 600, 64)
    flow, mask, color = nothing(64)
    middle = (slice(150, 450), slice(150, 450))
    for right in (0.0, 3 / 32):  # three pixels of the crop
        flow[..., 0] = right
        moved = paste_back(photo, matrix, 64, flow, mask, color)
        repeated = alignment.to_unit(torch.from_numpy(alignment.crop_face(moved, matrix, 64))).numpy()
        painted = paste_back(photo, matrix, 64, flow, mask + 1, repeated)
        assert np.abs(painted[middle].astype(int) - moved[middle]).max() <= 2


def test_the_grain_of_paint_moves_with_what_it_covers_and_strips_leave_no_trace(monkeypatch):
    photo = np.random.default_rng(0).normal(128, 6, (600, 600, 3)).clip(0, 255).astype(np.uint8)
    matrix = alignment.square_matrix(600, 600, 64)
    flow, mask, color = nothing(64)
    flow[...] = 12 / 300, 0  # fetched from 12 pixels to the right
    painted = paste_back(photo, matrix, 64, flow, mask + 1, color)
    inner = (slice(200, 400), slice(200, 400))
    moved = np.roll(photo, -12, axis=1)
    likeness = np.corrcoef(*(picture[inner].ravel().astype(float) for picture in (painted, moved)))[0, 1]
    assert likeness > 0.8
    monkeypatch.setattr("leed_hub.media.paste_back.STRIP_ROWS", 600)
    whole = paste_back(photo, matrix, 64, flow, mask + 1, color)
    assert np.abs(painted.astype(int) - whole).max() <= 1  # rounding


def test_the_fields_may_be_coarser_than_the_crop():
    photo = cv2.GaussianBlur(noise_photo(300, 300), (0, 0), 4)
    matrix = alignment.crop_matrix(face_points(200, 10, (150, 150)), TEMPLATE, 64)
    fine = paste_back(photo, matrix, 64, *(field + 0.1 for field in nothing(64)))
    flow, mask, color = (field + 0.1 for field in nothing(32))
    coarse = paste_back(photo, matrix, 64, flow, mask, color)
    middle = (slice(120, 180), slice(120, 180))
    assert np.abs(fine[middle].astype(int) - coarse[middle]).max() <= 1


@pytest.mark.parametrize("gain", [(1.0, 1.0, 1.0), (1.0, 0.85, 0.65), (0.8, 0.95, 1.0)])
def test_a_photograph_of_one_tone_is_painted_in_that_tone(gain):
    grey = cv2.GaussianBlur(noise_photo(600, 600), (0, 0), 10).astype(float).mean(axis=2, keepdims=True)
    noise = np.random.default_rng(0).normal(0, 2, (600, 600, 3)) * (gain != (1.0, 1.0, 1.0))  # as JPEG leaves it
    photo = np.rint(grey * gain + noise).clip(0, 255).astype(np.uint8)
    flow, mask, color = nothing(64)
    red = color + np.array([0.6, -0.6, -0.6])
    painted = paste_back(photo, alignment.square_matrix(600, 600, 64), 64, flow, mask + 1, red)[200:400, 200:400]
    level = 127.5 * 0.8  # what red paint has in the mean
    expected = level * 3 * np.array(gain) / sum(gain)
    assert np.abs(painted.mean(axis=(0, 1)) - expected).max() < 4
    assert (painted == painted[..., :1]).all() == (gain == (1.0, 1.0, 1.0))


@pytest.mark.parametrize("side", [600, 64])
def test_a_photograph_in_colour_is_painted_in_colour(side):
    photo = cv2.GaussianBlur(noise_photo(600, 600), (0, 0), 10)[:side, :side]
    flow, mask, color = nothing(64)
    red = color + np.array([0.6, -0.6, -0.6])
    painted = paste_back(photo, alignment.square_matrix(side, side, 64), 64, flow, mask + 1, red)
    middle = painted[side // 3 : -side // 3, side // 3 : -side // 3]
    assert np.abs(middle.mean(axis=(0, 1)) - 127.5 * np.array([1.6, 0.4, 0.4])).max() < 4
