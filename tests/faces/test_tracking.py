"""Which faces are meant, and the same ones over time."""

import numpy as np
import pytest

from leed_hub.errors import ConfigError
from leed_hub.faces.face import Face
from leed_hub.faces.tracking import HOLD_S, FaceTracker, OneEuroFilter, check_face_choice, choose_faces

STEP_S = 1 / 25


def face_at(x: float, y: float = 50.0, side: float = 40.0) -> Face:
    box = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
    points = np.float32([[-10, -10], [10, -10], [0, 0], [-8, 12], [8, 12]]) * side / 40 + np.float32([x, y])
    return Face(box, 0.9, points)


def middles(tracked) -> list[float]:
    return [(one.face.box[0] + one.face.box[2]) / 2 for one in tracked]


@pytest.mark.parametrize("choice", ["smallest", -1, 1.0, True, None, "0"])
def test_other_choices_are_refused(choice):
    with pytest.raises(ConfigError, match="largest"):
        check_face_choice(choice)


def test_a_number_counts_from_the_largest_and_must_be_there():
    faces = [face_at(0, side=40), face_at(100, side=30)]
    assert choose_faces(faces, "largest") == choose_faces(faces, 0) == faces[:1]
    assert choose_faces(faces, "all") == faces
    assert choose_faces(faces, 1) == faces[1:]
    with pytest.raises(ConfigError, match="number 2.*2 faces"):
        choose_faces(faces, 2)


def test_the_filter_halves_noise_at_rest_and_keeps_up_with_motion():
    times = np.arange(300) * STEP_S
    noise = np.random.default_rng(0).normal(0, 0.004, (300, 5, 2))
    at_rest, moving = OneEuroFilter(), OneEuroFilter()
    still = np.array([at_rest(value, t) for value, t in zip(noise, times, strict=True)])
    assert still[50:].std() < 0.6 * noise[50:].std()
    path = np.sin(2 * np.pi * 0.5 * times)[:, None, None] * np.ones((5, 2))  # a side each way, twice a second
    followed = np.array([moving(value, t) for value, t in zip(path, times, strict=True)])
    assert np.abs(followed - path).max() < 0.05


def test_the_filter_does_not_look_ahead():
    values = np.random.default_rng(0).normal(size=(20, 2))
    long, short = OneEuroFilter(), OneEuroFilter()
    whole = [long(value, i * STEP_S) for i, value in enumerate(values)]
    half = [short(value, i * STEP_S) for i, value in enumerate(values[:10])]
    assert np.array_equal(whole[:10], half)


def test_points_are_smoothed_alike_at_every_size():
    noise = np.random.default_rng(0).normal(0, 0.01, (30, 5, 2)).astype(np.float32)
    outcomes = []
    for side in (40.0, 400.0):
        tracker = FaceTracker()
        face = face_at(500, 500, side)
        for i in range(30):
            (one,) = tracker([Face(face.box, 0.9, face.points + side * noise[i])], i * STEP_S)
        outcomes.append((one.face.points - face.points) / side)
    assert np.allclose(*outcomes, atol=1e-4)


def test_the_track_stays_with_its_face_when_another_grows_larger_and_order_changes():
    tracker = FaceTracker("largest")
    for i in range(20):
        mine, other = face_at(50 + i, side=40), face_at(150 - i, side=30 + 2 * i)
        (one,) = tracker(sorted([mine, other], key=lambda face: face.box[0] - face.box[2]), i * STEP_S)
        assert middles([one]) == [50 + i]


def test_a_lost_face_is_held_and_fades_then_goes_and_comes_back_fading_in():
    tracker = FaceTracker()
    assert tracker([face_at(50)], 0.0)[0].presence == 1
    shares = []
    time_s = 0.0
    while tracked := tracker([], time_s := time_s + STEP_S):
        shares.append(tracked[0].presence)
        assert middles(tracked) == [50] and not tracked[0].is_seen
    assert shares == sorted(shares, reverse=True)
    assert time_s == pytest.approx(HOLD_S, abs=1.5 * STEP_S)
    (again,) = tracker([face_at(90)], time_s + STEP_S)
    assert again.is_seen and again.presence == 0
    (later,) = tracker([face_at(90)], time_s + STEP_S + HOLD_S / 2)
    assert later.presence == pytest.approx(0.5)


def test_a_face_far_away_is_not_taken_for_the_lost_one():
    tracker = FaceTracker()
    tracker([face_at(50)], 0.0)
    (one,) = tracker([face_at(200)], STEP_S)
    assert middles([one]) == [50] and not one.is_seen


def test_a_new_scene_starts_anew_at_once():
    tracker = FaceTracker()
    dark, light = np.zeros((60, 80, 3), np.uint8), np.full((60, 80, 3), 200, np.uint8)
    tracker([face_at(50)], 0.0, dark)
    (one,) = tracker([face_at(200)], STEP_S, light)
    assert middles([one]) == [200] and one.presence == 1


def test_all_follows_each_and_takes_in_newcomers():
    tracker = FaceTracker("all")
    assert middles(tracker([face_at(50), face_at(150)], 0.0)) == [50, 150]
    crossed = tracker([face_at(152), face_at(250), face_at(53)], STEP_S)
    assert middles(crossed) == [53, 152, 250]
    assert [one.presence for one in crossed] == [1, 1, 0]
