"""The pixel contract: PIL pictures on one side, aligned float crops in [-1, 1] on the other, and the way back.

Training, evaluation, command line and page all come through here: two preprocessings would make two models.
Points are (x, y) in pixels; the centre of the first pixel is (0, 0).
"""

import cv2
import numpy as np
import torch
from skimage.transform import SimilarityTransform
from torch import Tensor

ALIGNED_POINTS = (0, 1, 3, 4)  # of a locator's five: both eyes and both mouth corners; the nose tip moves with yaw


def to_unit(images: Tensor) -> Tensor:
    """uint8 (..., H, W) -> float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


def to_bytes(images: Tensor) -> Tensor:
    """Float in [-1, 1] -> uint8, clipped and rounded."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def crop_matrix(points: np.ndarray, template: tuple[float, ...], size: int) -> np.ndarray:
    """The similarity that lays a face's eyes and mouth corners onto the template.

    Args:
        points: (5, 2), a locator's points in the photograph.
        template: eight fractions of the crop's side, see the models' configs.
        size: side of the crop in pixels.
    Returns:
        (2, 3) float64, photograph pixels -> crop pixels.
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
    """Cut the aligned face out, averaging pixels where the photograph is finer than the crop.

    Args:
        photo: (H, W, 3) uint8.
        matrix: (2, 3), photograph pixels -> crop pixels.
        size: side of the crop.
    Returns:
        (size, size, 3) uint8; beyond the photograph's border its edge pixels are repeated.
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


def covered_box(matrix: np.ndarray, size: int, shape: tuple[int, ...], margin: int = 0) -> tuple[int, int, int, int]:
    """The photograph's pixels (left, top, right, bottom; right and bottom exclusive) that a crop touches."""
    corners = np.array([[-0.5, -0.5], [size - 0.5, -0.5], [size - 0.5, size - 0.5], [-0.5, size - 0.5]])
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


def set_back(
    photo: np.ndarray, matrix: np.ndarray, flow: np.ndarray, mask: np.ndarray, color: np.ndarray
) -> np.ndarray:
    """Carry an edit from the crop into the photograph, at the photograph's own sharpness.

    The flow moves the photograph's own pixels; colour is painted only under the mask. Both fade out towards the
    crop's border, so there is no seam, and outside the crop nothing changes.

    Args:
        photo: (H, W, 3) uint8.
        matrix: (2, 3), photograph pixels -> crop pixels of a crop with the side of `mask`.
        flow: (h, w, 2) float32, (x, y) offsets in units of half the crop's side.
        mask: (S, S) float32 in [0, 1].
        color: (S, S, 3) float32 in [-1, 1].
    Returns:
        (H, W, 3) uint8, a new array.
    """
    size = mask.shape[0]
    left, top, right, bottom = covered_box(matrix, size, photo.shape)
    width, height = right - left, bottom - top
    # Move the crop's frame to the box's corner: only the box is computed.
    to_box = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]], dtype=np.float64)
    to_crop = np.vstack([matrix, [0, 0, 1]])
    box_matrix = (to_box @ np.linalg.inv(to_crop))[:2]

    def lay(field: np.ndarray) -> np.ndarray:
        """A field over the crop, sampled at the box's pixels; zero outside the crop."""
        scale = size / field.shape[0]
        own_pixels = np.array([[scale, 0, 0.5 * scale - 0.5], [0, scale, 0.5 * scale - 0.5], [0, 0, 1]])
        return cv2.warpAffine(
            field, box_matrix @ own_pixels, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT
        )

    margin = 2 / flow.shape[0]  # cubic sampling reads two cells away
    moved = lay(flow * border_fade(flow.shape[0], margin)[:, :, None]) * (size / 2)
    to_photo = np.linalg.inv(matrix[:, :2]).astype(np.float32)  # an offset in crop pixels -> in photograph pixels
    x, y = np.meshgrid(np.arange(left, right, dtype=np.float32), np.arange(top, bottom, dtype=np.float32))
    map_x = x + moved[..., 0] * to_photo[0, 0] + moved[..., 1] * to_photo[0, 1]
    map_y = y + moved[..., 0] * to_photo[1, 0] + moved[..., 1] * to_photo[1, 1]
    warped = cv2.remap(photo, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    painted = lay(np.dstack([mask * border_fade(size, margin), (color + 1) * 127.5]).astype(np.float32))
    alpha = painted[..., :1].clip(0, 1)
    edited = photo.copy()
    edited[top:bottom, left:right] = np.rint((1 - alpha) * warped + alpha * painted[..., 1:]).clip(0, 255)
    return edited


def border_fade(size: int, margin: float, width: float = 0.08) -> np.ndarray:
    """(size, size) float32: 0 in a margin (share of the side), rising smoothly to 1 over the next `width` of it."""
    place = (np.arange(size, dtype=np.float32) + 0.5) / size
    ramp = np.clip((np.minimum(place, 1 - place) - margin) / width, 0, 1)
    ramp = ramp * ramp * (3 - 2 * ramp)  # smoothstep
    return np.minimum.outer(ramp, ramp)
