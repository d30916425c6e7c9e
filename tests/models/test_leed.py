"""Facts of the method that hold for any weights."""

import pytest
import torch

from leed_hub.models.leed import LEEDConfig, LEEDModel, warp

CONFIG = LEEDConfig(
    image_size=32, widths=(8, 8, 8, 8), manifold_dim=16, expression_dim=4, expression_limit=2, flow_cells=4
)


@pytest.fixture
def model() -> LEEDModel:
    torch.manual_seed(0)
    return LEEDModel(CONFIG).eval()


def faces(seed: int) -> torch.Tensor:
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@torch.inference_mode()
def test_no_displacement_is_no_expression_and_moves_nobody(model):
    assert torch.equal(model.extractor(torch.zeros(3, 16)), torch.zeros(3, 4))
    neutral_point = model.encode(faces(0)).neutral_point
    assert torch.equal(model.transform(neutral_point, torch.zeros(3, 4)), torch.zeros(3, 16))


@torch.inference_mode()
def test_strength_zero_is_the_neutral_point_whatever_the_reference(model):
    source = model.encode(faces(0))
    for seed in (1, 2):
        code = model.encode(faces(seed)).expression_code
        assert torch.equal(model.decode(faces(0), source, code, 0.0).target_point, source.neutral_point)


@torch.inference_mode()
def test_the_target_point_moves_linearly_with_strength(model):
    source, code = model.encode(faces(0)), model.encode(faces(1)).expression_code
    at = {s: model.decode(faces(0), source, code, s).target_point for s in (0.0, 0.5, 1.0)}
    assert torch.allclose(at[0.5], (at[0.0] + at[1.0]) / 2, atol=1e-5)


@torch.inference_mode()
def test_a_batch_reads_each_picture_once_and_makes_the_edits_asked_for(model):
    images = torch.cat([faces(0), faces(1)])
    source, reference = torch.tensor([0, 0, 5]), torch.tensor([3, 1, 2])
    output = model(images, source, reference, torch.ones(3, 1))
    one_by_one = model.edit(images[source], images[reference], torch.ones(3, 1))
    assert torch.allclose(output.edit.edited, one_by_one.edited, atol=1e-6)
    assert len(output.faces.point) == len(output.posterior[0]) == 6


FAR_OFF = {
    "black": torch.full((3, 3, 32, 32), -1.0),
    "white": torch.full((3, 3, 32, 32), 1.0),
    "checks": (torch.arange(32)[:, None] + torch.arange(32)).remainder(2).mul(2.0).sub(1).expand(3, 3, 32, 32),
    "noise": torch.randint(0, 2, (3, 3, 32, 32), generator=torch.Generator().manual_seed(0)).mul(2.0).sub(1),
    "far beyond the range": 1e4 * torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)),
}


@pytest.mark.parametrize("picture", FAR_OFF.values(), ids=FAR_OFF.keys())
@torch.inference_mode()
def test_codes_flow_and_paint_are_bounded_whatever_comes_in(model, picture):
    for weight in model.parameters():
        weight.mul_(3)  # as no training should leave them
    source, reference = model.encode(picture), model.encode(picture.flip(0))
    assert source.point.abs().max() <= 3 and source.neutral_point.abs().max() <= 3
    assert (reference.expression_code.norm(dim=1) <= 2 * 4**0.5 + 1e-5).all()
    for strength in (0.0, 1.0, torch.full((3, 1), 2.0)):
        edit = model.decode(picture, source, reference.expression_code, strength)
        assert edit.flow.isfinite().all() and edit.flow.abs().max() <= CONFIG.max_flow
        assert edit.mask.min() >= 0 and edit.color.abs().max() <= 1
        assert edit.target_point.abs().max() <= 3


@torch.inference_mode()
def test_the_coarse_flow_moves_places_by_the_codes_alone(model):
    source, code = model.encode(faces(0)), model.encode(faces(1)).expression_code
    still = model.decode(faces(0), source, code).flow
    model.decoder.coarse_flow.bias.view(2, 4, 4)[0, 0, 0] = 1  # to the right, at the upper left corner
    moved = model.decode(faces(0), source, code).flow - still
    assert moved[:, 0, :4, :4].min() > 0.01 and moved[:, 1].abs().max() == 0
    assert moved[:, 0, 8:].abs().max() == moved[:, 0, :, 8:].abs().max() == 0
    at_rest = {name: weight for name, weight in LEEDModel(CONFIG).state_dict().items() if "coarse_flow" in name}
    assert len(at_rest) == 2 and all(weight.abs().max() == 0 for weight in at_rest.values())
    assert LEEDModel(LEEDConfig(**{**vars(CONFIG), "flow_cells": 0})).decoder.coarse_flow is None


@torch.inference_mode()
def test_short_codes_pass_unchanged_and_straightening_undoes_the_bound(model):
    displacement = torch.randn(5, 16, generator=torch.Generator().manual_seed(0)) * 3
    straight = torch.nn.functional.linear(displacement, model.extractor.weight)
    assert torch.allclose(model.extractor.straightened(model.extractor(displacement)), straight, rtol=1e-3)
    small = 1e-3 * displacement
    assert torch.allclose(model.extractor(small), 1e-3 * straight, rtol=1e-3)


@torch.inference_mode()
def test_between_the_neutral_and_the_full_edit_lies_their_mixture(model):
    for name, weight in model.decoder.named_parameters():
        if "to_" in name or "modulation" in name:  # they start near zero: let there be an edit
            weight.normal_(std=0.3)
    source, code = model.encode(faces(0)), model.encode(faces(1)).expression_code
    at = {s: model.decode(faces(0), source, code, s) for s in (0.0, 0.25, 1.0, 1.5)}
    way = at[1.0].flow - at[0.0].flow
    assert way.abs().mean() > 1e-4
    assert torch.allclose(at[0.25].flow, at[0.0].flow + 0.25 * way, atol=1e-6)
    assert torch.allclose(at[1.5].flow, at[0.0].flow + 1.5 * way, atol=1e-6)
    paint = {s: edit.mask * edit.color for s, edit in at.items()}
    assert torch.allclose(paint[0.25], 0.75 * paint[0.0] + 0.25 * paint[1.0], atol=1e-5)
    assert torch.allclose(paint[1.5], paint[1.0], atol=1e-5)  # only the flow is exaggerated


@torch.inference_mode()
def test_paint_stays_on_the_face_and_covers_skin_in_part_only(model):
    model.decoder.to_paint[0].bias.fill_(10.0)  # paint everywhere
    mask = model.edit(faces(0), faces(1)).mask
    left, right, mouth = ((int(32 * x), int(32 * y)) for x, y in ((0.36, 0.40), (0.64, 0.40), (0.5, 0.71)))
    assert all(mask[0, 0, y, x] > 0.99 for x, y in (left, right, mouth))
    assert 0.3 < mask[0, 0, 16, 16] <= 0.4 + 1e-6 and mask[0, 0, 8, 16] <= 0.4 + 1e-6  # nose and forehead
    border = torch.ones(32, 32, dtype=torch.bool)
    border[2:, 2:-2] = False  # a dropped jaw reaches the lower edge
    assert mask[:, 0, border].max() == 0


@torch.inference_mode()
def test_a_cached_reference_gives_the_same_edit_as_the_whole_forward_pass(model):
    whole = model.edit(faces(0), faces(1)).edited
    cached = model.decode(faces(0), model.encode(faces(0)), model.encode(faces(1)).expression_code).edited
    assert torch.equal(whole, cached)


@torch.inference_mode()
def test_the_edit_is_warp_and_paint_put_together(model):
    edit = model.edit(faces(0), faces(1))
    assert torch.allclose(edit.edited, (1 - edit.mask) * warp(faces(0), edit.flow) + edit.mask * edit.color, atol=1e-6)


@torch.inference_mode()
def test_without_color_only_pixels_of_the_source_remain():
    model = LEEDModel(LEEDConfig(**{**vars(CONFIG), "uses_color": False})).eval()
    edit = model.edit(faces(0), faces(1))
    assert torch.equal(edit.edited, warp(faces(0), edit.flow))


def test_a_zero_flow_is_the_identity_and_a_pixels_flow_shifts_by_one():
    images = faces(0)
    assert torch.allclose(warp(images, torch.zeros(3, 2, 16, 16)), images, atol=1e-5)
    flow = torch.zeros(3, 2, 32, 32)
    flow[:, 0] = 2 / 32  # fetch from one pixel to the right
    assert torch.allclose(warp(images, flow)[..., :-1], images[..., 1:], atol=1e-5)
