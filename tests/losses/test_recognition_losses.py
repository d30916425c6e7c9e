import math

import pytest
import torch
import torch.nn.functional as F

from leed_hub.losses.recognition import concordance_loss, encoder_adversarial_loss, expression_classification_loss


def test_classification_loss_by_hand():
    logits = torch.tensor([[math.log(3), 0.0], [0.0, 0.0]])  # probabilities 3/4, 1/4 and 1/2, 1/2
    loss = expression_classification_loss(logits, torch.tensor([0, 1]))
    assert loss.item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)


def test_classification_loss_ignores_unlabelled_rows_in_value_and_gradient():
    logits = torch.randn(4, 3, requires_grad=True)
    labels = torch.tensor([0, -1, 2, -1])
    loss = expression_classification_loss(logits, labels)
    loss.backward()
    torch.testing.assert_close(loss, F.cross_entropy(logits[[0, 2]], labels[[0, 2]]))
    assert torch.equal(logits.grad[[1, 3]], torch.zeros(2, 3)) and logits.grad[[0, 2]].abs().min() > 0


@pytest.mark.parametrize("class_weights", [None, torch.tensor([1.0, 2.0, 3.0])])
def test_classification_loss_is_zero_not_nan_when_nothing_is_labelled(class_weights):
    logits = torch.randn(2, 3, requires_grad=True)
    loss = expression_classification_loss(logits, torch.tensor([-1, -1]), class_weights, label_smoothing=0.1)
    loss.backward()
    assert loss.item() == 0 and torch.equal(logits.grad, torch.zeros(2, 3))


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
@pytest.mark.parametrize("class_weights", [None, torch.tensor([0.5, 2.0, 4.0])])
def test_classification_loss_agrees_with_torch(class_weights, label_smoothing):
    logits, labels = torch.randn(8, 3), torch.tensor([0, 1, 2, 0, -1, 2, 1, -1])
    expected = F.cross_entropy(logits, labels, class_weights, ignore_index=-1, label_smoothing=label_smoothing)
    torch.testing.assert_close(expression_classification_loss(logits, labels, class_weights, label_smoothing), expected)


def test_classification_loss_weighs_classes_by_hand():
    logits = torch.zeros(2, 2)
    logits[0, 0] = math.log(3)  # losses log(4/3) and log 2, weights 1 and 3
    loss = expression_classification_loss(logits, torch.tensor([0, 1]), torch.tensor([1.0, 3.0]))
    assert loss.item() == pytest.approx((math.log(4 / 3) + 3 * math.log(2)) / 4)


def test_encoder_adversarial_loss_is_log_k_exactly_where_the_guess_is_uniform():
    assert encoder_adversarial_loss(torch.full((5, 7), 2.5)).item() == pytest.approx(math.log(7))
    assert encoder_adversarial_loss(torch.randn(5, 7)).item() > math.log(7)


def test_encoder_adversarial_loss_by_hand():
    logits = torch.tensor([[math.log(3), 0.0]])  # probabilities 3/4, 1/4
    expected = 0.5 * (math.log(4 / 3) + math.log(4))
    assert encoder_adversarial_loss(logits).item() == pytest.approx(expected)


def test_encoder_adversarial_loss_has_the_gradient_softmax_less_uniform():
    logits = torch.randn(4, 3, requires_grad=True)
    encoder_adversarial_loss(logits).backward()
    torch.testing.assert_close(logits.grad, (logits.softmax(dim=1) - 1 / 3).detach() / 4)


def test_concordance_by_hand():
    annotated = torch.tensor([[0.0, -1.0], [1.0, 1.0]])
    assert concordance_loss(annotated, annotated).item() == pytest.approx(0, abs=1e-6)
    assert concordance_loss(-annotated[:, 1:], annotated[:, 1:]).item() == pytest.approx(2, abs=1e-6)
    # Half the spread and half the mean: covariance 0.125; variances 0.0625 and 0.25; the means are 0.25 apart.
    assert concordance_loss(annotated[:, :1] / 2, annotated[:, :1]).item() == pytest.approx(1 - 0.25 / 0.375)
    constant = torch.zeros(2, 2, requires_grad=True)
    assert concordance_loss(constant, annotated).item() == pytest.approx(1)  # what knows nothing gains nothing


def test_concordance_leaves_out_rows_without_an_annotation():
    predicted = torch.tensor([[0.1, 0.3], [0.7, -0.2], [0.4, 0.9]], requires_grad=True)
    annotated = torch.tensor([[0.2, 0.1], [torch.nan, 0.5], [0.5, 0.6]])
    expected = concordance_loss(predicted[[0, 2]], annotated[[0, 2]])
    assert torch.equal(concordance_loss(predicted, annotated), expected)
    nothing = concordance_loss(predicted, torch.full((3, 2), torch.nan))
    nothing.backward()
    assert nothing == 0 and torch.equal(predicted.grad, torch.zeros(3, 2))
