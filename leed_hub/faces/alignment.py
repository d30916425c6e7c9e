"""Alignment, the only place where faces are cut out: crops for training, evaluation, pipelines and page alike.

Points are (x, y) in pixels; the centre of the first pixel is (0, 0).
"""

import cv2
import numpy as np
import torch
from skimage.transform import SimilarityTransform
from torch import Tensor

ALIGNED_POINTS = (0, 1, 3, 4)  # of a face's five: both eyes and both mouth corners; the nose tip moves with yaw


def to_unit(images: Tensor) -> Tensor:
    """uint8 (..., H, W) -> float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


def to_bytes(images: Tensor) -> Tensor:
    """Float in [-1, 1] -> uint8, clipped and rounded."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def crop_matrix(points: np.ndarray, template: tuple[float, ...], size: int) -> np.ndarray:
    """The similarity (2, 3) from a photograph's pixels to a crop's that lays eyes and mouth corners onto the template.

    Args:
        points: (5, 2), a detector's points in the photograph.
        template: eight fractions of the crop's side, which is `size` pixels; see the models' configs.
    """
    corners = np.asarray(template, dtype=np.float64).reshape(4, 2) * size - 0.5
    return similarity(points[list(ALIGNED_POINTS)], corners)


def similarity(points: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """The shift, turn and scale (2, 3) that lay `points` (N, 2) onto others (N, 2) with least squares."""
    return SimilarityTransform.from_estimate(points, onto).params[:2]


def square_matrix(width: int, height: int, size: int) -> np.ndarray:
    """For a picture that is a face crop already: its largest central square onto the whole crop; (2, 3)."""
    side = min(width, height)
    scale = size / side
    left, top = (width - side) / 2, (height - side) / 2
    return np.array([[scale, 0, (0.5 - left) * scale - 0.5], [0, scale, (0.5 - top) * scale - 0.5]])


def crop_face(photo: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Cut the aligned face out of a photograph, (H, W, 3) uint8 -> (size, size, 3), by its `crop_matrix`.

    Pixels are averaged where the photograph is finer than the crop, and those of its edge are repeated beyond it.
    """
    shrink = int(1 / np.hypot(matrix[0, 0], matrix[1, 0]))
    if shrink > 1:  # warpAffine reads at most four pixels a sample: average whole blocks first
        left, top, right, bottom = covered_box(matrix, size, photo.shape, margin=2 * shrink)
        right, bottom = (
            left + max((right - left) // shrink, 1) * shrink,
            top + max((bottom - top) // shrink, 1) * shrink,
        )
        right, bottom = min(right, photo.shape[1]), min(bottom, photo.shape[0])
        region = photo[top:bottom, left:right]
        width, height = max(region.shape[1] // shrink, 1), max(region.shape[0] // shrink, 1)
        step_x, step_y = region.shape[1] / width, region.shape[0] / height
        photo = cv2.resize(region, (width, height), interpolation=cv2.INTER_AREA)
        # A small picture's pixel (u, v) is centred at (left + (u + 0.5) * step - 0.5) of the photograph.
        to_photo = np.array([[step_x, 0, left + 0.5 * step_x - 0.5], [0, step_y, top + 0.5 * step_y - 0.5], [0, 0, 1]])
        matrix = matrix @ to_photo
    return cv2.warpAffine(photo, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def covered_box(
    matrix: np.ndarray, size: int, shape: tuple[int, ...], margin: int = 0, below: float = 0.0
) -> tuple[int, int, int, int]:
    """The photograph's pixels (left, top, right, bottom; right and bottom exclusive) that a crop touches.

    `margin` adds photograph pixels on all sides, `below` a share of the crop's side under it.
    """
    low = (1 + below) * size - 0.5
    corners = np.array([[-0.5, -0.5], [size - 0.5, -0.5], [size - 0.5, low], [-0.5, low]])
    back = cv2.invertAffineTransform(matrix)
    corners = corners @ back[:, :2].T + back[:, 2]
    left, top = np.floor(corners.min(axis=0)).astype(int) - margin
    right, bottom = np.ceil(corners.max(axis=0)).astype(int) + 1 + margin
    height, width = shape[:2]
    left, top = min(max(left, 0), width - 1), min(max(top, 0), height - 1)
    return int(left), int(top), int(min(max(right, left + 1), width)), int(min(max(bottom, top + 1), height))


def crop_tensor(crop: np.ndarray, channels: int = 3) -> Tensor:
    """(S, S, 3) uint8 -> (1, channels, S, S) float in [-1, 1]; one channel is ITU-R 601 luma, as PIL's "L"."""
    if channels == 1:
        crop = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[:, :, None]
    return to_unit(torch.from_numpy(np.ascontiguousarray(crop)).permute(2, 0, 1)[None])
