"""A face followed through a webcam's frames."""

import numpy as np
import pytest
from conftest import portrait

from leed_hub import ExpressionEditor, ExpressionRecognizer
from leed_hub.faces.yunet import YuNetDetector
from leed_hub.pipelines.live import LOOK_EVERY, LiveFace, LiveView


def frame(x: int, name: str = "source") -> np.ndarray:
    """640x480 with a face that has moved to the right by x pixels."""
    photo = np.full((480, 640, 3), 90, np.uint8)
    photo[90:390, 100 + x : 400 + x] = np.asarray(portrait(name).resize((300, 300)))
    return photo


@pytest.fixture
def looks(monkeypatch):
    """How often whole frames were searched."""
    counted, search = [], YuNetDetector.__call__
    monkeypatch.setattr(YuNetDetector, "__call__", lambda self, image: counted.append(1) or search(self, image))
    return counted


def test_a_face_that_moves_is_followed_with_few_searches_of_the_whole_frame(looks):
    live, whole = LiveFace(), YuNetDetector()
    places = [live(frame(8 * n), n / 10) for n in range(10)]
    assert len(looks) == 10 // LOOK_EVERY
    for n in (4, 9):
        (found,) = whole(frame(8 * n))
        eye_distance = np.linalg.norm(found.points[1] - found.points[0])
        assert np.abs(places[n].points - found.points).max() < 0.15 * eye_distance
        assert np.abs(np.subtract(places[n].box, found.box)).max() < 0.15 * eye_distance


def test_a_face_that_goes_is_lost_and_one_that_comes_is_found(looks):
    live, nothing = LiveFace(), np.full((480, 640, 3), 90, np.uint8)
    assert live(frame(0), 0.0) is not None
    assert live(nothing, 0.1) is None
    assert live(frame(100), 1.0) is not None
    assert len(looks) == 3


def test_a_live_edit_is_that_of_a_photograph_and_no_face_leaves_the_frame_as_it_is():
    editor = ExpressionEditor.from_pretrained()
    live, smile = LiveView(editor, ExpressionRecognizer.from_pretrained()), editor.expression("smile")
    photo, nothing = frame(0), np.full((480, 640, 3), 90, np.uint8)
    edited = live.edit(photo, 0.0, smile).astype(int)
    assert np.abs(edited - np.asarray(editor(photo, smile).image)).mean() < 0.01 < 0.1 < np.abs(edited - photo).mean()
    assert live.edit(nothing, 0.1, smile) is nothing
    assert live.read(frame(0, "happiness"), 1.0).label == "happiness"
    assert live.read(nothing, 1.1) is None
