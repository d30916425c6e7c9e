import cv2
import numpy as np
import pytest
from skimage import data

from leed_hub.metrics.destruction import LIMITS, destruction_signs, is_destroyed

MOUTH = np.s_[102:132, 44:92]


@pytest.fixture(scope="module")
def face():
    """A photograph's face, (160, 136, 3)."""
    return np.ascontiguousarray(data.astronaut()[30:190, 156:292])


def warped(face):
    """The face after an ordinary edit: the corners of the mouth pulled by some pixels, a little light, new grain."""
    y, x = np.mgrid[: face.shape[0], : face.shape[1]].astype(np.float32)
    pull = 5 * np.exp(-((x - 68) ** 2 + (y - 115) ** 2) / (2 * 18**2))
    moved = cv2.remap(face, x - pull * np.sign(x - 68), y + pull, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    grain = np.random.default_rng(0).normal(4, 2, face.shape)
    return np.clip(moved + grain, 0, 255).astype(np.uint8)


def slab(face):
    face[MOUTH] = 127


def stripes(face):
    face[MOUTH][:, ::6] = 20
    face[MOUTH][:, 3::6] = 220


def paint(face):
    face[MOUTH] = (40, 220, 60)


def burnt(face):
    face[MOUTH] = 255


def noise(face):
    face[MOUTH] = np.random.default_rng(0).integers(0, 256, face[MOUTH].shape)


def test_the_photograph_itself_shows_no_sign(face):
    assert destruction_signs(face, face) == pytest.approx(dict.fromkeys(LIMITS, 0.0), abs=1e-6)


def test_an_ordinary_edit_is_far_from_every_limit(face):
    signs = destruction_signs(warped(face), face)
    assert all(signs[name] < limit / 2 for name, limit in LIMITS.items()) and not is_destroyed(signs)


@pytest.mark.parametrize("soften", [lambda face: cv2.GaussianBlur(face, (0, 0), 1.5), lambda face: face // 2 + 64])
def test_softness_and_less_contrast_are_no_destruction(face, soften):
    assert not is_destroyed(destruction_signs(soften(face), face))


def test_red_lips_that_open_wide_are_no_loud_paint(face):
    red, closed, wide = (215, 25, 35), face.copy(), face.copy()
    closed[112:120, 48:88] = red
    wide[104:112, 48:88] = wide[128:136, 48:88] = red
    assert destruction_signs(wide, face)["painted"] > LIMITS["painted"] > destruction_signs(wide, closed)["painted"]


@pytest.mark.parametrize(
    ("destroy", "sign"),
    [(slab, "flattened"), (stripes, "edged"), (paint, "painted"), (burnt, "clipped"), (noise, "edged")],
)
def test_each_destruction_fires_its_sign(face, destroy, sign):
    destroyed = warped(face)
    destroy(destroyed)
    signs = destruction_signs(destroyed, face)
    assert signs[sign] > LIMITS[sign] and is_destroyed(signs)


@pytest.mark.parametrize("other", [np.full((160, 136, 3), 90, np.uint8), 255 - data.astronaut()[30:190, 156:292]])
def test_another_picture_altogether_is_estranged(face, other):
    assert destruction_signs(np.ascontiguousarray(other), face)["estranged"] > LIMITS["estranged"]


def test_pictures_of_two_sizes_are_refused(face):
    with pytest.raises(ValueError, match="one shape"):
        destruction_signs(face[1:], face)
