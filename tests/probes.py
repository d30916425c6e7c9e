"""A probe for tests of what is measured with probes."""

from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import NearestCentroid


def nearest_mean(train_features, train_labels, test_features, test_labels, *, seed):
    """In place of `probe_leakage`, which has its own tests and takes two seconds a call."""
    known = train_labels >= 0
    probe = NearestCentroid().fit(train_features[known].numpy(), train_labels[known].numpy())
    known = test_labels >= 0
    found = probe.predict(test_features[known].numpy())
    accuracy = float(balanced_accuracy_score(test_labels[known].numpy(), found))
    chance = 1 / len(probe.classes_)
    return {"linear_accuracy": accuracy, "mlp_accuracy": 0.0, "chance_balanced": chance, "n_test": int(known.sum())}
