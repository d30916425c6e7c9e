import cv2
import numpy as np
import pytest
from face_mesh_stub import REST, landmarks_of

from leed_hub.metrics.face_geometry import mouth_box
from leed_hub.metrics.sharpness import cut_box, face_sharpness


@pytest.fixture
def grain():
    return np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)


def test_blur_lowers_the_sharpness_of_the_region_it_hits_and_of_no_other(grain):
    landmarks = landmarks_of(REST)
    before = face_sharpness(grain, landmarks)
    x0, y0, x1, y1 = (round(value) for value in mouth_box(landmarks))
    blurred = grain.copy()
    blurred[y0:y1, x0:x1] = cv2.GaussianBlur(grain, (0, 0), 2)[y0:y1, x0:x1]
    after = face_sharpness(blurred, landmarks)
    assert after["mouth"] < 0.1 * before["mouth"] and after["eyes"] == before["eyes"]


def test_a_flat_picture_has_none_and_an_equal_one_the_same(grain):
    landmarks = landmarks_of(REST)
    assert face_sharpness(np.full_like(grain, 99), landmarks) == {"mouth": 0.0, "eyes": 0.0}
    assert face_sharpness(grain.copy(), landmarks) == face_sharpness(grain, landmarks)


def test_a_face_beyond_the_picture_is_no_error(grain):
    assert face_sharpness(grain, landmarks_of(REST, middle=(-500, 900))) == {"mouth": 0.0, "eyes": 0.0}


def test_a_box_is_cut_to_the_picture_and_reduced(grain):
    assert cut_box(grain, (-10, -10, 40, 60)).shape == (60, 40, 3)
    assert cut_box(grain, (0, 0, 100, 80), scale=0.5).shape == (40, 50, 3)
