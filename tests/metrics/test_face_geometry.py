import numpy as np
import pytest
from face_mesh_stub import REST, landmarks_of, points_of

from leed_hub.metrics.face_geometry import FEATURES, eye_boxes, face_box, face_features, features_of_68, mouth_box


def rotation(yaw_deg, pitch_deg, roll_deg):
    """(3, 3), about the vertical, the horizontal, the line of sight."""
    result = np.eye(3)
    for angle, (i, j) in zip(np.deg2rad([yaw_deg, pitch_deg, roll_deg]), ((0, 2), (1, 2), (0, 1)), strict=True):
        turn = np.eye(3)
        turn[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        result = turn @ result
    return result


def test_the_features_of_a_drawn_mesh_are_those_it_was_drawn_with():
    assert face_features(landmarks_of(REST)) == pytest.approx(REST)


@pytest.mark.parametrize("feature", range(len(FEATURES)))
def test_each_feature_moves_alone(feature):
    moved = REST.copy()
    moved[feature] += 0.1
    assert face_features(landmarks_of(moved)) - face_features(landmarks_of(REST)) == pytest.approx(moved - REST)


def test_features_do_not_depend_on_size_place_and_turn_of_the_head():
    turned = 3.7 * landmarks_of(REST) @ rotation(25, -15, 40).T + (300, -20, 11)
    assert face_features(turned) == pytest.approx(REST)


@pytest.mark.parametrize("feature", range(len(FEATURES)))
def test_the_features_of_68_points_are_those_of_the_mesh_however_the_head_leans(feature):
    moved = REST.copy()
    moved[feature] += 0.1
    assert features_of_68(points_of(moved)) == pytest.approx(moved)
    leaning = 3.7 * points_of(moved) @ rotation(0, 0, 40)[:2, :2].T + (300, -20)
    assert features_of_68(leaning) == pytest.approx(moved)


def test_what_is_no_mesh_is_refused():
    with pytest.raises(ValueError, match="68"):
        features_of_68(np.zeros((68, 3)))
    with pytest.raises(ValueError, match="468"):
        face_features(np.zeros((68, 3)))
    with pytest.raises(ValueError, match="468"):
        face_features(np.zeros((468, 2)))


def test_the_boxes_of_mouth_and_eyes_lie_where_they_are():
    points = landmarks_of(REST, unit=30, middle=(50, 40))
    x0, y0, x1, y1 = mouth_box(points, margin=0)
    assert (x0 + x1) / 2 == pytest.approx(50) and x1 - x0 == pytest.approx(30 * 0.85) and y0 < 40 + 30 < y1 + 2
    right, left = eye_boxes(points)
    assert right[2] < 50 < left[0] and right[1] < 40 < right[3]
    assert face_box(points)[1] == pytest.approx(40 - 0.9 * 30)
