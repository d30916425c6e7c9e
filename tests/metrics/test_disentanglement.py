import pytest
import torch
from sklearn.metrics import balanced_accuracy_score
from torch.nn.functional import one_hot

from leed_hub.metrics import cross_validated_probe, leakage, probe_leakage, retrieval_accuracy
from leed_hub.metrics.disentanglement import RIDGE


@pytest.fixture(autouse=True)
def short_probes(monkeypatch):
    monkeypatch.setattr(leakage, "STEPS", 600)


def grouped_rows(n_groups=40, rows_each=10, n_labels=4):
    """Rows that are near copies of their group's random vector; a group's label is no more than its number's rest."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(n_groups, 48, generator=generator)
    group = torch.arange(n_groups).repeat_interleave(rows_each)
    features = vectors[group] + 0.1 * torch.randn(len(group), 48, generator=generator)
    return features, group % n_labels, [f"group {number}" for number in group.tolist()]


def nothing_found(train_features, train_labels, test_features, test_labels, *, seed):
    return {"linear_accuracy": 0.0, "chance_balanced": 0.5, "n_test": len(test_labels)}


def folds_of(features, labels, groups):
    """The tested rows of each of two folds, seen by a probe that gets the rows' numbers for features."""
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "leed_hub.metrics.disentanglement.probe_leakage",
            lambda *parts, seed: seen.append(parts[2][:, 0].long().tolist()) or nothing_found(*parts, seed=seed),
        )
        numbers = torch.arange(len(labels), dtype=torch.float64)[:, None]
        cross_validated_probe(numbers, labels, groups, n_folds=2)
    return seen


def test_what_tells_the_group_only_is_found_by_a_plain_split_and_not_by_one_that_keeps_groups_whole():
    features, labels, groups = grouped_rows()
    odd = torch.arange(len(labels)) % 2 == 1
    leaking = probe_leakage(features[odd], labels[odd], features[~odd], labels[~odd])
    result = cross_validated_probe(features, labels, groups, n_folds=2)
    assert leaking["linear_accuracy"] > 0.9 and leaking["mlp_accuracy"] > 0.9
    # 40 independent groups, chance 0.25: a standard deviation of 0.07.
    assert max(result[f"{kind}_accuracy"] for kind in ("linear", "mlp", "ridge")) < 0.5
    assert result["chance_balanced"] == 0.25


def test_what_tells_the_label_is_found_across_groups_and_every_row_is_tested_once():
    features, labels, groups = grouped_rows()
    features[:, :4] += 6 * one_hot(labels, 4)
    result = cross_validated_probe(features, labels, groups, n_folds=2)
    assert result["ridge_accuracy"] > 0.75  # 20 groups to learn from, of 48 features
    assert (result["n_test"], result["n_groups"], result["n_folds"]) == (400, 40, 2)


def test_ridge_probe_agrees_with_the_closed_form(monkeypatch):
    monkeypatch.setattr("leed_hub.metrics.disentanglement.probe_leakage", nothing_found)
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(240) % 3
    features = torch.randn(240, 6, generator=generator).double()
    features[:, 0] += labels
    groups = [str(row // 3) for row in range(240)]
    result = cross_validated_probe(features, labels, groups, n_folds=2)
    hits = []
    for seen in folds_of(features, labels, groups):
        tested = torch.zeros(240, dtype=torch.bool)
        tested[seen] = True
        scale, mean = features[~tested].std(dim=0, unbiased=False), features[~tested].mean(dim=0)
        known, wanted = (features[~tested] - mean) / scale, one_hot(labels[~tested]).double()
        covariance = known.T @ known / len(known) + RIDGE * torch.eye(6)
        readout = torch.linalg.solve(covariance, known.T @ (wanted - wanted.mean(dim=0)) / len(known))
        found = ((features[tested] - mean) / scale @ readout + wanted.mean(dim=0)).argmax(dim=1)
        hits.append(balanced_accuracy_score(labels[tested], found))
    assert result["ridge_accuracy"] == pytest.approx(sum(hits) / 2)
    assert result["ridge_accuracy"] > 0.5


def test_each_fold_holds_groups_of_every_label(monkeypatch):
    seen = []

    def probe(*parts, seed):
        seen.append(sorted(parts[3].tolist()))
        return nothing_found(*parts, seed=seed)

    monkeypatch.setattr("leed_hub.metrics.disentanglement.probe_leakage", probe)
    labels = torch.tensor([0] * 8 + [1] * 4)
    cross_validated_probe(torch.zeros(12, 2), labels, [str(number) for number in range(12)], n_folds=4)
    assert seen == [[0, 0, 1]] * 4


def test_fewer_groups_than_folds_are_refused():
    with pytest.raises(ValueError, match="at least 4 groups"):
        cross_validated_probe(torch.zeros(3, 2), torch.tensor([0, 1, 0]), ["a", "b", "c"])


def test_retrieval_by_hand():
    codes = torch.tensor([[1.0, 0.0], [1.0, 0.1], [9.0, 0.0], [0.0, 2.0]])
    labels = torch.tensor([0, 1, 0, 1])
    result = retrieval_accuracy(codes, labels, ["ann", "ann", "bob", "bob"])
    # Rows 0 and 1 find row 2 whatever its length, though row 1 is nearer to row 0; rows 2 and 3 find rows 0 and 1.
    assert result["accuracy"] == 0.75 and result["n"] == 4
    assert result["chance"] == 0.5
    assert result["interval"][0] < 0.75 < result["interval"][1]


def test_retrieval_never_finds_the_same_person():
    codes = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    result = retrieval_accuracy(codes, torch.tensor([0, 0, 1, 1]), ["ann", "ann", "bob", "bob"])
    assert result["accuracy"] == 0.0 and result["chance"] == 0.0


def test_retrieval_of_one_person_is_refused():
    with pytest.raises(ValueError, match="two persons"):
        retrieval_accuracy(torch.zeros(2, 2), torch.tensor([0, 0]), ["ann", "ann"])
