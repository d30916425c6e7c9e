"""Locators on real photographs, against hand-placed points and against themselves; and the ways to get no detector."""

import importlib
import threading
import warnings

import cv2
import numpy as np
import pytest
from PIL import Image

import leed_hub.faces.yunet
from leed_hub.errors import ConfigError, HubError, ModelLoadError
from leed_hub.faces.detectors import DETECTORS, build_detector
from leed_hub.faces.face import Face
from leed_hub.faces.face_alignment import FaceAlignmentDetector, five_points
from leed_hub.faces.yunet import MODEL, YuNetDetector

PUPILS, MOUTH_CORNERS = (0, 1), (87, 93)  # rows of the London set's 189-point templates
PEOPLE = ("001", "013", "037", "064", "105", "123")


@pytest.fixture(scope="session")
def locate():
    return YuNetDetector()


@pytest.fixture(scope="session")
def photographs(shared):
    """(image, hand-placed template) of a few people."""
    pairs = []
    for path in sorted((shared / "corpora" / "london" / "neutral_front").glob("*.jpg")):
        if path.name[:3] in PEOPLE:
            lines = path.with_suffix(".tem").read_text().splitlines()
            template = np.array([line.split() for line in lines[1 : 1 + int(lines[0])]], dtype=float)
            pairs.append((np.asarray(Image.open(path).convert("RGB")), template))
    assert len(pairs) == len(PEOPLE)
    return pairs


def resized(image, width, height):
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))


def eye_distance(points):
    return np.linalg.norm(points[1] - points[0])


def furthest(points, expected):
    """Largest distance between matching points, in per cent of the eye distance."""
    return 100 * np.linalg.norm(points - expected, axis=1).max() / eye_distance(expected)


@pytest.mark.parametrize("side", [64, 192, 512, 1500])
def test_yunet_agrees_with_points_placed_by_hand(locate, photographs, side):
    errors = []
    for image, template in photographs:
        (face,) = locate(resized(image, side, side))
        placed = (template[[*PUPILS, *MOUTH_CORNERS]] + 0.5) * side / 512 - 0.5
        error = np.linalg.norm(face.points[[0, 1, 3, 4]] - placed, axis=1) / eye_distance(placed)
        errors.append(error)
        assert face.points.dtype == np.float32 and face.score > 0.7
        x0, y0, x1, y1 = face.box
        assert (face.points > (x0, y0)).all() and (face.points < (x1, y1)).all()
    # 80 photographs gave 0.04 for eyes and 0.07 for mouth corners on average, 0.10 and 0.17 at worst.
    assert np.mean(errors) < 0.09
    assert np.max(errors) < 0.20


def test_left_is_the_left_of_the_image_and_the_nose_lies_between(locate, photographs):
    for image, _ in photographs:
        left_eye, right_eye, nose, left_mouth, right_mouth = locate(image)[0].points
        assert left_eye[0] < nose[0] < right_eye[0] and left_mouth[0] < right_mouth[0]
        assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


def test_a_mirrored_picture_gives_mirrored_points(locate, photographs):
    for image, _ in photographs:
        expected = locate(image)[0].points * (-1, 1) + (image.shape[1] - 1, 0)
        mirrored = locate(np.ascontiguousarray(image[:, ::-1]))[0].points
        assert furthest(mirrored, expected[[1, 0, 2, 4, 3]]) < 8


@pytest.mark.parametrize("tilt", [-55, -25, 40])
def test_a_tilted_picture_gives_tilted_points(locate, photographs, tilt):
    for image, _ in photographs:
        height, width = image.shape[:2]
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), tilt, 0.9)
        tilted = cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
        expected = cv2.transform(locate(image)[0].points[None], turn)[0]
        assert furthest(locate(tilted)[0].points, expected) < 20


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_picture_on_its_side_or_upside_down_gives_the_points_of_the_upright_one(locate, photographs, quarters):
    for image, _ in photographs[:3]:
        image = image[:, 30:]  # a width of its own, lest it be taken for the height
        (upright,) = locate(image)
        (face,) = locate(np.rot90(image, quarters))
        points, box = upright.points, np.reshape(upright.box, (2, 2))
        for width in (image.shape[1], image.shape[0], image.shape[1])[:quarters]:
            points, box = (np.stack([xy[:, 1], width - 1 - xy[:, 0]], axis=1) for xy in (points, box))
        assert np.abs(face.points - points).max() < 1e-3
        assert np.abs(np.reshape(face.box, (2, 2)) - np.sort(box, axis=0)).max() < 1e-3


@pytest.mark.parametrize("tilt", [75, 120, -150])
def test_a_head_that_lies_askew_is_found_with_points_in_its_own_frame(locate, photographs, tilt):
    for image, _ in photographs[:3]:
        turn = cv2.getRotationMatrix2D((256, 256), tilt, 0.9)
        tilted = cv2.warpAffine(image, turn, (512, 512), borderMode=cv2.BORDER_REPLICATE)
        expected = cv2.transform(locate(image)[0].points[None], turn)[0]
        assert furthest(locate(tilted)[0].points, expected) < 30  # with upright points: more than 100


def numbered(numbers):
    """(5, 7, 3) uint8 that holds 1 to 5 at these flat places, one for each of a face's points, and 0 elsewhere."""
    picture = np.zeros(35, np.uint8)
    picture[list(numbers)] = range(1, 6)
    return np.repeat(picture.reshape(5, 7, 1), 3, axis=2)


class Look:
    """Finds the five points of a `numbered` picture, from the n-th side with the n-th score; no face with None."""

    def __init__(self, *scores):
        self.scores = iter(scores)
        self.looks = 0

    def __call__(self, image):
        self.looks += 1
        score = next(self.scores)
        if score is None:
            return []
        points = np.array([np.argwhere(image[:, :, 0] == number)[0][::-1] for number in range(1, 6)], np.float32)
        # Twice the same points, the larger box last.
        boxes = [(*(points.min(0) - margin).tolist(), *(points.max(0) + margin).tolist()) for margin in (0.5, 1.5)]
        return [(Face(box, score, points), score) for box in boxes]


@pytest.mark.parametrize(
    ("scores", "looks", "taken"),
    [
        ((0.95,), 1, 0.95),
        ((0.7, 0.6, None, 0.65), 4, 0.7),  # unsure, but better than from the other sides
        ((0.0, None, None, None), 4, 0.0),  # found by the detector and in no crop: as it was
        ((0.7, 0.85, 0.92, 0.88), 4, 0.92),
        ((None, 0.85, None, 0.83), 4, 0.85),
        ((None, 0.79, 0.5, None), 4, None),  # more looks, but no more faces where none is
        ((0.6, 0.79, None, None), 4, 0.6),
        ((None, None, None, None), 4, None),
    ],
)
def test_a_picture_is_turned_unless_a_face_is_surely_upright_and_the_highest_score_wins(scores, looks, taken):
    look = Look(*scores)
    faces = leed_hub.faces.yunet._at_any_roll(look, numbered([1, 5, 10, 22, 34]), 0.8)
    assert look.looks == looks
    assert [face.score for face in faces] == ([] if taken is None else [taken] * 2)


def test_a_face_found_lying_is_looked_at_from_the_side_where_it_stands():
    look = Look(0.95, 0.93, 0.96, 0.91)
    faces = leed_hub.faces.yunet._at_any_roll(look, numbered([6, 34, 17, 1, 29]), 0.8)
    assert look.looks == 4 and faces[0].score == 0.96


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_faces_of_a_turned_picture_come_back_to_the_very_pixels(quarters):
    picture = numbered([1, 5, 17, 22, 34])
    scores = [0.1] * 4
    scores[quarters] = 0.85
    faces = leed_hub.faces.yunet._at_any_roll(Look(*scores), picture, 0.8)
    for face in faces:
        assert face.points.tolist() == [[1, 0], [5, 0], [3, 2], [1, 3], [6, 4]] and face.points.dtype == np.float32
    assert [face.box for face in faces] == [(-0.5, -1.5, 7.5, 5.5), (0.5, -0.5, 6.5, 4.5)]  # largest first


def test_a_shifted_picture_gives_shifted_points(locate, photographs):
    for image, _ in photographs:
        plain = locate(image)[0].points
        canvas = np.full((700, 800, 3), 127, np.uint8)
        canvas[150:662, 240:752] = image
        assert furthest(locate(canvas)[0].points, plain + (240, 150)) < 12


@pytest.mark.parametrize("side", [48, 96, 700, 2000])
def test_a_resized_picture_gives_resized_points(locate, photographs, side):
    for image, _ in photographs:
        expected = (locate(image)[0].points + 0.5) * side / 512 - 0.5
        assert furthest(locate(resized(image, side, side))[0].points, expected) < 12


def test_a_stretched_picture_is_measured_in_its_own_pixels(locate, photographs):
    for image, _ in photographs[:2]:
        expected = (locate(image)[0].points + 0.5) * (1.2, 1.0) - 0.5
        assert furthest(locate(resized(image, 614, 512))[0].points, expected) < 15


@pytest.mark.parametrize("side", [48, 128, 512, 900])
def test_a_face_that_fills_the_picture_is_found(locate, photographs, side):
    for image, template in photographs:
        middle = template[[*PUPILS, *MOUTH_CORNERS]].mean(axis=0)
        x, y = (middle - 95).astype(int)
        crop = resized(image[y : y + 190, x : x + 190], side, side)
        placed = (template[[*PUPILS, *MOUTH_CORNERS]] - (x, y) + 0.5) * side / 190 - 0.5
        assert furthest(locate(crop)[0].points[[0, 1, 3, 4]], placed) < 25


def test_a_small_face_in_a_huge_picture_is_found_exactly(locate, photographs):
    image, template = photographs[0]
    canvas = np.full((3000, 4000, 3), 90, np.uint8)
    canvas[2000:2400, 3000:3400] = resized(image, 400, 400)
    placed = (template[[*PUPILS, *MOUTH_CORNERS]] + 0.5) * 400 / 512 - 0.5 + (3000, 2000)
    assert furthest(locate(canvas)[0].points[[0, 1, 3, 4]], placed) < 20


def test_several_faces_come_largest_first(locate, photographs):
    canvas = np.full((520, 1200, 3), 127, np.uint8)
    for (image, _), side, x in zip(photographs, (200, 500, 320), (0, 210, 780), strict=False):
        canvas[:side, x : x + side] = resized(image, side, side)
    faces = locate(canvas)
    assert [int(face.points[2, 0]) // 100 for face in faces] in ([4, 9, 1], [4, 9, 0])
    widths = [face.box[2] - face.box[0] for face in faces]
    assert widths == sorted(widths, reverse=True)


def test_renders_and_their_known_landmarks_agree(locate, shared):
    parquet = pytest.importorskip("pyarrow.parquet")
    folder = shared / "corpora" / "rendered_faces" / "pairs_validation"
    columns = parquet.read_table(folder / "pairs.parquet", columns=["target_file", "target_landmarks68"]).to_pylist()
    errors = []
    for row in columns[::15]:
        known = five_points(np.array(row["target_landmarks68"], dtype=float).reshape(68, 2))
        (face,) = locate(np.asarray(Image.open(folder / row["target_file"]).convert("RGB")))
        errors.append(np.linalg.norm(face.points - known, axis=1) / eye_distance(known))
    # YuNet's nose tip lies lower than landmark 30 by a ninth of the eye distance.
    assert (np.mean(errors, axis=0) < [0.10, 0.10, 0.18, 0.13, 0.13]).all()


def test_no_face_gives_an_empty_list(locate):
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    for image in (noise, np.zeros_like(noise), np.full_like(noise, 255), noise[:8, :8], noise[:8]):
        assert locate(image) == []
    assert locate(np.zeros((3000, 8, 3), np.uint8)) == []


def test_the_same_picture_gives_the_same_faces_from_many_threads(locate, photographs):
    expected = {side: locate(resized(photographs[0][0], side, side))[0].points for side in (64, 200, 512)}
    wrong = []

    def work(side):
        for _ in range(3):
            if not np.array_equal(locate(resized(photographs[0][0], side, side))[0].points, expected[side]):
                wrong.append(side)

    threads = [threading.Thread(target=work, args=(side,)) for side in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_picture_of_the_wrong_kind_is_refused(locate):
    for image in (np.zeros((64, 64), np.uint8), np.zeros((64, 64, 4), np.uint8), np.zeros((64, 64, 3), np.float32)):
        with pytest.raises(ValueError, match="RGB uint8"):
            locate(image)


# Getting a detector


def test_a_model_file_that_is_absent_or_broken_is_named(tmp_path):
    with pytest.raises(ModelLoadError, match=r"nowhere\.onnx cannot be read: No such file"):
        YuNetDetector(tmp_path / "nowhere.onnx")
    for content in (b"", b"<html>sign in</html>", MODEL.read_bytes()[:100_000]):
        (tmp_path / "yunet.onnx").write_bytes(content)
        with pytest.raises(ModelLoadError, match=rf"yunet\.onnx \({len(content)} bytes\) is broken"):
            YuNetDetector(tmp_path / "yunet.onnx")
    with pytest.raises(ConfigError, match="score_threshold"):
        YuNetDetector(score_threshold=1.5)


def test_detectors_are_built_once():
    assert isinstance(build_detector("yunet"), YuNetDetector)
    assert build_detector("yunet") is build_detector("yunet")
    assert build_detector("face-alignment") is build_detector("face-alignment")  # builds no network yet
    assert build_detector("none") is None
    assert [build_detector(name).name for name in DETECTORS if name != "none"] == ["yunet", "face-alignment"]


def test_an_unknown_detector_names_the_choices():
    with pytest.raises(ConfigError, match="yunet, face-alignment, none; got 'mtcnn'"):
        build_detector("mtcnn")


@pytest.mark.parametrize("name", ["auto", "leed"])
def test_former_names_still_work_and_say_so(name):
    with pytest.warns(DeprecationWarning, match=f'now called "yunet", not {name!r}'):
        assert build_detector(name) is build_detector("yunet")


# face-alignment


def test_five_points_are_the_eye_means_nose_tip_and_mouth_corners():
    landmarks = np.arange(136, dtype=float).reshape(68, 2)  # point i is (2i, 2i + 1)
    assert five_points(landmarks).tolist() == [[77, 78], [89, 90], [60, 61], [96, 97], [108, 109]]


def test_face_alignment_without_network_says_where_its_weights_go(tmp_path, monkeypatch):
    pytest.importorskip("face_alignment")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens on the discard port
    detector = FaceAlignmentDetector()
    with pytest.raises(HubError, match=r"2DFAN4-11f355bf06\.pth\.tar from https.*TORCH_HOME"):
        detector(np.zeros((64, 64, 3), np.uint8))
    page = tmp_path / "hub" / "checkpoints" / "2DFAN4-11f355bf06.pth.tar"
    page.write_bytes(b"<html>down for maintenance</html>")
    with pytest.raises(ModelLoadError, match="weight file is broken"):
        detector(np.zeros((64, 64, 3), np.uint8))


def test_face_alignment_gives_our_faces_from_its_networks(tmp_path, monkeypatch, photographs):
    torch = pytest.importorskip("torch")
    models = pytest.importorskip("face_alignment.models")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    # Untrained landmarks, as the weights are not ours to ship: the places mean nothing, the plumbing is all there.
    torch.save(models.FAN(4).state_dict(), tmp_path / "hub" / "checkpoints" / "2DFAN4-11f355bf06.pth.tar")
    utils = importlib.import_module("face_alignment.utils")
    for name in ("_get_preds_fromhm", "transform_np"):  # as plain Python: numba would compile for ten seconds
        monkeypatch.setattr(utils, name, getattr(getattr(utils, name), "py_func", getattr(utils, name)))
    detector = FaceAlignmentDetector()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert detector(np.zeros((64, 64, 3), np.uint8)) == []
    (face,) = detector(photographs[0][0])
    assert face.points.shape == (5, 2) and face.points.dtype == np.float32
    x0, y0, x1, y1 = face.box
    pupils = photographs[0][1][list(PUPILS)]
    assert (pupils > (x0, y0)).all() and (pupils < (x1, y1)).all()
