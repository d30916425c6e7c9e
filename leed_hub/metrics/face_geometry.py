"""Five facial measures from a landmark mesh or from 68 points, independent of the picture's size and of head pose."""

import numpy as np

# Numbers of MediaPipe's mesh (468 points, or 478 with the irises); right and left are the person's.
EYE_CORNERS = ((33, 133), (263, 362))  # right and left: outer, inner
ACROSS = ((33, 263), (133, 362), (127, 356), (234, 454))  # right and left: eye corners, temples, before the ears
DOWN = ((10, 168), (10, 6), (10, 197), (10, 195), (10, 4))  # the hairline's middle, and down the ridge of the nose
NOSE_BASE = 2
LIPS = ((13, 14), (82, 87), (312, 317))  # inner edges: upper, lower
MOUTH_CORNERS = (61, 291)
BROWS = (
    (70, 63, 105, 66, 107, 46, 53, 52, 65, 55),  # right, from outer to inner along the upper edge, then the lower
    (300, 293, 334, 296, 336, 276, 283, 282, 295, 285),
)
LIDS = (((159, 145), (158, 153), (160, 144)), ((386, 374), (385, 380), (387, 373)))  # right, left: upper, lower
MOUTH_RING = (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91)  # outer edge of the lips

FEATURES = ("mouth_opening", "mouth_width", "mouth_corners", "brow_height", "lid_opening")


def face_features(landmarks: np.ndarray) -> np.ndarray:
    """How far a face is opened, widened, raised.

    The landmarks are first turned so that the head looks straight on, by points which no expression moves much: pairs
    of points across the face give its horizontal, the ridge of the nose its vertical. All lengths are shares of the
    distance between the middles of the eyes, and heights count upwards.

    Args:
        landmarks: (468 or more, 3), MediaPipe's, as `FaceMesh` gives them: x right, y down, z away.
    Returns:
        np.ndarray: (5,), in the order of `FEATURES`:
            `mouth_opening`: between the inner edges of the lips (`LIPS`);
            `mouth_width`: between the corners of the mouth (`MOUTH_CORNERS`);
            `mouth_corners`: how high they lie over the base of the nose (`NOSE_BASE`), below 0; a smile raises it;
            `brow_height`: how high ten points of each brow (`BROWS`), inner and outer, lie over the eye's corners;
            `lid_opening`: between the lids (`LIDS`), mean of both eyes.
    Raises:
        ValueError: if there are too few landmarks, or they do not lie in space.
    """
    if landmarks.ndim != 2 or landmarks.shape[0] < 468 or landmarks.shape[1] != 3:
        raise ValueError(f"face_features expected (468 or more, 3) landmarks of a face mesh, got {landmarks.shape}.")
    points = straightened(landmarks)
    eyes = [points[list(corners)].mean(axis=0) for corners in EYE_CORNERS]
    unit = np.linalg.norm(eyes[1] - eyes[0])
    corners = points[list(MOUTH_CORNERS)]
    features = (
        _mean_distance(points, LIPS),
        np.linalg.norm(corners[1] - corners[0]),
        points[NOSE_BASE, 1] - corners[:, 1].mean(),
        np.mean([eye[1] - points[list(brow), 1].mean() for eye, brow in zip(eyes, BROWS, strict=True)]),
        np.mean([_mean_distance(points, lids) for lids in LIDS]),
    )
    return np.array(features) / unit


def features_of_68(points: np.ndarray) -> np.ndarray:
    """`face_features` of the 68 points of iBUG 300-W (Sagonas et al. 2013), which lie in the picture's plane.

    They are only turned upright by the eyes, so a head that turns or nods changes them.

    Args:
        points: (68, 2), x right, y down.
    Returns:
        np.ndarray: (5,), in the order of `FEATURES`.
    Raises:
        ValueError: if there are not 68 points in a plane.
    """
    if points.shape != (68, 2):
        raise ValueError(f"features_of_68 expected (68, 2) points, got {points.shape}.")
    right, left = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    unit = np.linalg.norm(left - right)
    cos, sin = (left - right) / unit
    x, y = (points @ np.array([[cos, -sin], [sin, cos]])).T / unit
    return np.array(
        [
            (y[[67, 66, 65]] - y[[61, 62, 63]]).mean(),
            np.hypot(x[54] - x[48], y[54] - y[48]),
            y[33] - y[[48, 54]].mean(),
            y[[36, 39, 42, 45]].mean() - y[17:27].mean(),
            (y[[41, 40, 47, 46]] - y[[37, 38, 43, 44]]).mean(),
        ]
    )


def straightened(landmarks: np.ndarray) -> np.ndarray:
    """The landmarks turned about their origin so that the head looks straight on, (N, 3): x right, y down, z away."""
    across = sum(landmarks[left] - landmarks[right] for right, left in ACROSS)
    across = across / np.linalg.norm(across)
    down = sum(landmarks[low] - landmarks[high] for high, low in DOWN)
    down = down - (down @ across) * across
    down = down / np.linalg.norm(down)
    return landmarks @ np.stack([across, down, np.cross(across, down)], axis=1)


def face_box(landmarks: np.ndarray) -> tuple[float, float, float, float]:
    """The box around the landmarks, (x0, y0, x1, y1) in pixels of the picture."""
    return (*landmarks[:, :2].min(axis=0).tolist(), *landmarks[:, :2].max(axis=0).tolist())


def mouth_box(landmarks: np.ndarray, margin: float = 0.25) -> tuple[float, float, float, float]:
    """The box around the lips and a share of its longer side more, (x0, y0, x1, y1) in pixels."""
    return _box(landmarks[list(MOUTH_RING)], margin)


def eye_boxes(landmarks: np.ndarray) -> list[tuple[float, float, float, float]]:
    """The same around each eye, right and left."""
    return [
        _box(landmarks[[*corners, *(point for pair in lids for point in pair)]], 0.35)
        for corners, lids in zip(EYE_CORNERS, LIDS, strict=True)
    ]


def _mean_distance(points: np.ndarray, pairs: tuple) -> float:
    """The mean distance between the points of pairs."""
    one, other = (points[[pair[end] for pair in pairs]] for end in (0, 1))
    return float(np.linalg.norm(one - other, axis=1).mean())


def _box(points: np.ndarray, margin: float) -> tuple[float, float, float, float]:
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    wider = margin * (high - low).max()
    return (*(low - wider).tolist(), *(high + wider).tolist())
