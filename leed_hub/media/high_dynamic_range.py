"""High dynamic range and wide gamut to BT.709, as players show them on an ordinary screen.

Sources: Recommendation ITU-R BT.2100-2 (the HLG and PQ curves), Report ITU-R BT.2408 (white at 203 cd/m2).
"""

from functools import lru_cache, reduce

import cv2
import numpy as np

PQ, HLG = 16, 18  # AVColorTransferCharacteristic
WHITE = 203.0  # cd/m2
HLG_PEAK, HLG_GAMMA = 1000.0, 1.2
GAMMA = 2.4  # of an ordinary screen, BT.1886
KNEE = 0.85  # of the range of BT.709: what is darker stays as it is, highlights are pressed into the rest
# Linear light to BT.709's primaries, by AVColorPrimaries.
TO_BT709 = {
    9: [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],  # BT.2020
    12: [[1.2249, -0.2247, 0.0], [-0.0421, 1.0420, 0.0], [-0.0196, -0.0786, 1.0979]],  # Display P3
}


def needs_conversion(transfer: int, primaries: int) -> bool:
    """Whether pictures coded so are no BT.709, by their AVColorTransferCharacteristic and AVColorPrimaries."""
    return transfer in (PQ, HLG) or primaries in TO_BT709


def to_bt709(picture: np.ndarray, transfer: int, primaries: int) -> np.ndarray:
    """Convert a picture's colours.

    Args:
        picture: (H, W, 3) uint16, red, green, blue codes over the full range.
    Returns:
        (H, W, 3) uint8.
    """
    light = _light_of_codes(transfer)[picture >> 4]
    if transfer == HLG:  # its curve gives the scene's light, which a screen shows with more contrast
        luminance = cv2.transform(light, np.array([[0.2627, 0.6780, 0.0593]], np.float32))
        light *= (cv2.pow(luminance, HLG_GAMMA - 1) * (HLG_PEAK / WHITE))[..., None]
    if primaries in TO_BT709:
        light = cv2.transform(light, np.array(TO_BT709[primaries], np.float32))
    level = cv2.pow(np.maximum(light, 0), 1 / GAMMA)
    if transfer in (PQ, HLG):  # highlights: all channels alike, so that hues stay
        brightest = reduce(np.maximum, cv2.split(level))
        is_high = brightest > KNEE
        high = brightest[is_high]
        level[is_high] *= ((1 - (1 - KNEE) * np.exp((KNEE - high) / (1 - KNEE))) / high)[:, None]
    return cv2.convertScaleAbs(level, alpha=255)


@lru_cache(maxsize=4)
def _light_of_codes(transfer: int) -> np.ndarray:
    """The light that each of 4096 codes stands for, 1 being white; of HLG, the scene's light, 1 being its peak."""
    code = np.linspace(0, 1, 4096)
    if transfer == PQ:
        m1, m2, c1, c2, c3 = 1305 / 8192, 2523 / 32, 107 / 128, 2413 / 128, 2392 / 128
        power = code ** (1 / m2)
        light = (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1) * (10_000 / WHITE)
    elif transfer == HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    else:
        light = code**GAMMA
    return light.astype(np.float32)
