import math

import pytest
import torch

from leed_hub.losses.disentanglement import (
    contrastive_loss,
    gaussian_log_likelihood,
    info_nce_loss,
    mutual_expression_information_loss,
    scatter_share,
    siamese_loss,
)


def gaussian_batch(size=6, width=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(size, width, generator=generator, dtype=torch.float64) for _ in range(3))


def test_gaussian_log_likelihood_by_hand():
    value = torch.tensor([[0.0, 0.0], [1.0, 2.0]])
    mean = torch.zeros(2, 2)
    log_variance = torch.tensor([[0.0, 0.0], [0.0, math.log(4)]])
    at_the_mean = -math.log(2 * math.pi)
    off_the_mean = -math.log(2 * math.pi) - 0.5 * math.log(4) - 0.5 * (1 + 4 / 4)
    result = gaussian_log_likelihood(value, mean, log_variance)
    torch.testing.assert_close(result, torch.tensor([at_the_mean, off_the_mean]))


def test_gaussian_log_likelihood_agrees_with_torch_distributions():
    value, mean, log_variance = gaussian_batch()
    expected = torch.distributions.Normal(mean, (log_variance / 2).exp()).log_prob(value).sum(dim=1)
    torch.testing.assert_close(gaussian_log_likelihood(value, mean, log_variance), expected)


def test_mutual_expression_information_loss_by_hand_is_nats_per_dimension():
    displacement = torch.tensor([[1.0, 1.0], [3.0, 3.0]])
    zeros = torch.zeros(2, 2)
    # per dimension: 0.5 * log 2 pi + 0.5 * mean(1, 9)
    expected = 0.5 * math.log(2 * math.pi) + 2.5
    assert mutual_expression_information_loss(displacement, zeros, zeros).item() == pytest.approx(expected)
    wide = mutual_expression_information_loss(displacement.repeat(1, 5), zeros.repeat(1, 5), zeros.repeat(1, 5))
    assert wide.item() == pytest.approx(expected)


def test_mutual_expression_information_loss_is_least_where_the_gaussian_fits():
    displacement = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0)) * 2 + 1
    fitted = (displacement.mean(0).expand(4000, 2), displacement.var(0, unbiased=False).log().expand(4000, 2))
    best = mutual_expression_information_loss(displacement, *fitted)
    assert best < mutual_expression_information_loss(displacement, fitted[0] + 0.1, fitted[1])
    assert best < mutual_expression_information_loss(displacement, fitted[0], fitted[1] + 0.1)
    assert best < mutual_expression_information_loss(displacement, fitted[0], fitted[1] - 0.1)


def test_mutual_expression_information_loss_teaches_the_predictor_and_spares_a_detached_displacement():
    displacement, mean, log_variance = (tensor.requires_grad_() for tensor in gaussian_batch())
    mutual_expression_information_loss(displacement.detach(), mean, log_variance).backward()
    assert displacement.grad is None and mean.grad.abs().sum() > 0 and log_variance.grad.abs().sum() > 0


def test_siamese_loss_by_hand():
    edited = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    reference = torch.tensor([[1.0, 1.0], [0.0, 0.0], [2.0, 0.0]])  # squared distances 2, 0, 4: mean 2
    source = torch.tensor([[0.0, 0.5], [0.3, 0.0], [9.0, 0.0]])  # distances 0.5, 0.3, 9
    differs = torch.tensor([True, False, True])  # relu(1 - 0.5)^2 = 0.25 and 0: mean 0.125
    assert siamese_loss(edited, reference, source, differs, margin=1.0).item() == pytest.approx(2.125)


def test_siamese_loss_only_pulls_when_no_pair_differs():
    edited, reference = torch.zeros(2, 2), torch.ones(2, 2)
    assert siamese_loss(edited, reference, edited, torch.tensor([False, False]), margin=1.0).item() == 2.0


def test_siamese_loss_has_a_finite_gradient_when_the_edit_sits_on_the_source():
    edited = torch.ones(2, 4, requires_grad=True)
    loss = siamese_loss(edited, torch.zeros(2, 4), torch.ones(2, 4), torch.tensor([True, False]), margin=0.5)
    loss.backward()
    assert loss.item() == pytest.approx(4.25)
    assert torch.equal(edited.grad, torch.ones(2, 4))  # 2 * (edited - reference) / B, and nothing from the push


def test_siamese_loss_pushes_the_edit_away_from_the_source_within_the_margin_only():
    edited = torch.tensor([[0.5, 0.0], [5.0, 0.0]], requires_grad=True)
    siamese_loss(edited, edited.detach(), torch.zeros(2, 2), torch.tensor([True, True]), margin=1.0).backward()
    assert edited.grad[0, 0] < 0  # a step against the gradient grows the distance
    assert torch.equal(edited.grad[1], torch.zeros(2))


def test_siamese_loss_moves_only_the_edited_picture_when_the_caller_detaches():
    edited, reference, source = (torch.randn(3, 4, requires_grad=True) for _ in range(3))
    differs = torch.tensor([True, True, True])
    siamese_loss(edited, reference.detach(), source.detach(), differs, margin=9.0).backward()
    assert edited.grad.abs().sum() > 0 and reference.grad is None and source.grad is None
    siamese_loss(edited, reference, source, differs, margin=9.0).backward()
    assert reference.grad.abs().sum() > 0 and source.grad.abs().sum() > 0


def test_contrastive_loss_by_hand():
    anchor = torch.zeros(2, 2)
    twin = torch.tensor([[1.0, 0.0], [0.0, 3.0]])  # squared distances 1, 9: mean 5
    other = torch.tensor([[0.0, 0.5], [2.0, 0.0]])  # relu(1 - 0.5)^2 = 0.25, 0: mean 0.125
    assert contrastive_loss(anchor, twin, other, margin=1.0).item() == pytest.approx(5.125)


def test_contrastive_loss_draws_twins_together_and_the_other_apart():
    anchor = torch.zeros(1, 1)
    twin = torch.tensor([[1.0]], requires_grad=True)
    other = torch.tensor([[0.5]], requires_grad=True)
    contrastive_loss(anchor, twin, other, margin=1.0).backward()
    assert twin.grad.item() > 0 and other.grad.item() < 0


def test_contrastive_loss_is_finite_when_all_embeddings_collapse():
    codes = torch.zeros(3, 4, requires_grad=True)
    loss = contrastive_loss(codes, codes.clone(), codes.clone(), margin=1.0)
    loss.backward()
    assert loss.item() == 1.0 and torch.isfinite(codes.grad).all()


def codes(count: int = 8, dim: int = 6) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(0))


def test_codes_that_tell_nothing_share_nothing_and_equal_ones_share_much():
    expression, person = torch.arange(4).repeat(2), torch.arange(8)
    same = info_nce_loss(torch.ones(8, 6), expression, person)
    assert same.item() == pytest.approx(math.log(7))  # the partner and six others
    twins = codes(4).repeat(2, 1) * torch.tensor([1.0] * 4 + [3.0] * 4)[:, None]
    assert info_nce_loss(twins, expression, person) < 0.3 < info_nce_loss(codes(), expression, person)


def test_shared_information_by_hand():
    told = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    # Partners 0 and 1 have cosine 0; beside them stands 2, with cosines -1 and 0.
    expected = (math.log(1 + math.exp(-1 / 0.5)) + math.log(2)) / 2
    found = info_nce_loss(told, torch.tensor([5, 5, 6]), torch.tensor([0, 1, 2]), temperature=0.5)
    assert found.item() == pytest.approx(expected)


def test_a_persons_own_views_and_unknown_expressions_are_not_asked_for():
    expression = torch.tensor([0, 0, 1, 1, -1, -1, 2, 3])
    alone = info_nce_loss(codes(), expression, torch.tensor([0, 0, 1, 1, 2, 3, 4, 5]))
    assert alone == 0
    changed = codes()
    changed[4:6] *= -1  # unknown ones do not count as others either
    person = torch.arange(8)
    assert info_nce_loss(changed, expression, person) == info_nce_loss(codes(), expression, person)


def test_scatter_share_by_hand():
    told = torch.tensor([[0.0], [2.0], [10.0], [14.0], [99.0], [50.0]])
    groups = torch.tensor([0, 0, 1, 1, 2, -1])
    # Within: (1 + 1 + 4 + 4) / (4 - 2) = 5; variance of 0, 2, 10, 14: mean 6.5, squares 131 / 3.
    assert scatter_share(told, groups).item() == pytest.approx(5 / (131 / 3), rel=1e-5)
    assert scatter_share(told, torch.arange(6)) == 0
    equal = codes(3).repeat(2, 1)
    assert scatter_share(equal, torch.arange(3).repeat(2)) == pytest.approx(0, abs=1e-6)
    assert 0.5 < scatter_share(codes(60), torch.arange(30).repeat(2)) < 1.5
