"""Labels stay inside the picture and off the faces where there is room."""

import numpy as np
import pytest
from PIL import Image

from leed_hub.pipelines.boxes import COLOR, draw_faces, label_places
from leed_hub.pipelines.recognizer import FacePrediction


def overlap(a, b) -> float:
    sides = [max(0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1)]
    return sides[0] * sides[1]


def label_boxes(boxes, size, picture):
    return [(x, y, x + size[0], y + size[1]) for x, y in label_places(boxes, [size] * len(boxes), picture)]


@pytest.mark.parametrize(
    "boxes",
    [
        [(100, 100, 200, 220)],
        [(0, 0, 100, 120)],  # no room above, nor to the left
        [(300, 200, 400, 300)],  # in the lower right corner
        [(-20, 0, 110, 300)],  # from top to bottom, and cut off
        [(60, 100, 160, 220), (170, 100, 270, 220), (280, 100, 380, 220)],
        [(60, 100, 160, 220), (60, 225, 160, 290), (165, 100, 265, 220)],  # one right below another
    ],
)
def test_labels_lie_inside_and_on_no_face_and_on_no_other_label(boxes):
    labels = label_boxes(boxes, (90, 20), (400, 300))
    for number, label in enumerate(labels):
        assert min(label) >= 0 and label[2] <= 400 and label[3] <= 300
        assert all(overlap(label, box) == 0 for box in boxes)
        assert all(overlap(label, other) == 0 for other in labels[:number])


def test_a_label_is_above_its_face_where_there_is_room():
    assert label_places([(100, 100, 200, 220)], [(90, 20)], (400, 300)) == [(100, 80)]


def test_without_room_a_label_covers_as_little_as_it_can_and_stays_inside():
    ((x0, y0, x1, y1),) = label_boxes([(0, 5, 100, 100)], (60, 20), (100, 100))
    assert (x0, y0, x1, y1) == (0, 0, 60, 20)  # above: 15 of its 20 rows on the face
    assert label_places([(0, 0, 50, 50)], [(120, 20)], (100, 100))[0][0] == 0  # wider than the picture


def prediction(box) -> FacePrediction:
    return FacePrediction("happiness", {"happiness": 0.9, "neutral": 0.1}, box, np.zeros(2), "made-up")


def test_boxes_and_labels_are_drawn_on_a_copy_and_one_may_be_highlighted():
    photo = Image.new("RGB", (640, 480))
    faces = [prediction((100, 100, 250, 250)), prediction((400, 200, 500, 300))]
    plain, thick = draw_faces(photo, faces), draw_faces(photo, faces, highlighted=1)
    assert not np.asarray(photo).any()
    for drawn in (plain, thick):
        assert drawn.getpixel((100, 180)) == COLOR  # a box's edge
        assert (np.asarray(drawn)[60:99, 100:300] == COLOR).all(axis=2).any()  # a label above it
    assert plain.getpixel((404, 250)) == (0, 0, 0) and thick.getpixel((404, 250)) == COLOR
    assert plain.getpixel((104, 180)) == thick.getpixel((104, 180)) == (0, 0, 0)
