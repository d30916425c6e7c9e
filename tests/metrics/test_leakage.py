import pytest
import torch

from leed_hub.metrics import probe_leakage

K = 4


def random_rows(n, width=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, width, generator=generator), torch.randint(0, K, (n,), generator=generator)


def probe(features, labels, n_train=2000, seed=0):
    return probe_leakage(features[:n_train], labels[:n_train], features[n_train:], labels[n_train:], seed=seed)


def test_probes_stay_at_chance_on_random_features():
    result = probe(*random_rows(4000))
    # 2000 test rows: a standard deviation of 0.01 about chance, so 0.05 is five of them.
    assert result["linear_accuracy"] == pytest.approx(1 / K, abs=0.05)
    assert result["mlp_accuracy"] == pytest.approx(1 / K, abs=0.05)
    assert result["chance_balanced"] == 1 / K and result["n_classes"] == K
    assert (result["n_train"], result["n_test"]) == (2000, 2000)


def test_probes_find_a_label_which_the_features_hold():
    features, labels = random_rows(3000)
    features[:, :K] += 5 * torch.nn.functional.one_hot(labels, K)
    result = probe(1000 * features + 7, labels)  # whatever the features' scale
    assert result["linear_accuracy"] > 0.95 and result["mlp_accuracy"] > 0.95


def test_only_the_two_layer_probe_finds_what_is_held_nonlinearly():
    features, _ = random_rows(6000, width=8)
    labels = (features[:, 0] * features[:, 1] > 0).long()
    result = probe(features, labels, n_train=4000)
    assert result["mlp_accuracy"] > 0.9
    assert result["linear_accuracy"] == pytest.approx(0.5, abs=0.06)


def test_a_common_class_earns_nothing_in_balanced_accuracy():
    features, _ = random_rows(4000)
    labels = (torch.rand(4000, generator=torch.Generator().manual_seed(1)) < 0.1).long()
    result = probe(features, labels)
    assert result["chance_majority"] == pytest.approx(0.9, abs=0.03)
    assert result["linear_accuracy"] == pytest.approx(0.5, abs=0.1)  # about 200 rows of the rare class


def test_balanced_accuracy_is_the_mean_recall():
    features, labels = random_rows(2000, width=2)
    features[:, 0] = (labels == 0).float()  # class 0 can be told, the other three cannot
    labels[labels == 2], labels[labels == 3] = 1, 1
    result = probe(features, labels, n_train=1000)
    assert result["linear_accuracy"] == 1.0 and result["linear_plain_accuracy"] == 1.0


def test_probes_are_the_same_for_a_seed_and_leave_the_global_random_state_alone():
    features, labels = random_rows(600)
    before = torch.get_rng_state()
    first = probe(features, labels, n_train=400, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(123)
    assert probe(features, labels, n_train=400, seed=1) == first
    assert probe(features, labels, n_train=400, seed=2) != first


def test_probes_learn_even_while_the_caller_measures_under_inference_mode():
    with torch.inference_mode():
        features, labels = random_rows(900)
        features[:, :K] += 5 * torch.nn.functional.one_hot(labels, K)
        assert probe(features, labels, n_train=600)["linear_accuracy"] > 0.95


def test_features_get_no_gradient_and_are_not_changed():
    features, labels = random_rows(300)
    kept = features.clone()
    features.requires_grad_()
    probe(features, labels, n_train=200)
    assert features.grad is None and torch.equal(features, kept)


def test_unlabelled_rows_and_classes_of_one_part_are_left_out():
    features, labels = random_rows(300)
    labels[labels == 3] = 1
    labels[:10] = -1
    labels[10:20] = 3  # in the training part only
    result = probe(features, labels, n_train=200)
    assert (result["n_train"], result["n_test"], result["n_classes"]) == (180, 100, 3)


def test_a_constant_feature_is_harmless():
    features, labels = random_rows(300)
    features[:, 0] = 3.0
    assert 0 <= probe(features, labels, n_train=200)["linear_accuracy"] <= 1


def test_fewer_than_two_shared_classes_are_refused():
    with pytest.raises(ValueError, match="two classes"):
        probe_leakage(torch.randn(4, 2), torch.tensor([0, 0, 1, 1]), torch.randn(2, 2), torch.tensor([1, 2]))
