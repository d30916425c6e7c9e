"""Face landmarks by MediaPipe's networks, which are independent of ours: to measure edits, and to learn photographs by.

Both networks come as TFLite files inside MediaPipe's wheel. Only the files are read, and run by LiteRT, TFLite's own
runtime: MediaPipe's code wants NumPy 1 and protobuf 4, its wheels after 0.10.21 lack the files, and OpenCV's reader of
TFLite gives one of the two outputs or both, depending on its version. So MediaPipe is installed without what it asks
for, which nothing here needs.

MediaPipe's second mesh, which attends to lips and eyes, has operators that LiteRT lacks. On 44 photographs the five
features of `metrics.face_geometry` by both correlate by 0.85 to 0.94, and those read here deviate 0.71 to 0.95 as much
from their means: movements come out smaller than they are, in references and edits alike.
"""

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from leed_hub.errors import ConfigError

INSTALL = 'pip install "leed-hub[evaluate]" && pip install --no-deps mediapipe==0.10.21'
DETECTOR = "modules/face_detection/face_detection_short_range.tflite"
MESH = "modules/face_landmark/face_landmark.tflite"

DETECTOR_SIDE, MESH_SIDE = 128, 192  # what the networks take, in pixels
LEAST_SCORE = 0.5  # of either network, as in MediaPipe
BORDERS = (0.0, 0.25, 0.75)  # around the picture, as a share of its long side, until a face is found
# The side of the square that the mesh is fitted in, over the longer side of the box around what was seen before: once
# around the detector's box, then around the mesh itself, at three sizes whose landmarks are averaged.
FIRST_SCALE, SCALES = 1.5, (1.35, 1.5, 1.65)
RIGHT_EYE, LEFT_EYE = 33, 263  # outer corners, the person's right and left


@dataclass(frozen=True)
class _Square:
    """A turned square of a picture: its middle (2,), the direction of its x axis in radians, its side in pixels."""

    middle: np.ndarray
    angle: float
    side: float

    def matrix(self, size: int) -> np.ndarray:
        """Picture pixels -> pixels of the square drawn `size` wide, (2, 3)."""
        scale = size / self.side
        cos, sin = scale * np.cos(self.angle), scale * np.sin(self.angle)
        turn = np.array([[cos, sin], [-sin, cos]])
        return np.concatenate([turn, (size / 2 - turn @ self.middle)[:, None]], axis=1)


class FaceMesh:
    """The 468 landmarks of the largest face of a picture (Kartynnik et al. 2019, arXiv:1907.06724).

    The face is found by BlazeFace (Bazarevsky et al. 2019, arXiv:1907.05047), as in MediaPipe; both are Apache 2.0.

    Args:
        folder: of an installed `mediapipe` that holds the networks; by default the one that Python finds.
    Raises:
        ConfigError: if there is none, or it lacks the files.
    """

    def __init__(self, folder: str | os.PathLike | None = None):
        if folder is None:
            found = importlib.util.find_spec("mediapipe")  # looks, without importing it
            folder = found.submodule_search_locations[0] if found and found.submodule_search_locations else "."
        paths = [Path(folder) / name for name in (DETECTOR, MESH)]
        if not all(path.is_file() for path in paths) or importlib.util.find_spec("ai_edge_litert") is None:
            raise ConfigError(f"Landmarks need LiteRT and the networks inside MediaPipe's wheel: {INSTALL}")
        self._detector, self._mesh = (_Network(path) for path in paths)
        self._anchors = _anchors()

    def __call__(self, picture: np.ndarray, *, is_crop: bool = False) -> np.ndarray | None:
        """Look for the largest face.

        Args:
            picture: (H, W, 3), uint8, RGB.
            is_crop: whether the picture is an upright face, which then is not looked for.
        Returns:
            np.ndarray | None: (468, 3) float64: x and y in pixels of the picture, z to the same scale, smaller being
                nearer to the camera and 0 about the head's middle. None where no face is found.
        """
        height, width = picture.shape[:2]
        whole = _Square(np.array([width, height]) / 2, 0.0, float(min(width, height)))
        square = whole if is_crop else self._detect(picture)
        if square is None:
            return None
        first, score = self._lay(picture, square)
        if score < LEAST_SCORE:
            return None
        seen = [self._lay(picture, _around(first, scale)) for scale in SCALES]
        if min(score for _, score in seen) < LEAST_SCORE:
            return None
        return np.mean([points for points, _ in seen], axis=0)

    def _detect(self, picture: np.ndarray) -> _Square | None:
        """A square around the largest face, upright by its eyes."""
        height, width = picture.shape[:2]
        for border in BORDERS:
            whole = _Square(np.array([width, height]) / 2, 0.0, (1 + 2 * border) * max(width, height))
            logits, numbers = self._detector(_cut(picture, whole, DETECTOR_SIDE).astype(np.float32) / 127.5 - 1)
            numbers = numbers.reshape(len(self._anchors), -1)
            scores = _sigmoid(logits)
            if scores.max() < LEAST_SCORE:
                continue
            sizes = numbers[:, 2:4]
            corners = numbers[:, :2] + self._anchors * DETECTOR_SIDE - sizes / 2
            boxes = np.concatenate([corners, sizes], axis=1)
            kept = np.asarray(cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), LEAST_SCORE, 0.3)).ravel()
            largest = kept[np.argmax(sizes[kept].max(axis=1))]
            eyes = numbers[largest, 4:8].reshape(2, 2) + self._anchors[largest] * DETECTOR_SIDE
            return _Square(
                _back(corners[largest] + sizes[largest] / 2, whole, DETECTOR_SIDE),
                float(np.arctan2(*(eyes[1] - eyes[0])[::-1])),
                FIRST_SCALE * float(sizes[largest].max()) * whole.side / DETECTOR_SIDE,
            )
        return None

    def _lay(self, picture: np.ndarray, square: _Square) -> tuple[np.ndarray, float]:
        """The landmarks seen in a square, (468, 3) in pixels of the picture, and how sure the network is of a face."""
        logit, points = self._mesh(_cut(picture, square, MESH_SIDE).astype(np.float32) / 255)
        points = points.reshape(-1, 3).astype(np.float64)
        depth = points[:, 2:] * square.side / MESH_SIDE
        return np.concatenate([_back(points[:, :2], square, MESH_SIDE), depth], axis=1), float(_sigmoid(logit[0]))


class _Network:
    """A TFLite network of one input and two outputs."""

    def __init__(self, path: Path):
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_path=str(path), num_threads=1)
        self._interpreter.allocate_tensors()

    def __call__(self, inputs: np.ndarray) -> list[np.ndarray]:
        """(S, S, 3) float32 -> both outputs flattened, the scores, of which there are fewer, first."""
        self._interpreter.set_tensor(self._interpreter.get_input_details()[0]["index"], inputs[None])
        self._interpreter.invoke()
        places = [output["index"] for output in self._interpreter.get_output_details()]
        return sorted((self._interpreter.get_tensor(place).ravel() for place in places), key=len)


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(logits, -50, 50)))


def _around(points: np.ndarray, scale: float) -> _Square:
    """The square around landmarks, upright by their eyes."""
    angle = float(np.arctan2(*(points[LEFT_EYE] - points[RIGHT_EYE])[1::-1]))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turned = points[:, :2] @ turn.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    return _Square(turn.T @ (low + high) / 2, angle, scale * float((high - low).max()))


def _cut(picture: np.ndarray, square: _Square, size: int) -> np.ndarray:
    """The square as (size, size, 3), black beyond the picture; much too large pictures are averaged down first."""
    matrix = square.matrix(size)
    shrink = int(square.side // (2 * size))
    if shrink > 1:
        small = (max(1, picture.shape[1] // shrink), max(1, picture.shape[0] // shrink))
        matrix[:, :2] *= (picture.shape[1] / small[0], picture.shape[0] / small[1])
        picture = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
    return cv2.warpAffine(picture, matrix, (size, size), flags=cv2.INTER_LINEAR)


def _back(points: np.ndarray, square: _Square, size: int) -> np.ndarray:
    """Points (..., 2) of the square drawn `size` wide, in pixels of the picture."""
    matrix = square.matrix(size)
    return (points - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T


def _anchors() -> np.ndarray:
    """The detector's 896 anchor points, (896, 2) in 0..1: two in each of 16x16 cells, then six in each of 8x8."""
    grids = []
    for cells, times in ((16, 2), (8, 6)):
        y, x = np.mgrid[:cells, :cells]
        middles = (np.stack([x, y], axis=2).reshape(-1, 2) + 0.5) / cells
        grids.append(np.repeat(middles, times, axis=0))
    return np.concatenate(grids)
