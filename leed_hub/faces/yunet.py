"""Faces by YuNet, a network of 230 kB that comes with the package."""

import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike

from leed_hub.errors import ConfigError, ModelLoadError
from leed_hub.faces.face import Face, check_picture
from leed_hub.hub import check_sum

MODEL = Path(__file__).parent / "weights" / "face_detection_yunet.onnx"

_GREY = (127, 127, 127)  # beyond a picture's edge
_MIRRORED = [1, 0, 2, 4, 3]  # the five points change places in a mirror
# A picture needs no look from another side if a face has this score in a crop turned upright by its points, and needed
# no more turning than this.
_SURE = 0.89
_MOST_TILT = np.deg2rad(45)


class YuNetDetector:
    """Faces by YuNet (Wu et al. 2023, doi 10.1007/s11633-023-1423-y) through OpenCV, at any picture size.

    The five points of one pass scatter by about 6 to 7 % of the eye distance, and more where a face falls between two
    of YuNet's strides. So each face found is looked at again, cut out at two sizes and mirrored, and the points are
    averaged: a third of the scatter goes, and a mirrored picture gets mirrored points. Heads may be turned any way up,
    all those of a picture about alike.

    Args:
        model_path: another `.onnx` file of YuNet than the bundled one.
        score_threshold: the confidence a face needs, in (0, 1).
    Raises:
        ModelLoadError: if the file is missing or no YuNet.
        ConfigError: if the threshold is out of range.
    """

    name = "yunet"

    # (long side, border as a share of the long side), tried until a face is found. `None` keeps a picture between 320
    # and 640: smaller is enlarged, larger reduced. The border serves tight crops, the last pass small faces.
    _PASSES = ((None, 0.0), (320, 0.25), (160, 0.0), (640, 0.5), (1600, 0.0))
    _CROP_SIDES = (128, 192)
    _CROP_SCALE = 2.0  # side of the crop over the longer side of the face's box
    _TURNS = 5
    _LEAST_TURN = np.deg2rad(4)
    _LEAST_SCORE = 0.8  # of a turned picture: what is no face has been seen with 0.79

    def __init__(self, model_path: str | os.PathLike = MODEL, score_threshold: float = 0.7):
        if not 0 < score_threshold < 1:
            raise ConfigError(f"score_threshold lies between 0 and 1; got {score_threshold!r}.")
        self._detector = _load_yunet(Path(model_path), score_threshold)
        self._lock = threading.Lock()  # the detector keeps its input size and buffers between calls

    def __call__(self, image: np.ndarray) -> list[Face]:
        return _at_any_roll(self._look, image, self._LEAST_SCORE)

    def again(self, image: np.ndarray, face: Face) -> Face | None:
        """A face of the frame before, where it is in this one; None where it is no longer.

        Costs a third of looking for it in the whole frame.
        """
        check_picture(image)
        moved, score = self._refined(image, face)
        if score < self._LEAST_SCORE:
            return None
        dx, dy = (moved.points - face.points).mean(axis=0).tolist()
        x0, y0, x1, y1 = face.box
        return replace(moved, box=(x0 + dx, y0 + dy, x1 + dx, y1 + dy), score=score)

    def _look(self, image: np.ndarray) -> list[tuple[Face, float]]:
        """The faces, each with the score of its upright crops."""
        long_side = max(image.shape[:2])
        for side, border in self._PASSES:
            if side == 1600 and long_side <= 640:
                continue  # enlarging shows no face that the earlier passes missed
            found = self._detect_resized(image, side or min(max(long_side, 320), 640), border)
            if found:
                return [self._refined(image, face) for face in found]
        return []

    def _detect_resized(self, image: np.ndarray, side: int, border: float) -> list[Face]:
        """The faces seen with the long side (border included) resized to `side`."""
        height, width = image.shape[:2]
        margin = border * max(height, width)
        scale = side / (max(height, width) + 2 * margin)
        shift = scale * (margin + 0.5) - 0.5  # corners map to corners, while coordinates name pixel centres
        size = tuple(max(1, round((length + 2 * margin) * scale)) for length in (width, height))
        found = self._detect(_cut(image, scale, (shift, shift), size))
        return [_moved_back(face, scale, (shift, shift)) for face in found]

    def _refined(self, image: np.ndarray, face: Face) -> tuple[Face, float]:
        """The face with mean points, and the mean score, of crops of two sizes, each also mirrored; as it is, and 0, if
        no crop shows it.

        YuNet draws tilted points too upright, so the crops are turned by the tilt found and looked at again until the
        face stands upright in them.
        """
        x0, y0, x1, y1 = face.box
        middle, half = np.array([x0 + x1, y0 + y1]) / 2, self._CROP_SCALE / 2 * max(x1 - x0, y1 - y0)
        points, score = face.points, 0.0
        for _ in range(self._TURNS):
            tilt = _tilt(points)
            axis = half * np.array([np.cos(tilt), np.sin(tilt)])
            seen, scores = [], []
            for side in self._CROP_SIDES:
                crop = _upright(image, middle, axis, side)
                for other in self._detect(crop) + [_mirrored(other, side) for other in self._detect(crop[:, ::-1])]:
                    centre = np.array([other.box[0] + other.box[2], other.box[1] + other.box[3]]) / 2
                    if np.abs(centre - (side - 1) / 2).max() < side / 8:  # the face itself and no neighbour
                        seen.append(_placed(other.points, middle, axis, side))
                        scores.append(other.score)
            if not seen:
                break
            points, score = np.asarray(np.mean(seen, axis=0), np.float32), float(np.mean(scores))
            if abs(_tilt(points) - tilt) < self._LEAST_TURN:
                break
        return replace(face, points=points), score

    def _detect(self, pixels: np.ndarray) -> list[Face]:
        """One run at the size given, in coordinates of `pixels`."""
        with self._lock:
            self._detector.setInputSize((pixels.shape[1], pixels.shape[0]))
            _, rows = self._detector.detect(np.ascontiguousarray(pixels[:, :, ::-1]))  # OpenCV wants BGR
        faces = []
        for row in rows if rows is not None else ():  # x, y, width, height, five (x, y), score
            x, y, width, height = (float(value) for value in row[:4])
            faces.append(Face((x, y, x + width, y + height), float(row[14]), row[4:14].reshape(5, 2).copy()))
        return faces


def _load_yunet(path: Path, score_threshold: float):
    """OpenCV's detector from the file's bytes, tried once on a blank picture so that a wrong network shows here."""
    try:
        if path == MODEL:
            check_sum(path, path.parent)
        content = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise ModelLoadError(f"The YuNet model {path.name} cannot be read: {error.strerror}.") from error
    log_level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(
        cv2.utils.logging.LOG_LEVEL_ERROR
    )  # OpenCV 5 warns at each load that targets are unset
    try:
        detector = cv2.FaceDetectorYN.create("onnx", content, np.empty(0, np.uint8), (64, 64), score_threshold)
        detector.detect(np.zeros((64, 64, 3), np.uint8))
    except cv2.error as error:
        raise ModelLoadError(
            f"{path.name} ({content.size} bytes) is broken or no YuNet model in ONNX format."
        ) from error
    finally:
        cv2.utils.logging.setLogLevel(log_level)
    return detector


def _at_any_roll(
    look: Callable[[np.ndarray], list[tuple[Face, float]]], image: np.ndarray, least_score: float
) -> list[Face]:
    """The faces of a picture that may lie on its side or upside down, largest box first.

    A network that learned upright heads misses lying ones or gives them upright points. The score of a crop turned
    upright by such points is low, since the head in it still lies. So unless a face has a high score, the picture is
    looked at from its other three sides too, and the side with the highest score wins.

    Args:
        look: a picture -> its faces, each with the score of such a crop, in 0..1.
        least_score: what it takes to turn the picture, so that more looks do not show more faces where there are none.
    """
    check_picture(image)
    found = look(image)
    if not any(score >= _SURE and abs(_tilt(face.points)) <= _MOST_TILT for face, score in found):
        best = max((score for _, score in found), default=0.0)
        for quarters in (1, 2, 3):
            turned = look(np.ascontiguousarray(np.rot90(image, quarters)))
            score = max((score for _, score in turned), default=0.0)
            if score > max(best, least_score):
                best, found = score, [(_turned_back(face, image.shape, quarters), score) for face, score in turned]
    return sorted((face for face, _ in found), key=lambda face: face.area, reverse=True)


def _cut(image: np.ndarray, scale: float, shift_px: ArrayLike, size_px: tuple[int, ...]) -> np.ndarray:
    """`size_px` (width, height) with point p of the picture at scale * p + shift; grey where the picture ends."""
    shift, size = np.asarray(shift_px, np.float64), np.asarray(size_px)
    length = np.array(image.shape[1::-1])
    # Only the part that shows, with two pixels to spare for the interpolation.
    start = np.clip(np.floor(-shift / scale - 2), 0, length - 1).astype(int)
    stop = np.clip(np.ceil((size - shift) / scale + 2), start + 1, length).astype(int)
    part = image[start[1] : stop[1], start[0] : stop[0]]
    # Reduced by area first, as the bilinear step below looks at 2x2 pixels only.
    reduced = np.maximum(1, np.rint((stop - start) * min(1.0, scale * 2 if scale < 0.5 else 1.0))).astype(int)
    ratio = reduced / (stop - start)
    if (ratio < 1).any():
        part = cv2.resize(part, reduced.tolist(), interpolation=cv2.INTER_AREA)
    # part's pixel q shows the point p with q = ratio * (p - start + 0.5) - 0.5
    gain = scale / ratio
    offset = scale * (start - 0.5) + shift + gain * 0.5
    matrix = np.array([[gain[0], 0, offset[0]], [0, gain[1], offset[1]]])
    return cv2.warpAffine(part, matrix, size.tolist(), flags=cv2.INTER_LINEAR, borderValue=_GREY)


def _upright(image: np.ndarray, middle: np.ndarray, half: np.ndarray, size: int) -> np.ndarray:
    """A crop of `size` pixels a side around `middle`; `half` (2,) points from there to the middle of its right edge."""
    length = float(np.hypot(*half))
    wide = 3 * size // 2  # room to turn in
    scale = size / (2 * length)
    reduced = _cut(image, scale, (wide - 1) / 2 - scale * middle, (wide, wide))
    cos, sin = half / length
    turn = np.array([[cos, sin], [-sin, cos]])
    shift = (size - 1) / 2 - turn @ np.full(2, (wide - 1) / 2)
    return cv2.warpAffine(reduced, np.column_stack([turn, shift]), (size, size), borderValue=_GREY)


def _placed(points: np.ndarray, middle: np.ndarray, half: np.ndarray, size: int) -> np.ndarray:
    """Points (N, 2) of an `_upright` crop in coordinates of its picture."""
    along = (points - (size - 1) / 2) / (size / 2)
    return middle + along @ np.array([half, [-half[1], half[0]]])


def _tilt(points: np.ndarray) -> float:
    """How far a face is turned clockwise in its picture, in radians: the way from its mouth to its eyes."""
    x, y = points[:2].mean(axis=0) - points[3:].mean(axis=0)
    return float(np.arctan2(x, -y))


def _moved_back(face: Face, scale: float, shift: tuple[float, float]) -> Face:
    """A face of a `_cut`, in coordinates of the picture it was cut from."""
    return _mapped(face, lambda points: (points - shift) / scale)


def _turned_back(face: Face, shape: tuple[int, ...], quarters: int) -> Face:
    """A face of `np.rot90(picture, quarters)`, in coordinates of the picture, which has that shape."""
    middle = (np.array(shape[1::-1]) - 1) / 2
    turned_middle = middle[::-1] if quarters % 2 else middle
    turn = np.linalg.matrix_power([[0, 1], [-1, 0]], quarters)  # of row vectors (x, y), y downwards
    return _mapped(face, lambda points: (points - turned_middle) @ turn + middle)


def _mirrored(face: Face, width: int) -> Face:
    """A face of the mirrored picture, `width` pixels wide, as the picture itself shows it."""
    face = replace(face, points=face.points[_MIRRORED])
    return _mapped(face, lambda points: points * (-1, 1) + (width - 1, 0))


def _mapped(face: Face, back: Callable[[np.ndarray], np.ndarray]) -> Face:
    """A face whose points, and its box' corners, (N, 2) each, lie elsewhere."""
    corners = back(np.reshape(face.box, (2, 2)))
    box = (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())
    return replace(face, box=box, points=back(face.points).astype(np.float32))
