"""`Face`: where a face is in a picture."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Face:
    """One face. Pixel coordinates put (0, 0) at the centre of the first pixel; they may lie outside the picture.

    Attributes:
        box: (x0, y0, x1, y1) in pixels.
        score (float): the detector's confidence, in 0..1.
        points (np.ndarray): (5, 2) float32 pixels (x, y): left eye, right eye, nose tip, left mouth corner, right
            mouth corner. "Left" is the left of the image once the face stands upright in it, so the person's right
            when facing the camera.
    """

    box: tuple[float, float, float, float]
    score: float
    points: np.ndarray

    @property
    def area(self) -> float:
        """Of its box, in square pixels."""
        x0, y0, x1, y1 = self.box
        return (x1 - x0) * (y1 - y0)


def check_picture(image: np.ndarray) -> None:
    """Raise `ValueError` unless the picture is (H, W, 3) uint8."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image is (H, W, 3) RGB uint8; got {image.dtype} of shape {image.shape}.")
