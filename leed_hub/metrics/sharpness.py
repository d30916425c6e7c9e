"""Sharpness of mouth and eyes: the variance of the Laplacian, a focus measure that needs no target."""

import cv2
import numpy as np

from leed_hub.metrics.face_geometry import eye_boxes, face_box, mouth_box

FACE_PX = 256  # larger faces are reduced to this height first, so that detail finer than a viewer sees does not count
REGIONS = ("mouth", "eyes")


def face_sharpness(picture: np.ndarray, landmarks: np.ndarray) -> dict[str, float]:
    """The variance of the Laplacian of luma in the boxes around mouth and eyes.

    Comparable only between pictures of the same face in the same place, by the same landmarks: an edit with its source
    or target. An opening mouth adds edges, so against the source the eyes are the better measure.

    Source: Pech-Pacheco et al. 2000, doi 10.1109/ICPR.2000.903548.

    Args:
        picture: (H, W, 3), uint8, RGB.
        landmarks: (468 or more, 2 or 3), a face mesh in pixels of the picture.
    Returns:
        dict: `mouth`, and `eyes`, the mean of both; in squared levels of 255.
    """
    _, top, _, bottom = face_box(landmarks)
    scale = min(1.0, FACE_PX / max(bottom - top, 1.0))
    mouth, right, left = (_focus(picture, box, scale) for box in (mouth_box(landmarks), *eye_boxes(landmarks)))
    return {"mouth": mouth, "eyes": (right + left) / 2}


def _focus(picture: np.ndarray, box: tuple[float, float, float, float], scale: float) -> float:
    """The variance of the Laplacian inside a box of the reduced picture; 0 where the box lies outside."""
    luma = cv2.cvtColor(cut_box(picture, box, scale), cv2.COLOR_RGB2GRAY)
    if min(luma.shape) < 3:
        return 0.0
    return float(cv2.Laplacian(luma.astype(np.float32), cv2.CV_32F)[1:-1, 1:-1].var())


def cut_box(picture: np.ndarray, box: tuple[float, float, float, float], scale: float = 1.0) -> np.ndarray:
    """What of a box (x0, y0, x1, y1) lies inside the picture, reduced by `scale`, at least one pixel, uint8 RGB."""
    height, width = picture.shape[:2]
    x0, x1 = (int(np.clip(round(x), 0, width)) for x in box[::2])
    y0, y1 = (int(np.clip(round(y), 0, height)) for y in box[1::2])
    x0, y0 = min(x0, width - 1), min(y0, height - 1)
    piece = picture[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
    if scale < 1:
        size = tuple(max(1, round(scale * length)) for length in piece.shape[1::-1])
        piece = cv2.resize(piece, size, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(piece)
