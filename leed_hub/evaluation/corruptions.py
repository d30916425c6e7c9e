"""Corruptions of face crops: each a function from a PIL picture to one of the same size.

Lengths are shares of the picture's shorter side, so that they mean the same at any size. Only JPEG's blocks do not
scale: they are 8 pixels wide in any picture. Source of the idea: Hendrycks & Dietterich 2019, arXiv:1903.12261; the
strengths are ours.
"""

import io
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from PIL import Image

SIGMA = 1 / 48  # of the side: 1 pixel of a 48-pixel crop


def jpeg(picture: Image.Image, quality: int = 30) -> Image.Image:
    """Compressed as JPEG of that quality (1..95) and opened again."""
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=quality)
    return Image.open(encoded).convert(picture.mode)


def blur(picture: Image.Image, sigma: float = SIGMA) -> Image.Image:
    """Gaussian blur of that standard deviation, a share of the side."""
    sigma_px = sigma * min(picture.size)
    return Image.fromarray(cv2.GaussianBlur(np.asarray(picture), (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE))


def roll(picture: Image.Image, angle_deg: float = 20.0) -> Image.Image:
    """Rotated about its centre, counter-clockwise if positive; the border's pixels are repeated beyond it."""
    centre = (picture.width - 1) / 2, (picture.height - 1) / 2  # (0, 0) is the centre of the first pixel
    matrix = cv2.getRotationMatrix2D(centre, angle_deg, 1.0)
    pixels = np.asarray(picture)
    return Image.fromarray(
        cv2.warpAffine(pixels, matrix, picture.size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    )


def half_size(picture: Image.Image) -> Image.Image:
    """Reduced to half its side and enlarged again."""
    half = max(1, round(picture.width / 2)), max(1, round(picture.height / 2))
    return picture.resize(half, Image.Resampling.BOX).resize(picture.size, Image.Resampling.BILINEAR)


def dark(picture: Image.Image, gain: float = 0.4) -> Image.Image:
    """Pixel values times `gain` (0..1)."""
    return Image.fromarray(np.rint(np.asarray(picture) * gain).astype(np.uint8))


CORRUPTIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "jpeg": jpeg,
    "blur": blur,
    "roll_plus_20": partial(roll, angle_deg=20.0),
    "roll_minus_20": partial(roll, angle_deg=-20.0),
    "half_size": half_size,
    "dark": dark,
}
