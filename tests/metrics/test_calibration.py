import pytest
import torch
from torch import tensor
from torch.nn import functional as F

from leed_hub.metrics import fit_temperature


def calibrated(n=20_000, n_classes=5):
    """Logits whose softmax says exactly how often each class is right."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(n, n_classes, generator=generator)
    return logits, torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]


@pytest.mark.parametrize("factor", [3.0, 1.0, 0.5])
def test_the_known_temperature_of_spoilt_logits_is_recovered(factor):
    logits, labels = calibrated()
    assert fit_temperature(factor * logits, labels) == pytest.approx(factor, rel=0.05)


def test_no_other_temperature_is_likelier():
    generator = torch.Generator().manual_seed(1)
    logits, labels = 5 * torch.randn(300, 4, generator=generator), torch.randint(0, 4, (300,), generator=generator)
    logits[range(200), labels[:200]] += 6  # right in most rows, but too sure of the others
    fitted = fit_temperature(logits, labels)
    best = F.cross_entropy(logits / fitted, labels)
    assert 0.1 < fitted < 15
    assert all(best <= F.cross_entropy(logits / other, labels) + 1e-6 for other in torch.logspace(-1, 1.2, 60))


def test_a_second_fit_finds_nothing_left_to_do():
    logits, labels = calibrated(n=2000)
    logits = 3 * logits
    assert fit_temperature(logits / fit_temperature(logits, labels), labels) == pytest.approx(1.0, abs=1e-4)


def test_where_no_temperature_is_best_the_bounds_hold():
    logits = 3.0 * F.one_hot(tensor([0, 1, 2])).float()
    assert 0.05 <= fit_temperature(logits, tensor([0, 1, 2])) < 0.2
    assert 19 < fit_temperature(logits, tensor([1, 2, 0])) <= 20


@pytest.mark.parametrize(
    ("logits", "labels", "sentence"),
    [
        (torch.zeros(3, 2), tensor([0, 1]), "expected logits"),
        (torch.zeros(0, 2), tensor([]), "N >= 1"),
        (torch.zeros(2, 2), tensor([0, -1]), "unlabelled"),
        (torch.zeros(2, 2), tensor([0, 2]), "0..1"),
        (tensor([[0.0, float("nan")]]), tensor([0]), "finite"),
    ],
)
def test_what_cannot_be_fitted_is_refused(logits, labels, sentence):
    with pytest.raises(ValueError, match=sentence):
        fit_temperature(logits, labels)
