"""A face mesh whose five features are chosen, and pictures whose colours say them: a judge that knows the answer."""

import numpy as np

from leed_hub.metrics.face_geometry import ACROSS, BROWS, EYE_CORNERS, LIDS, LIPS, MOUTH_CORNERS, MOUTH_RING, NOSE_BASE

REST = np.array([0.2, 0.85, -0.35, 0.25, 0.2])
SIDE, BAND = 100, 20
LEVELS_PER_UNIT = 400.0  # how many levels of grey stand for one eye distance


def landmarks_of(features, unit=30.0, middle=(50.0, 40.0)):
    """A frontal mesh, (468, 3), that has just these features; `unit` is the distance between the eyes in pixels."""
    opening, width, corners, brow, lid = features
    points = np.zeros((468, 3))
    for (right, left), x in zip(
        (*EYE_CORNERS, *ACROSS[2:]), ((0.7, 0.3), (0.7, 0.3), (0.9, 0.9), (0.95, 0.95)), strict=True
    ):
        points[right, 0], points[left, 0] = -x[0], x[1]
    points[[EYE_CORNERS[1][0], EYE_CORNERS[1][1]], 0] = 0.7, 0.3
    points[EYE_CORNERS[0][1], 0] = -0.3
    for point, y in zip((10, 168, 6, 197, 195, 4, NOSE_BASE), (-0.9, 0.0, 0.1, 0.2, 0.3, 0.4, 0.6), strict=True):
        points[point, 1] = y
    points[list(MOUTH_RING), 1] = 1
    for upper, lower in LIPS:
        points[upper, 1], points[lower, 1] = 1 - opening / 2, 1 + opening / 2
    points[list(MOUTH_CORNERS), 0] = -width / 2, width / 2
    points[list(MOUTH_CORNERS), 1] = 0.6 - corners
    for x, brows, lids in zip((-0.5, 0.5), BROWS, LIDS, strict=True):
        points[list(brows), 0] = x
        points[list(brows), 1] = -brow
        for upper, lower in lids:
            points[[upper, lower], 0] = x
            points[upper, 1], points[lower, 1] = -lid / 2, lid / 2
    return unit * points + (*middle, 0.0)


def points_of(features, unit=30.0, middle=(50.0, 40.0)):
    """68 points, (68, 2), that have just these features; `unit` is the distance between the eyes in pixels."""
    opening, width, corners, brow, lid = features
    points = np.zeros((68, 2))
    for eye, brows, x in ((slice(36, 42), slice(17, 22), -0.5), (slice(42, 48), slice(22, 27), 0.5)):
        points[eye, 0] = x + np.array([-0.15, -0.05, 0.05, 0.15, 0.05, -0.05])
        points[eye, 1] = lid / 2 * np.array([0, -1, -1, 0, 1, 1])
        points[brows] = x, -brow
    points[33, 1] = 0.6
    points[[48, 54], 0], points[[48, 54], 1] = (-width / 2, width / 2), 0.6 - corners
    points[[61, 62, 63], 1], points[[67, 66, 65], 1] = 1 - opening / 2, 1 + opening / 2
    return unit * points + middle


def stub_points(picture, landmarks):
    """The points of the features that a picture's bands stand for."""
    return points_of(REST + (levels_of(picture) - 128) / LEVELS_PER_UNIT)


def picture_of(levels):
    """A picture whose left half is five bands, whose levels stand for features: (100, 100, 3) uint8.

    The right half is the same slope of grey in all pictures, so that they are alike, as faces are.
    """
    bands = np.repeat(np.clip(np.rint(levels), 0, 255).astype(np.uint8), BAND)
    columns = 3 * (-1) ** np.arange(SIDE)  # a little texture, for what is flat looks destroyed
    picture = np.clip(bands[:, None].astype(int) + columns, 0, 255).astype(np.uint8)
    picture = np.repeat(picture[..., None], 3, axis=2)
    picture[:, SIDE // 2 :] = np.linspace(10, 245, SIDE, dtype=np.uint8)[:, None, None]
    return picture


def levels_of(picture):
    """What the bands of a picture say, (5,)."""
    rows = np.asarray(picture)[..., 0].reshape(5, BAND, -1)
    return rows[:, 5:-5, 5 : SIDE // 2 - 5].mean(axis=(1, 2))


def stub_mesh(picture):
    """The mesh of the features that a picture's bands stand for; None for a black picture."""
    levels = levels_of(picture)
    return landmarks_of(REST + (levels - 128) / LEVELS_PER_UNIT) if levels.max() > 5 else None
