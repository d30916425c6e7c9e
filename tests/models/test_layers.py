"""The running norm and the residual block that joins a trained network."""

import torch

from leed_hub.models.layers import ModulatedResidualBlock, RunningNorm


def codes(count: int, seed: int) -> torch.Tensor:
    return 3 * torch.randn(count, 4, generator=torch.Generator().manual_seed(seed)) + 2


def test_running_norm_learns_mean_and_variance_over_many_batches():
    norm = RunningNorm(4)
    for seed in range(200):
        norm(codes(32, seed))
    normed = norm.eval()(codes(5000, 999))
    assert torch.allclose(normed.mean(dim=0), torch.zeros(4), atol=0.1)
    assert torch.allclose(normed.std(dim=0), torch.ones(4), atol=0.1)


def test_a_code_hardly_depends_on_its_batch_once_the_statistics_stand():
    norm = RunningNorm(4)
    for seed in range(200):
        norm(codes(32, seed))
    own = codes(1, 7)
    among_others = [norm(torch.cat([own, codes(31, seed)]))[0].detach() for seed in range(20)]
    assert torch.stack(among_others).std(dim=0).max() < 0.02  # nn.BatchNorm1d: 0.18


def test_running_norm_gives_no_gradient_to_what_its_statistics_would_undo():
    norm = RunningNorm(4)
    for seed in range(50):
        norm(codes(32, seed))
    batch = codes(32, 99).requires_grad_()
    wanted = torch.randn(32, 4, generator=torch.Generator().manual_seed(5))
    (norm(batch) * wanted).sum().backward()
    spread = batch.detach() - batch.detach().mean(dim=0)
    assert torch.allclose(batch.grad.sum(dim=0), torch.zeros(4), atol=1e-3)  # a common shift
    assert torch.allclose((batch.grad * spread).sum(dim=0), torch.zeros(4), atol=1e-3)  # a common scale
    assert batch.grad.abs().mean() > 0.01


def test_in_training_and_after_it_a_code_is_normed_alike():
    norm = RunningNorm(4)
    for seed in range(50):
        norm(codes(32, seed))
    trained = norm(codes(32, 99)).detach()
    assert torch.allclose(trained, norm.eval()(codes(32, 99)), atol=1e-5)


def test_running_norm_passes_gradients_from_several_calls_at_once():
    norm, first, second = RunningNorm(4), codes(8, 0).requires_grad_(), codes(8, 1).requires_grad_()
    (norm(first).square().sum() + norm(second).square().sum()).backward()
    assert first.grad.isfinite().all() and second.grad.abs().sum() > 0


def test_a_fresh_residual_block_changes_nothing():
    block, features = ModulatedResidualBlock(6, 3), torch.rand(2, 6, 8, 8)
    assert torch.equal(block(features, torch.randn(2, 3)), features)
