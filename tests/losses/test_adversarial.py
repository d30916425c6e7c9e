import pytest
import torch
from torch import nn

from leed_hub.losses.adversarial import hinge_discriminator_loss, hinge_generator_loss, r1_penalty


def test_hinge_discriminator_loss_by_hand():
    real = torch.tensor([[2.0], [0.5]])  # relu(1 - real) = 0, 0.5
    fake = torch.tensor([[-3.0], [1.0]])  # relu(1 + fake) = 0, 2
    assert hinge_discriminator_loss(real, fake).item() == pytest.approx(0.25 + 1.0)


def test_hinge_discriminator_loss_is_two_for_a_discriminator_that_always_says_zero():
    assert hinge_discriminator_loss(torch.zeros(3, 1, 4, 4), torch.zeros(3, 1, 4, 4)).item() == 2.0


def test_hinge_discriminator_loss_leaves_confident_answers_alone():
    real = torch.tensor([[1.5]], requires_grad=True)
    fake = torch.tensor([[-1.5]], requires_grad=True)
    hinge_discriminator_loss(real, fake).backward()
    assert real.grad.item() == 0 and fake.grad.item() == 0


def test_hinge_generator_loss_by_hand_and_pulls_every_logit_up_alike():
    fake = torch.tensor([[2.0], [-1.0]], requires_grad=True)
    loss = hinge_generator_loss(fake)
    loss.backward()
    assert loss.item() == -0.5
    assert torch.equal(fake.grad, torch.tensor([[-0.5], [-0.5]]))


def test_hinge_losses_give_a_patch_map_the_mean_over_its_patches():
    patches = torch.tensor([[[[0.0, 4.0], [-4.0, 0.0]]]])  # relu(1 - x) = 1, 0, 5, 1
    assert hinge_discriminator_loss(patches, torch.full_like(patches, -1)).item() == 7 / 4
    assert hinge_generator_loss(patches).item() == 0


def test_r1_penalty_of_a_linear_discriminator_is_its_squared_weight():
    weight = torch.tensor([1.0, -2.0, 3.0])
    images = torch.randn(4, 3, 1, 1, requires_grad=True)
    logits = images.flatten(1) @ weight[:, None]
    assert r1_penalty(logits, images).item() == pytest.approx(14.0)


def test_r1_penalty_sums_the_patches_of_a_picture():
    images = torch.randn(2, 1, 2, 2, requires_grad=True)
    patches = torch.cat([images, images], dim=3)  # every pixel feeds two patches: slope 2 at 4 pixels
    assert r1_penalty(patches, images).item() == pytest.approx(4 * 2**2)


def test_r1_penalty_equals_one_picture_at_a_time():
    torch.manual_seed(0)
    discriminator = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 1, 3))
    images = torch.randn(3, 3, 8, 8, requires_grad=True)
    slopes = [torch.autograd.grad(discriminator(image[None]).sum(), image)[0] for image in images]
    naive = sum(slope.square().sum() for slope in slopes) / 3
    assert r1_penalty(discriminator(images), images).item() == pytest.approx(naive.item(), rel=1e-5)


def test_r1_penalty_teaches_the_discriminator():
    discriminator = nn.Linear(4, 1)
    images = torch.randn(2, 4, requires_grad=True)
    r1_penalty(discriminator(images), images).backward()
    assert torch.allclose(discriminator.weight.grad, 2 * discriminator.weight)  # d |w|^2 / d w


def test_r1_penalty_refuses_images_without_grad():
    images = torch.randn(2, 3, 4, 4)
    with pytest.raises(ValueError, match="requires_grad"):
        r1_penalty(images.sum(dim=(1, 2, 3), keepdim=True), images)
