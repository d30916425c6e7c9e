import numpy as np
import pytest

from leed_hub.metrics.following import following_scores

NAMES = ("opening", "width")


@pytest.fixture
def asked():
    return np.random.default_rng(0).normal(size=(12, 2))


def made_of(asked, gain, noise=0.0, n=30):
    rng = np.random.default_rng(1)
    return gain * asked + noise * rng.normal(size=(n, *asked.shape))


@pytest.mark.parametrize("gain", [1.0, 0.3, -1.0])
def test_the_slope_is_the_share_made_and_the_correlation_its_sign(asked, gain):
    scores = following_scores(asked, made_of(asked, gain), NAMES)
    assert scores["slope"] == pytest.approx(gain) and scores["correlation"] == pytest.approx(np.sign(gain))
    assert scores["slope_interval"] == pytest.approx([gain, gain]) and scores["n_pairs"] == 360


def test_asked_of_another_reference_nothing_follows(asked):
    scores = following_scores(asked, made_of(asked, 1.0), NAMES)
    for name in ("correlation_shuffled", "slope_shuffled"):
        assert abs(scores[name] + 1 / 11) < 0.15, name  # -1 / (R - 1) but for chance


def test_noise_follows_nothing(asked):
    scores = following_scores(asked, made_of(asked, 0.0, noise=1.0), NAMES)
    assert abs(scores["correlation"]) < 0.15 and scores["slope_interval"][0] < 0 < scores["slope_interval"][1]


def test_an_editor_that_always_does_the_same_has_the_slope_of_its_control(asked):
    asked = asked + 3  # all references ask for much the same
    made = np.full((30, *asked.shape), 2.0)
    scores = following_scores(asked, made, NAMES)
    assert scores["correlation"] is None
    assert scores["slope"] > 0.5 and scores["slope_shuffled"] == pytest.approx(scores["slope"])


def test_nothing_made_has_slope_zero_and_no_correlation(asked):
    scores = following_scores(asked, made_of(asked, 0.0), NAMES)
    assert scores["slope"] == 0.0 and scores["correlation"] is None and scores["correlation_interval"] is None


def test_agrees_with_numpy_and_leaves_out_what_was_not_measured(asked):
    made = made_of(asked, 0.5, noise=0.5)
    made[3, 4] = made[7, 1] = np.nan
    scores = following_scores(asked, made, NAMES)
    for k, name in enumerate(NAMES):
        a, m = np.broadcast_to(asked[:, k], made.shape[:2]).ravel(), made[..., k].ravel()
        a, m = a[np.isfinite(m)], m[np.isfinite(m)]
        assert scores["features"][name]["correlation"] == pytest.approx(np.corrcoef(a, m)[0, 1])
        assert scores["features"][name]["slope"] == pytest.approx((a @ m) / (a @ a))
    assert scores["n_pairs"] == 358


def test_the_interval_holds_the_value_and_narrows_with_more_sources(asked):
    widths = []
    for n in (10, 160):
        scores = following_scores(asked, made_of(asked, 0.5, noise=1.0, n=n), NAMES)
        low, high = scores["slope_interval"]
        assert low < scores["slope"] < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_one_reference_alone_has_no_control(asked):
    scores = following_scores(asked[:1], made_of(asked[:1], 1.0), NAMES)
    assert scores["slope"] == pytest.approx(1.0) and scores["slope_shuffled"] is None


def test_shapes_that_do_not_match_are_refused(asked):
    with pytest.raises(ValueError, match="expected"):
        following_scores(asked, np.zeros((3, 5, 2)), NAMES)
