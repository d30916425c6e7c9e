import pytest
import torch

from leed_hub.metrics import kernel_readout


def persons_with_values(n_persons, first=0):
    """Ten rows a person; both values are curves of the first feature, the second feature is the person."""
    generator = torch.Generator().manual_seed(first)
    persons = torch.arange(first, first + n_persons).repeat_interleave(10)
    of_person = torch.randn(n_persons, generator=generator).repeat_interleave(10)
    features = torch.stack([torch.rand(len(persons), generator=generator) * 4 - 2, of_person], dim=1)
    values = torch.stack([torch.cos(2 * features[:, 0]), features[:, 0].square()], dim=1)
    return features, values, [f"person {number}" for number in persons.tolist()]


def test_a_curve_is_read_off_where_a_line_finds_nothing():
    features, values, persons = persons_with_values(20)
    others, their_values, _ = persons_with_values(8, first=20)
    result = kernel_readout(features, values, persons, others, their_values)
    assert result["explained"] > 0.9
    assert (result["n_train"], result["n_test"]) == (200, 80)
    noise = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    # With nothing to find the strongest ridge is chosen, and little is made up.
    result = kernel_readout(features, noise, persons, others, noise[:80].roll(7, 0))
    assert result["ridge"] == 10.0 and -0.3 < result["explained"] < 0.1


def test_strength_is_chosen_on_persons_left_out():
    """Values that are each person's own: what fits them closest within persons tells nothing of others."""
    features, _, persons = persons_with_values(20)
    values = torch.randn(20, 30, generator=torch.Generator().manual_seed(0)).repeat_interleave(10, dim=0)
    rows = [str(number) for number in range(len(values))]
    by_person, by_row = (kernel_readout(features, values, names, features, values) for names in (persons, rows))
    assert by_row["precision"] > by_person["precision"] and by_row["ridge"] < by_person["ridge"]


def test_it_agrees_with_the_closed_form():
    features, values, persons = persons_with_values(20)
    others, their_values, _ = persons_with_values(8, first=20)
    result = kernel_readout(features, values, persons, others, their_values)
    mean, deviation = features.double().mean(0), features.double().std(0, unbiased=False)
    known, asked = (features - mean) / deviation, (others - mean) / deviation
    centre = values.double().mean(0)

    def kernel(a, b):
        return torch.exp(-2 * result["precision"] / 2 * torch.cdist(a, b).square())  # 2 * precision / D, D = 2

    weights = torch.linalg.solve(kernel(known, known) + result["ridge"] * torch.eye(200), values - centre)
    left = (kernel(asked, known) @ weights + centre - their_values).square().sum()
    spread = (their_values - centre).square().sum()
    assert result["explained"] == pytest.approx(float(1 - left / spread), abs=1e-6)


def test_values_that_never_change_have_no_share_to_explain():
    features, values, persons = persons_with_values(4)
    assert kernel_readout(features, 0 * values, persons, features, 0 * values)["explained"] is None


def test_fewer_persons_than_folds_are_refused():
    with pytest.raises(ValueError, match="at least 4 groups"):
        kernel_readout(torch.zeros(3, 2), torch.zeros(3, 1), ["a", "b", "c"], torch.zeros(1, 2), torch.zeros(1, 1))
