"""Paste-back: an edit carried from the aligned crop into the photograph, at the photograph's own sharpness."""

import math
from functools import partial

import cv2
import numpy as np

from leed_hub.faces.alignment import covered_box, crop_face

STRIP_ROWS = 64  # a face that fills a large photograph is pasted back in strips, which also stay in the cache
GRAIN_SIZE = 1.5  # pixels; what is finer counts as grain
GRAIN_REACH = round(4 * GRAIN_SIZE)  # as far as the blur that tells it looks
SAME_COLOR = 12  # of 255; where the paint is nearer to the photograph it covers, it takes on most of its detail
# Of 255; how far colours stray from a curve over brightness: 0 in grey, under 2 in toned prints, 2.9 and more in 779
# photographs and renders in colour.
ONE_TONE = 2
TONE_SAMPLES = 32  # pixels a side that tell it
LEAST_COLOR = 1 / 512  # of a mask; half a grey level at most
# How far below the crop an edit still moves the photograph, a share of the crop's side. A chin lies on the crop's lower
# border and moves by up to 0.1 of the side, which over this distance neither folds nor tears the neck.
REACH_BELOW = 0.15


def paste_back(
    photo: np.ndarray, matrix: np.ndarray, size: int, flow: np.ndarray, mask: np.ndarray, color: np.ndarray
) -> np.ndarray:
    """Carry an edit from the crop into the photograph, at the photograph's own sharpness.

    The flow moves the photograph's own pixels; colour is mixed in only under the mask, and where it hardly differs from
    what it covers, all that is finer than the crop stays. Both fade out towards the crop's border, so there is no seam;
    only below, where the border cuts the chin, the flow goes on for `REACH_BELOW` and fades there. Elsewhere outside
    the crop nothing changes. Where the photograph ends with the crop there is nothing to join, and the flow does not
    fade; where it goes on a little, the flow fades a little, so that a video's face may cross the picture's border
    without a jump.

    Args:
        photo: (H, W, 3) uint8.
        matrix: (2, 3), photograph pixels -> crop pixels.
        size: side of the crop.
        flow: (h, h, 2) float32, (x, y) offsets in units of half the crop's side.
        mask: (m, m) float32 in [0, 1].
        color: (c, c, 3) float32 in [-1, 1]. The three fields cover the crop at any resolution each.
    Returns:
        (H, W, 3) uint8, a new array.
    """
    left, top, right, bottom = covered_box(matrix, size, photo.shape, below=REACH_BELOW)
    to_photo = np.linalg.inv(matrix[:, :2]) * (size / 2)  # an offset in half sides of the crop -> in photograph pixels
    margin = 2 / min(flow.shape[0], mask.shape[0])  # cubic sampling reads two cells away
    fade = border_fade(flow.shape[0], margin, below=REACH_BELOW, beyond=_photograph_beyond(photo.shape, matrix, size))
    flow = np.pad(flow, ((0, len(fade) - len(flow)), (0, 0), (0, 0)), mode="edge") * fade[:, :, None]
    offset = flow @ to_photo.T
    mask = mask * border_fade(mask.shape[0], margin)
    color = cv2.resize((color.astype(np.float32) + 1) * 127.5, (size, size))
    region = photo[top:bottom, left:right]
    color = _in_tone_of(region, color)
    coarse, likeness = _covered(crop_face(photo, matrix, size), flow[: flow.shape[1]], color)
    # What is painted and how alike it is; all three fields are smooth between their cells.
    paint = _finer(np.dstack([color - likeness[..., None] * coarse, likeness]), size)
    offset, mask = _finer(offset, size), _finer(mask, size)
    noise = _noise_limit(region)
    from_crop = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    columns, rows = (np.arange(*ends, dtype=np.float32) for ends in ((left, right), (0, STRIP_ROWS + 2 * GRAIN_REACH)))
    pixels = np.stack(np.meshgrid(columns, rows), -1)  # a strip's, but for its height in the photograph
    edited = photo.copy()
    for first in range(top, bottom, STRIP_ROWS):
        last = min(first + STRIP_ROWS, bottom)
        upper = max(first - GRAIN_REACH, top)  # grain is told apart from what lies around it, in the next strips too
        lower = min(last + GRAIN_REACH, bottom)
        to_strip = np.array([[1, 0, -left], [0, 1, -upper], [0, 0, 1]], dtype=np.float64) @ from_crop
        lay = partial(_lay, to_strip=to_strip, crop_size=size, height=lower - upper)
        places = lay(offset, columns=slice(0, right - left))
        places += pixels[: lower - upper]
        places[..., 1] += upper
        # Cubic: linear sampling blurs the grain; Lanczos keeps a little more, but all of this then takes twice as long.
        laid = cv2.remap(photo, places, np.empty(0), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        alpha = lay(mask, columns=slice(0, right - left))
        colored = np.flatnonzero(alpha.max(axis=0) > LEAST_COLOR)
        if len(colored):
            part = slice(int(colored[0]), int(colored[-1]) + 1)
            warped = laid[:, part].astype(np.float32)
            # Paint is no finer than the crop: it takes on the detail of what it covers if like it, else its grain.
            own, alike = np.split(lay(paint, columns=part), [3], axis=2)
            painted = cv2.blendLinear(warped, _grain(warped).clip(-noise, noise), alike, 1 - alike)
            painted += own
            share = alpha[:, part].clip(0, 1)
            laid[:, part] = np.rint(cv2.blendLinear(warped, painted, 1 - share, share)).clip(0, 255)
        edited[first:last, left:right] = laid[first - upper : last - upper]
    return edited


def _finer(field: np.ndarray, crop_size: int) -> np.ndarray:
    """A field over the crop, (n or more, n[, C]), in cells of at most half a pixel of the crop, by cubic sampling.

    Linear sampling of the result, which is several times as fast, then leaves no corners.
    """
    times = math.ceil(2 * crop_size / field.shape[1])
    return cv2.resize(field.astype(np.float32), None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)


def _lay(field: np.ndarray, to_strip: np.ndarray, crop_size: int, columns: slice, height: int) -> np.ndarray:
    """A field over the crop, (n or more, n[, C]), sampled at some columns of a strip's pixels: (height, width[, C]).

    Outside the field it is as on its border.
    """
    scale = crop_size / field.shape[1]
    own_pixels = np.array([[scale, 0, 0.5 * scale - 0.5], [0, scale, 0.5 * scale - 0.5], [0, 0, 1]])
    matrix = (to_strip @ own_pixels)[:2] - [[0, 0, columns.start], [0, 0, 0]]
    size = columns.stop - columns.start, height
    return cv2.warpAffine(field, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _in_tone_of(region: np.ndarray, color: np.ndarray) -> np.ndarray:
    """The paint (c, c, 3) in 0..255 in the tone of a photograph that has but one, such as grey or sepia."""
    step = max(1, min(region.shape[:2]) // TONE_SAMPLES)
    sample = region[::step, ::step].reshape(-1, 3).astype(np.float32)
    grey = sample.mean(axis=1, keepdims=True)

    def curve(grey: np.ndarray) -> np.ndarray:
        return (grey / 255) ** np.arange(4, dtype=np.float32)

    tint = np.linalg.lstsq(curve(grey), sample - grey)[0]  # (4, 3)
    if (sample - grey - curve(grey) @ tint).std(axis=0).max() > ONE_TONE:
        return color
    painted = color.mean(axis=2, keepdims=True)
    return painted + curve(painted.clip(grey.min(), grey.max())) @ tint


def _covered(crop: np.ndarray, flow: np.ndarray, color: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The crop (S, S, 3) as it is moved, and how alike it and the paint (S, S, 3) are in colour, (S, S) in 0..1."""
    size = len(crop)
    places = np.stack(np.meshgrid(*2 * [np.arange(size, dtype=np.float32)]), -1)
    places += cv2.resize(flow.astype(np.float32), (size, size)) * (size / 2)
    # Cubic, as linear sampling of OpenCV 5.0 takes an empty second map for one.
    warped = cv2.remap(crop, places, np.empty(0), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    difference = cv2.GaussianBlur(np.abs(warped - color).mean(axis=2), (0, 0), 1.0)
    return warped, np.exp(-((difference / SAME_COLOR) ** 2))


def _grain(picture: np.ndarray) -> np.ndarray:
    """What is finer than `GRAIN_SIZE`, (H, W, 3) float32."""
    return picture - cv2.GaussianBlur(picture, (0, 0), GRAIN_SIZE)


def _noise_limit(region: np.ndarray) -> float:
    """Two standard deviations of the noise in the middle of a face; what is finer and stronger than that is an edge."""
    height, width = region.shape[:2]
    y, x = max(0, height // 2 - 128), max(0, width // 2 - 128)
    grain = _grain(region[y : y + 256, x : x + 256].astype(np.float32))
    return 3 * float(np.median(np.abs(grain[::2, ::2])))  # a quarter of them tells it as well


def _photograph_beyond(shape: tuple[int, ...], matrix: np.ndarray, size: int) -> tuple[float, float, float]:
    """How far the photograph goes on beyond the crop's left, upper and right border, as shares of the crop's side."""
    height, width = shape[:2]
    corners = np.array([[-0.5, -0.5], [width - 0.5, -0.5], [width - 0.5, height - 0.5], [-0.5, height - 0.5]])
    x, y = (corners @ matrix[:, :2].T + matrix[:, 2]).T + 0.5  # in crop pixels from the crop's corner
    return max(0, -x.min() / size), max(0, -y.min() / size), max(0, x.max() / size - 1)


def border_fade(
    size: int,
    margin: float,
    width: float = 0.08,
    below: float = 0.0,
    beyond: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> np.ndarray:
    """(size, size) float32: 0 in a margin (share of the side), rising smoothly to 1 over the next `width` of it.

    With `below`, rows are added under the square, and the fade to 0 takes place in them. Towards the left, upper and
    right border the fade is whole where there is at least a margin `beyond` it, and none where there is nothing.
    """
    place = (np.arange(size, dtype=np.float32) + 0.5) / size
    row = (np.arange(size + round(below * size), dtype=np.float32) + 0.5) / size
    left, above, right = (
        distance - margin + (margin + width) * max(0.0, 1 - rest / margin)
        for distance, rest in zip((place, row, 1 - place), beyond, strict=True)
    )
    across = np.minimum(left, right)
    down = np.minimum(above / width, (1 + below - margin - row) / ((below - margin) if below else width))
    return np.minimum.outer(_smoothstep(down), _smoothstep(across / width))


def _smoothstep(rise: np.ndarray) -> np.ndarray:
    """0 up to 0, 1 from 1 on, and no kink between."""
    rise = rise.clip(0, 1)
    return rise * rise * (3 - 2 * rise)
