"""Each corruption does what it says."""

import numpy as np
import pytest
from PIL import Image
from recognizer_stub import photograph_like

from leed_hub.evaluation.corruptions import CORRUPTIONS, blur, dark, half_size, jpeg, roll


def difference(first, second):
    return np.abs(np.asarray(first, dtype=float) - np.asarray(second, dtype=float)).mean()


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_corruption_keeps_size_and_mode_and_its_argument(name, mode):
    picture = photograph_like(48).convert(mode)
    before = np.asarray(picture).copy()
    worse = CORRUPTIONS[name](picture)
    assert (worse.size, worse.mode) == (picture.size, mode)
    assert np.array_equal(np.asarray(picture), before) and difference(worse, picture) > 0.1


@pytest.mark.parametrize("name", ["blur", "roll_plus_20", "dark"])
def test_a_corruption_means_the_same_at_any_size(name):
    small, large = (CORRUPTIONS[name](photograph_like(side)) for side in (48, 192))
    made = difference(small, photograph_like(48))
    assert difference(large.resize((48, 48), Image.Resampling.BOX), small) < made / 4


def test_blur_has_the_sigma_it_says():
    line = np.zeros((49, 49), dtype=np.uint8)
    line[:, 24] = 255
    profile = np.asarray(blur(Image.fromarray(line), sigma=2 / 49), dtype=float)[24]
    assert np.sqrt((profile * (np.arange(49) - 24) ** 2).sum() / profile.sum()) == pytest.approx(2, abs=0.1)


def test_roll_turns_counter_clockwise_about_the_centre_and_repeats_the_border():
    picture = photograph_like(48)
    assert difference(roll(picture, 90), picture.transpose(Image.Transpose.ROTATE_90)) < 0.5
    there_and_back = roll(roll(picture, 20), -20)
    inside = slice(12, 36)
    assert difference(np.asarray(there_and_back)[inside, inside], np.asarray(picture)[inside, inside]) < 4
    assert np.asarray(roll(Image.new("L", (48, 48), 200), 20)).min() == 200


def test_half_size_leaves_no_detail_of_a_pixel_and_all_of_a_plain_picture():
    checks = Image.fromarray((np.indices((48, 48)).sum(axis=0) % 2 * 255).astype(np.uint8))
    assert np.ptp(np.asarray(half_size(checks)).astype(int)) <= 1
    assert difference(half_size(photograph_like(48)), photograph_like(48)) < 6


def test_dark_multiplies_and_jpeg_loses_more_at_lower_quality():
    assert np.array_equal(np.asarray(dark(Image.new("L", (9, 9), 200))), np.full((9, 9), 80))
    picture = photograph_like(48)
    assert difference(jpeg(picture, 10), picture) > difference(jpeg(picture), picture) > 0
