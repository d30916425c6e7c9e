import pytest
import torch

from leed_hub.losses.reconstruction import (
    changed_region,
    flow_total_variation,
    gradient_l1,
    landmark_distance,
    landmark_flow_loss,
    mask_sparsity,
    pyramid_l1,
    weighted_l1,
)


def from_bytes(values):
    return values.float() / 127.5 - 1


def test_changed_region_is_a_seven_pixel_square_around_one_changed_pixel():
    source = torch.zeros(1, 3, 16, 16)
    target = source.clone()
    target[0, 1, 8, 5] = 0.1  # one channel is enough, though the mean over channels is below the threshold
    mask = changed_region(source, target)
    expected = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    expected[0, 0, 5:12, 2:9] = True
    assert mask.dtype == torch.bool and torch.equal(mask, expected)


def test_changed_region_is_cut_at_the_border():
    source = torch.zeros(1, 1, 8, 8)
    target = source.clone()
    target[0, 0, 0, 0] = 1
    assert changed_region(source, target).sum() == 16


def test_changed_region_needs_more_than_eight_grey_levels_at_every_brightness():
    levels = torch.arange(0, 247).view(1, 1, 1, -1)
    at = changed_region(from_bytes(levels), from_bytes(levels + 8), dilation_px=0)
    above = changed_region(from_bytes(levels), from_bytes(levels + 9), dilation_px=0)
    assert not at.any() and above.all()


def test_changed_region_agrees_with_a_naive_loop_and_keeps_pictures_apart():
    generator = torch.Generator().manual_seed(0)
    source = from_bytes(torch.randint(0, 256, (3, 3, 9, 11), generator=generator))
    target = source.clone()
    target[0, 0, 4, 4] = -source[0, 0, 4, 4].sign()
    target[1, 2, 0, 10] = -source[1, 2, 0, 10].sign()
    expected = torch.zeros(3, 1, 9, 11, dtype=torch.bool)
    for b in range(3):
        for y in range(9):
            for x in range(11):
                window = (slice(max(0, y - 2), y + 3), slice(max(0, x - 2), x + 3))
                difference = (source[b][:, *window] - target[b][:, *window]).abs()
                expected[b, 0, y, x] = bool((difference > 8 / 255 * 2 + 1e-4).any())
    mask = changed_region(source, target, dilation_px=2)
    assert torch.equal(mask, expected) and mask[0].any() and not mask[2].any()


def test_weighted_l1_without_weight_is_the_plain_mean():
    prediction = torch.tensor([1.0, 2.0, 3.0, 6.0]).view(1, 1, 2, 2)
    assert weighted_l1(prediction, torch.zeros(1, 1, 2, 2)).item() == 3.0


def test_weighted_l1_by_hand():
    prediction = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])  # (1, 2, 1, 2)
    weight = torch.tensor([[[[1.0, 3.0]]]])
    # sum(w * |.|) = 1*(1+3) + 3*(2+4) = 22; sum(w) = 4; C = 2
    assert weighted_l1(prediction, torch.zeros_like(prediction), weight).item() == pytest.approx(22 / 8)


def test_weighted_l1_does_not_depend_on_the_scale_of_its_weight():
    prediction, target, weight = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4), torch.rand(2, 1, 4, 4)
    torch.testing.assert_close(weighted_l1(prediction, target, weight), weighted_l1(prediction, target, 7 * weight))
    torch.testing.assert_close(weighted_l1(prediction, target, torch.ones(2, 1, 4, 4)), weighted_l1(prediction, target))


def test_weighted_l1_with_a_bool_mask_sees_only_the_marked_pixels():
    prediction = torch.tensor([5.0, 1.0]).view(1, 1, 1, 2)
    mask = torch.tensor([False, True]).view(1, 1, 1, 2)
    assert weighted_l1(prediction, torch.zeros_like(prediction), mask).item() == 1.0


def test_weighted_l1_of_an_empty_mask_is_zero_and_its_gradient_finite():
    prediction = torch.rand(1, 3, 4, 4, requires_grad=True)
    loss = weighted_l1(prediction, torch.rand(1, 3, 4, 4), torch.zeros(1, 1, 4, 4, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0 and torch.equal(prediction.grad, torch.zeros_like(prediction))


def test_weighted_l1_gives_no_gradient_to_weight_nor_to_the_source_behind_a_mask():
    source = torch.rand(1, 3, 8, 8, requires_grad=True)
    weight = torch.rand(1, 1, 8, 8, requires_grad=True)
    prediction = torch.rand(1, 3, 8, 8, requires_grad=True)
    target = torch.rand(1, 3, 8, 8)
    (
        weighted_l1(prediction, target, changed_region(source, target)) + weighted_l1(prediction, target, weight)
    ).backward()
    assert source.grad is None and weight.grad is None and prediction.grad.abs().sum() > 0


def test_gradient_l1_by_hand():
    prediction = torch.tensor([[0.0, 1.0], [2.0, 5.0]]).view(1, 1, 2, 2)
    # horizontal differences 1, 3 (mean 2); vertical 2, 4 (mean 3)
    assert gradient_l1(prediction, torch.zeros_like(prediction)).item() == 5.0


def test_gradient_l1_ignores_a_constant_and_minds_the_direction_of_an_edge():
    picture = torch.rand(1, 3, 6, 6)
    assert gradient_l1(picture, picture + 0.5).item() == pytest.approx(0, abs=1e-6)
    edge = torch.tensor([0.0, 1.0]).view(1, 1, 1, 2).expand(1, 1, 2, 2)
    assert gradient_l1(edge, edge.flip(3)).item() == 2.0


def test_gradient_l1_weighs_a_difference_by_its_two_pixels():
    prediction = torch.tensor([0.0, 1.0, 5.0]).view(1, 1, 1, 3).expand(1, 1, 2, 3)  # differences 1 and 4, none down
    weight = torch.tensor([0.0, 0.0, 1.0]).view(1, 1, 1, 3).expand(1, 1, 2, 3)  # pair weights 0 and 1/2
    assert gradient_l1(prediction, torch.zeros_like(prediction), weight).item() == 4.0


def test_flow_total_variation_by_hand():
    flow = torch.zeros(1, 2, 2, 2)
    flow[0, 0] = torch.tensor([[0.0, 2.0], [0.0, 2.0]])  # along x: 2, 2 here, 0, 0 in the other channel: mean 1
    flow[0, 1] = torch.tensor([[0.0, 0.0], [6.0, 6.0]])  # along y: 0, 0 and 6, 6: mean 3
    assert flow_total_variation(flow).item() == 4.0


def test_flow_total_variation_of_a_pure_shift_is_zero():
    assert flow_total_variation(torch.full((2, 2, 4, 4), 3.0)).item() == 0


def test_mask_sparsity_is_the_share_that_is_painted():
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :1] = 1
    assert mask_sparsity(mask).item() == 0.25


def test_pyramid_l1_is_the_mean_over_sizes_worked_out_by_hand():
    """A checkerboard of 0 and 1 against 0.5: off by 0.5 at full size, not at all once halved."""
    board = (torch.arange(8)[:, None] + torch.arange(8)) % 2
    prediction = board.float()[None, None]
    assert pyramid_l1(prediction, torch.full_like(prediction, 0.5), levels=2) == pytest.approx(0.25)
    assert pyramid_l1(prediction, torch.full_like(prediction, 0.5), levels=1) == pytest.approx(0.5)


def test_pyramid_l1_weighs_coarse_pixels_by_their_share():
    prediction, target = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    target[..., :2] = 1.0
    weight = torch.zeros(1, 1, 4, 4)
    weight[..., :2] = 1.0
    assert pyramid_l1(prediction, target, weight, levels=2) == pytest.approx(1.0)
    assert pyramid_l1(prediction, target, 1 - weight, levels=2) == pytest.approx(0.0)


def test_a_flow_far_off_gets_a_gradient_from_the_coarse_sizes_only():
    """Two narrow lines apart: fine pixels do not overlap, coarse ones do."""
    place = torch.tensor(8.0, requires_grad=True)
    x = torch.arange(32.0)
    line = torch.exp(-((x - place) ** 2))[None, None, None].expand(1, 1, 32, 32)
    target = torch.exp(-((x - 13.0) ** 2))[None, None, None].expand(1, 1, 32, 32)
    (fine,) = torch.autograd.grad(pyramid_l1(line, target, levels=1), place, retain_graph=True)
    (coarse,) = torch.autograd.grad(pyramid_l1(line, target, levels=4), place)
    assert abs(fine) < 0.1 * abs(coarse) and coarse < 0


def test_landmark_flow_loss_by_hand():
    flow = torch.zeros(1, 2, 8, 8)
    flow[:, 0] = 0.25  # fetch from the right
    target = torch.tensor([[[0.0, 0.0], [-0.5, 0.5], [0.2, 0.2], [1.5, 0.0]]])
    source = torch.tensor([[[0.25, 0.0], [-0.5, 0.5], [torch.nan, 0.2], [1.0, 0.0]]])
    # Right, 0.25 off, unknown, out of the crop.
    assert landmark_flow_loss(flow, source, target).item() == pytest.approx(0.125)
    weight = torch.tensor([1.0, 3.0, 9.0, 9.0])
    assert landmark_flow_loss(flow, source, target, weight).item() == pytest.approx(3 * 0.25 / 4)
    assert landmark_flow_loss(flow, source * torch.nan, target) == 0


def test_landmark_flow_loss_draws_the_flow_from_the_target_to_the_source():
    flow = torch.zeros(1, 2, 8, 8, requires_grad=True)
    landmark_flow_loss(flow, torch.tensor([[[0.3, -0.2]]]), torch.tensor([[[0.0, 0.0]]])).backward()
    assert (flow.grad[0, 0] <= 0).all() and (flow.grad[0, 1] >= 0).all() and flow.grad.abs().sum() > 0
    assert flow.grad[..., 0].abs().sum() == 0  # nothing is asked far from the landmark


def test_landmark_distance_by_hand_counts_known_landmarks_only():
    found = torch.tensor([[[0.0, 0.0], [1.0, 1.0], [5.0, 5.0]]])
    landmarks = torch.tensor([[[3.0, 4.0], [1.0, 2.0], [torch.nan, 0.0]]])
    assert landmark_distance(found, landmarks).item() == pytest.approx(3)
    assert landmark_distance(found, landmarks, torch.tensor([3.0, 1.0, 9.0])).item() == pytest.approx((15 + 1) / 4)
    assert landmark_distance(found, landmarks * torch.nan) == 0
