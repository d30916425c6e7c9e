"""The 68 landmarks of faces (iBUG 300-W, Sagonas et al. 2013): their numbers in the mirror, and maps between shapes."""

import torch
from torch import Tensor

# Of the 68 landmarks, which point of a face each one is in its mirror image: jaw, brows, nose, eyes, lips.
MIRRORED_68 = [
    *range(16, -1, -1),
    *range(26, 16, -1),
    *(27, 28, 29, 30, 35, 34, 33, 32, 31),
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
    *(64, 63, 62, 61, 60, 67, 66, 65),
]
RIDGE = 0.1  # of a `LandmarkMap`, where points are in standard deviations over the face


class LandmarkMap:
    """A linear map between two sets of landmarks, whatever the place and size of the face in the picture.

    Args:
        points: (N, P, 2), NaN where unknown.
        landmarks: (N, L, 2) of the same faces in the same unit, NaN where unknown.
    """

    def __init__(self, points: Tensor, landmarks: Tensor):
        known = points.isfinite().flatten(1).all(1) & landmarks.isfinite().flatten(1).all(1)
        points, landmarks = points[known].double(), landmarks[known].double()
        shapes, middle, size = _shape(points)
        self._mean_shape = shapes.mean(0)
        wanted = ((landmarks - middle) / size).flatten(1)
        self._mean = wanted.mean(0)
        shapes = shapes - self._mean_shape
        normal = shapes.T @ shapes + RIDGE * torch.eye(shapes.shape[1], dtype=shapes.dtype)
        self._weights = torch.linalg.solve(normal, shapes.T @ (wanted - self._mean))

    def __call__(self, points: Tensor) -> Tensor:
        """(N, P, 2) -> (N, L, 2)."""
        shapes, middle, size = _shape(points.double())
        found = (shapes - self._mean_shape) @ self._weights + self._mean
        return (found.unflatten(1, (-1, 2)) * size + middle).float()


def _shape(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Points (N, P, 2) about their mean, in standard deviations, flat; their mean and deviation (N, 1, 1 or 2)."""
    middle = points.mean(1, keepdim=True)
    size = (points - middle).square().mean((1, 2), keepdim=True).sqrt()
    return ((points - middle) / size).flatten(1), middle, size
