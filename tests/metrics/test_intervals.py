import pytest
import torch

from leed_hub.metrics import bootstrap_ratio_interval, share_with_interval, wilson_interval


def test_wilson_interval_by_hand():
    assert wilson_interval(50, 100) == pytest.approx([0.40383, 0.59617], abs=1e-5)
    assert wilson_interval(0, 10) == pytest.approx([0.0, 0.27753], abs=1e-5)
    assert wilson_interval(10, 10) == pytest.approx([0.72247, 1.0], abs=1e-5)


def test_a_share_comes_with_its_interval_and_without_rows_there_is_none():
    hits = torch.tensor([True] * 50 + [False] * 50)
    assert share_with_interval("found", hits) == {"found": 0.5, "found_interval": wilson_interval(50, 100)}
    assert share_with_interval("found", []) == {"found": None, "found_interval": None}


def test_bootstrap_interval_of_a_mean_is_near_the_normal_one():
    values = torch.rand(400, generator=torch.Generator().manual_seed(0)).numpy()
    low, high = bootstrap_ratio_interval(values, [1] * 400)
    half = 1.96 * values.std() / 20
    assert low == pytest.approx(values.mean() - half, abs=0.005)
    assert high == pytest.approx(values.mean() + half, abs=0.005)
    assert bootstrap_ratio_interval([1, 2], [0, 0]) is None and bootstrap_ratio_interval([], []) is None
