"""Whether an edit destroyed a face: a cheap test of its pixels against the source's."""

import cv2
import numpy as np

# Lengths are in pixels of a face that is at most 256 px high, levels are of 255. On the London set's 80 pairs of a
# neutral face and a smile, aligned by their eyes, every sign stays below half its limit.
FLAT_WINDOW = 7
FLAT_DEVIATION, TEXTURED_DEVIATION = 0.6, 1.5
CLIPPED, UNCLIPPED = 2, 6  # so near to 0 or 255, or farther
PAINTED_CHROMA, RISEN_CHROMA = 140, 60  # largest minus smallest channel
EDGE, SMOOTH = 90.0, 35.0  # |Laplacian| of luma
EDGE_REACH = 9  # an edge that moves by less than half of this is the same edge
COLOR_REACH = 41  # so far, half of it, the lips of a mouth that opens wide carry their colour
COARSE_PX = 24
LIMITS = {"flattened": 0.03, "clipped": 0.02, "painted": 0.01, "edged": 0.006, "estranged": 0.65}


def destruction_signs(edited: np.ndarray, source: np.ndarray) -> dict[str, float]:
    """Signs of destruction in an edit that no change of expression causes.

    Args:
        edited: (H, W, 3), uint8, RGB, the box around the face, at most 256 px high.
        source: the same box of the source.
    Returns:
        dict: shares of the box, 0..1:
            `flattened`: without any texture now (deviation below 0.6 levels in 7x7 px) and with some before;
            `clipped`: one channel at either end of the scale, none near it before, as burnt-out patches have it;
            `painted`: of a loud colour that the source has not within reach;
            `edged`: strong edges where the source is smooth within reach, as stripes and checks have them;
            and `estranged`: 1 minus the correlation of luma, reduced to 24 px: another picture, fog or a collapse.
    Raises:
        ValueError: if the two are not uint8 RGB of one shape.
    """
    if edited.shape != source.shape or edited.ndim != 3 or edited.dtype != np.uint8 or source.dtype != np.uint8:
        raise ValueError(
            f"destruction_signs expected two uint8 RGB pictures of one shape, got {edited.dtype} {edited.shape} and "
            f"{source.dtype} {source.shape}."
        )
    lumas = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32) for picture in (edited, source)]
    reach, color_reach = (np.ones((side, side), np.uint8) for side in (EDGE_REACH, COLOR_REACH))
    deviation, deviation_before = (_deviation(luma) for luma in lumas)
    ends, ends_before = (np.minimum(picture, 255 - picture).min(axis=2) for picture in (edited, source))
    chroma, chroma_before = (np.ptp(picture, axis=2).astype(np.int16) for picture in (edited, source))
    edges, edges_before = (np.abs(cv2.Laplacian(luma, cv2.CV_32F)) for luma in lumas)
    return {
        "flattened": float(((deviation < FLAT_DEVIATION) & (deviation_before > TEXTURED_DEVIATION)).mean()),
        "clipped": float(((ends <= CLIPPED) & (cv2.erode(ends_before, reach) > UNCLIPPED)).mean()),
        "painted": float(
            ((chroma >= PAINTED_CHROMA) & (chroma - cv2.dilate(chroma_before, color_reach) >= RISEN_CHROMA)).mean()
        ),
        "edged": float(((edges > EDGE) & (cv2.dilate(edges_before, reach) < SMOOTH)).mean()),
        "estranged": 1
        - _likeness(*(cv2.resize(luma, (COARSE_PX,) * 2, interpolation=cv2.INTER_AREA) for luma in lumas)),
    }


def is_destroyed(signs: dict[str, float]) -> bool:
    """Whether any sign of `destruction_signs` is over its limit (`LIMITS`)."""
    return any(signs[name] > limit for name, limit in LIMITS.items())


def _deviation(luma: np.ndarray) -> np.ndarray:
    """The standard deviation of the window around each pixel."""
    window = (FLAT_WINDOW, FLAT_WINDOW)
    mean = cv2.blur(luma, window, borderType=cv2.BORDER_REFLECT)
    square = cv2.blur(luma * luma, window, borderType=cv2.BORDER_REFLECT)
    return np.sqrt(np.maximum(square - mean * mean, 0))


def _likeness(one: np.ndarray, other: np.ndarray) -> float:
    """The correlation of two pictures; of a flat one with anything it is 0, of two flat ones 1."""
    one, other = one - one.mean(), other - other.mean()
    lengths = float(np.linalg.norm(one)), float(np.linalg.norm(other))
    if max(lengths) < 1e-3:
        return 1.0
    return float((one * other).sum() / (lengths[0] * lengths[1])) if min(lengths) >= 1e-3 else 0.0
