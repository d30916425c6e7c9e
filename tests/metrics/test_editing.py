import json

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from leed_hub.losses.reconstruction import changed_region
from leed_hub.metrics import EditingMetrics
from leed_hub.metrics.editing import changed_pixels

SIZE = 16


def grey(level=100):
    return np.full((SIZE, SIZE, 3), level, np.uint8)


def with_dot(level, at=(8, 8)):
    """Grey 100 with one pixel of another level, whose changed region is 7x7."""
    image = grey()
    image[at] = level
    return image


def noise(seed):
    return np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)


def scores(*triplets, yaw_deg=(0.0, 0.0, 0.0)):
    metrics = EditingMetrics()
    for (edited, source, target), yaw in zip(triplets, yaw_deg, strict=False):
        metrics.update(edited, source, target, yaw)
    return metrics.compute()


def test_returning_the_source_scores_exactly_one_and_disturbs_nothing():
    source, target = noise(0), noise(1)
    source[:, :5], target[:, :5] = 7, 7  # a part that does not change
    result = scores((source, source, target))
    assert result["error_ratio"] == 1.0 and result["unchanged_error"] == 0.0
    assert result["error_ratio_interval"] == [1.0, 1.0]


def test_returning_the_target_scores_zero():
    result = scores((with_dot(150), grey(), with_dot(150)), (with_dot(50), grey(), with_dot(50)))
    assert result["error_ratio"] == 0.0 and result["error_ratio_interval"] == [0.0, 0.0]
    assert result["unchanged_error"] == 0.0
    assert result["ssim"] == pytest.approx(1.0) and result["psnr"] == 100.0


def test_error_ratio_by_hand_counts_only_the_changed_region():
    edited = with_dot(130)  # the dot is half way: |130 - 160| * 3 = 90 of |100 - 160| * 3 = 180
    edited[8, 11] = 110  # inside the 7x7 region: 30 more
    edited[8, 12] = 140  # just outside: 3 * 40 of unchanged error
    result = scores((edited, grey(), with_dot(160)))
    assert result["error_ratio"] == pytest.approx(120 / 180)
    assert result["unchanged_error"] == pytest.approx(3 * 40 / (3 * (SIZE * SIZE - 49)))


def test_error_ratio_pools_pixels_over_triplets_instead_of_averaging_ratios():
    small = (grey(), grey(), with_dot(110))  # 30 of 30
    large = (with_dot(190), grey(), with_dot(190))  # 0 of 270
    assert scores(small, large)["error_ratio"] == pytest.approx(30 / 300)


def test_difference_of_eight_levels_is_not_a_change_and_nine_is():
    assert scores((grey(), grey(), with_dot(108)))["error_ratio"] is None
    assert scores((grey(), grey(), with_dot(109)))["error_ratio"] == 1.0


def test_darkening_counts_as_much_as_brightening():
    assert scores((with_dot(0), grey(), with_dot(200)))["error_ratio"] == pytest.approx(2.0)


def test_changed_region_is_the_losses_region():
    source = noise(2)
    target = (source.astype(int) + np.random.default_rng(3).integers(0, 10, source.shape)).clip(0, 255).astype(np.uint8)
    target[6:, :] = source[6:, :]
    tensors = [torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1 for image in (source, target)]
    region = changed_pixels(source.astype(int), target.astype(int))
    assert 0 < region.sum() < region.size
    assert np.array_equal(region, changed_region(*tensors)[0, 0].numpy())


def test_yaw_of_either_sign_splits_at_25_degrees():
    half = (with_dot(130), grey(), with_dot(160))
    none = (grey(), grey(), with_dot(160))
    result = scores(half, none, none, yaw_deg=(-25.0, -25.1, 40.0))
    assert (result["error_ratio_frontal"], result["error_ratio_profile"]) == (0.5, 1.0)
    assert (result["n"], result["n_frontal"], result["n_profile"]) == (3, 1, 2)
    assert scores(half)["error_ratio_profile"] is None


def test_psnr_and_ssim_by_hand_are_means_over_pictures():
    off_by_ten = (grey(110), grey(), grey(100))  # 20 log10(255 / 10) dB
    off_by_one = (grey(101), grey(), grey(100))  # 20 log10(255) dB
    result = scores(off_by_ten, off_by_one)
    assert result["psnr"] == pytest.approx(20 * np.log10(255) - 10, abs=1e-3)
    c1 = (0.01 * 255) ** 2  # on constant pictures only the luminance term is left
    luminance = [(2 * level * 100 + c1) / (level**2 + 100**2 + c1) for level in (110, 101)]
    assert result["ssim"] == pytest.approx(np.mean(luminance), abs=3e-4)


def test_ssim_agrees_with_scikit_image():
    source, target = (np.pad(noise(seed), ((10, 10), (10, 10), (0, 0))) for seed in (4, 5))  # the two pad differently
    edited = (0.7 * target + 0.3 * source).astype(np.uint8)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": 2}
    _, values = structural_similarity(edited, target, data_range=255, full=True, **options)
    assert scores((edited, source, target))["ssim"] == pytest.approx(values.mean(), abs=1e-4)


def test_interval_is_seeded_and_agrees_with_drawing_triplets_one_by_one():
    metrics, again = EditingMetrics(seed=3), EditingMetrics(seed=3)
    rng = np.random.default_rng(0)
    ratios = []
    for level in rng.integers(110, 200, 30).tolist():
        edited_level = int(rng.integers(100, level))
        for m in (metrics, again):
            m.update(with_dot(edited_level), grey(), with_dot(level), 0.0)
        ratios.append((level - edited_level, level - 100))
    ratios = np.array(ratios)
    low, high = metrics.compute()["error_ratio_interval"]
    draws = [ratios[rng.integers(0, 30, 30)].sum(axis=0) for _ in range(4000)]
    expected = np.percentile([changed / before for changed, before in draws], [2.5, 97.5])
    assert low < metrics.compute()["error_ratio"] < high
    assert [low, high] == pytest.approx(expected, abs=0.02)
    assert again.compute() == metrics.compute()


def test_without_the_similarities_all_else_is_the_same():
    whole, bare = EditingMetrics(), EditingMetrics(similarity=False)
    for metrics in (whole, bare):
        metrics.update(noise(1), noise(2), noise(3), 0.0)
    similarities = ("ssim", "psnr", "visual_information_fidelity")
    assert [bare.compute()[name] for name in similarities] == [None] * 3
    assert bare.compute() == whole.compute() | dict.fromkeys(similarities)


def test_nothing_seen_gives_none_and_can_be_written_as_json():
    result = EditingMetrics().compute()
    assert result["n"] == 0 and result["error_ratio"] is None and result["ssim"] is None
    json.dumps(result, allow_nan=False)


def test_error_ratio_of_a_chosen_part():
    metrics = EditingMetrics()
    metrics.update(grey(), grey(), with_dot(160), 0.0)
    metrics.update(with_dot(130), grey(), with_dot(160), 0.0)
    assert metrics.error_ratio(np.array([False, True])) == 0.5
    assert metrics.error_ratio(np.array([False, False])) is None


def test_pictures_are_not_kept():
    metrics = EditingMetrics()
    metrics.update(grey(), grey(), with_dot(160), 0.0)
    kept = [value for values in vars(metrics).values() if isinstance(values, list) for value in values]
    assert len(kept) == 7 + (SIZE >= 41) and all(isinstance(value, int | float) for value in kept)


@pytest.mark.parametrize(
    "edited", [grey().astype(np.float32), grey()[:8], grey()[..., 0], np.zeros((SIZE, SIZE, 4), np.uint8)]
)
def test_wrong_pictures_are_refused_with_what_came(edited):
    with pytest.raises(ValueError, match="for edited"):
        EditingMetrics().update(edited, grey(), grey(), 0.0)


def test_worse_than_source_counts_triplets_in_which_something_changes():
    nearer, further = (with_dot(130), grey(), with_dot(160)), (with_dot(10), grey(), with_dot(160))
    unchanged = (with_dot(150), grey(), grey())
    assert scores(nearer, further, further, unchanged)["worse_than_source"] == pytest.approx(2 / 3)
    assert scores(unchanged)["worse_than_source"] is None


def test_visual_information_fidelity_is_one_for_the_target_and_falls_with_blur():
    picture = np.random.default_rng(0).integers(0, 256, (48, 48, 3)).astype(np.uint8)
    blurred = (picture // 2 + np.roll(picture, 1, axis=1) // 2).astype(np.uint8)
    same, soft = (scores((edit, picture, picture))["visual_information_fidelity"] for edit in (picture, blurred))
    assert same == pytest.approx(1, abs=1e-3) and soft < 0.5
    assert scores((grey(), grey(), grey()))["visual_information_fidelity"] is None or SIZE >= 41
