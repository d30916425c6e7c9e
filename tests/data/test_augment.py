import pytest
import torch

from leed_hub.data import augment


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int = 4, size: int = 16) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, size, size), generator=generator(), dtype=torch.uint8)


def test_no_movement_gives_the_picture_back():
    theta = augment.Affine().draw(4, generator())
    seen = augment.view(pictures(), theta, 16)
    assert torch.allclose(seen, pictures().float() / 255, atol=1e-5)


def test_mirroring_turns_left_and_right_around_in_the_chosen_views():
    theta = augment.mirror(augment.Affine().draw(4, generator()), torch.tensor([True, False, True, False]))
    seen, plain = augment.view(pictures(), theta, 16), pictures().float() / 255
    assert torch.allclose(seen[0], plain[0].flip(-1), atol=1e-5)
    assert torch.allclose(seen[1], plain[1], atol=1e-5)


def test_a_shift_moves_by_its_share_of_the_side():
    theta = torch.tensor([[[1.0, 0, 2 * 0.25], [0, 1, 0]]])
    seen = augment.view(pictures(1), theta, 16)
    assert torch.allclose(seen[..., :12], pictures(1).float()[..., 4:] / 255, atol=1e-5)


def test_light_keeps_the_range_and_grey_stays_grey():
    grey = pictures().float()[:, :1].expand(-1, 3, -1, -1) / 255
    light = augment.ColorJitter(tint=0).draw(4, generator())
    lit = augment.apply_color_jitter(grey, light)
    assert lit.min() >= 0 and lit.max() <= 1
    assert torch.allclose(lit[:, 0], lit[:, 2], atol=1e-5)
    assert not torch.allclose(lit, grey, atol=1e-2)


def test_erasing_greys_one_rectangle_in_the_chosen_share():
    white = torch.ones(400, 1, 24, 24)
    gone = augment.erase(white, 0.3, generator())
    touched = (gone == 0.5).flatten(1).any(1).float().mean()
    assert 0.2 < touched < 0.4
    assert (gone == 0.5).float().mean() < 0.1
    assert torch.equal(augment.erase(white, 0.0, generator()), white)


def test_a_stretch_changes_the_proportions_and_keeps_the_area():
    across, down = augment.Affine(stretch=0.2).draw(200, generator())[:, [0, 1], [0, 1]].T
    assert torch.allclose(across * down, torch.ones(200))
    assert across.max() > 1.1 and down.max() > 1.1


def test_an_elastic_deformation_is_as_strong_as_asked_smooth_and_nearly_alike_on_both_halves():
    elastic_deformations = augment.elastic_deformations(2000, 0.01, generator())
    assert abs(elastic_deformations.std() - 2 * 0.01) < 1e-3 and elastic_deformations.mean().abs() < 1e-3
    across, down = elastic_deformations.unbind(1)
    for half, mirrored in ((across, -across.flip(2)), (down, down.flip(2))):
        beside = torch.corrcoef(torch.stack([half[..., 0].flatten(), mirrored[..., 0].flatten()]))[0, 1]
        assert 0.9 < beside < 0.99

    # A ramp from left to right tells where each pixel was fetched.
    ramp = torch.arange(128.0).expand(50, 1, 128, 128)
    still = augment.Affine().draw(50, generator())
    shift = (augment.view(ramp, still, 128, elastic_deformations[:50]) * 255 - ramp)[..., 16:-16, 16:-16]
    assert 0.5 < shift.std() / (0.01 * 128) < 1.1  # knots are further apart than pixels
    assert shift.diff(dim=-1).min() > -0.7  # nothing folds over
    assert torch.allclose(augment.view(ramp, still, 128, 0 * elastic_deformations[:50]) * 255, ramp, atol=1e-2)


def test_a_shade_is_as_strong_as_asked_smooth_and_nearly_without_colour():
    gain_fields = augment.gain_fields(2000, 0.1, generator())
    assert abs(gain_fields.std() - 0.1 * (1 + 1 / 16) ** 0.5) < 2e-3
    assert 0.9 < torch.corrcoef(torch.stack([gain_fields[:, 0].flatten(), gain_fields[:, 1].flatten()]))[0, 1] < 0.97
    grey = torch.full((50, 3, 64, 64), 0.5)
    apply_gain_field = augment.apply_gain_field(grey, gain_fields[:50])
    assert 0.03 < (apply_gain_field / grey).log().std() < 0.12 and apply_gain_field.diff(dim=-1).abs().max() < 0.05
    assert torch.equal(augment.apply_gain_field(grey, 0 * gain_fields[:50]), grey)
    assert augment.apply_gain_field(grey * 2, gain_fields[:50]).max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
def test_compressed_views_lose_detail_and_keep_their_colours(channels):
    tint = torch.tensor([0.8, 0.5, 0.2])[:channels, None, None]
    grainy = (tint + 0.03 * torch.randn(channels, 64, 64, generator=generator())).expand(3, -1, -1, -1)
    always = augment.Degradation(grey=0, blurred=0, small=0, noisy=0, compressed=1)
    seen = augment.degrade(grainy, torch.arange(3), always, generator())
    assert torch.allclose(seen.mean(dim=(2, 3)), grainy.mean(dim=(2, 3)), atol=0.02)
    assert (seen.std(dim=(2, 3)) < 0.9 * grainy.std(dim=(2, 3))).all() and not torch.equal(seen[0], seen[1])
    assert seen.min() >= 0 and seen.max() <= 1
