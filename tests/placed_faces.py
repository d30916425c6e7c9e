"""Faces at known places of a photograph, for tests of alignment and paste-back."""

import cv2
import numpy as np

TEMPLATE = (0.36, 0.40, 0.64, 0.40, 0.386, 0.71, 0.614, 0.71)


def face_points(scale: float, turn_deg: float, centre: tuple[float, float]) -> np.ndarray:
    """Five points of a face that fits TEMPLATE exactly after undoing scale, turn and shift."""
    corners = np.array(TEMPLATE).reshape(4, 2) - 0.5
    points = np.insert(corners, 2, [0.0, 0.03], axis=0) * scale
    angle = np.deg2rad(turn_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return points @ turn.T + centre


def noise_photo(height: int = 200, width: int = 240) -> np.ndarray:
    """Smooth random colours: every place is told from every other."""
    rough = np.random.default_rng(0).integers(0, 256, (height // 10, width // 10, 3), dtype=np.uint8)
    return cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC)
