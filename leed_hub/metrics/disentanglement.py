"""Whether a code holds what it should and nothing else: cross-validated probes, and retrieval across persons."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from leed_hub.metrics.intervals import wilson_interval
from leed_hub.metrics.leakage import probe_leakage

RIDGE = 0.01  # added to the variance 1 of every standardised feature


def cross_validated_probe(
    features: Tensor, labels: Tensor, groups: list[str], *, n_folds: int = 4, seed: int = 0
) -> dict:
    """`probe_leakage` and a ridge classifier on each fold in turn, trained on the others; no group lies on both sides.

    The ridge classifier (least squares on one-hot labels) is there because a trained probe stops at the first solution
    that fits, and where groups are fewer than features that one may rest on the groups: from 20 groups of 48 features
    with a plain difference between classes it found 0.38 where ridge found 0.85.

    Groups are dealt to the folds label by label, so where every row of a group has one label (setups of a person),
    each fold has about as many groups of each.

    Args:
        features (Tensor): (N, D).
        labels (Tensor): (N,), integers, -1 for unlabelled.
        groups (list[str]): N names of what must not be split: setups where the person is sought, persons where the
            expression is.
        n_folds (int): at most the number of groups.
        seed (int): of the deal and the probes.
    Returns:
        dict: the means of `probe_leakage`'s accuracies and chances and of `ridge_accuracy` (balanced) over folds, each
            weighted by its tested rows; `n_test` (rows tested, each once), `n_groups`, `n_folds`.
    Raises:
        ValueError: if there are fewer groups than folds, or a fold shares fewer than two classes with the others.
    """
    folds = folds_of_groups(groups, n_folds, seed, labels)
    results = []
    for fold in range(n_folds):
        train, test = folds != fold, folds == fold
        parts = features[train], labels[train], features[test], labels[test]
        results.append({**probe_leakage(*parts, seed=seed), "ridge_accuracy": _ridge_accuracy(*parts)})
    n_test = sum(result["n_test"] for result in results)
    averaged = [name for name in results[0] if name.endswith("_accuracy") or name.startswith("chance_")]
    means = {name: sum(result[name] * result["n_test"] for result in results) / n_test for name in averaged}
    return {**means, "n_test": n_test, "n_groups": len(set(groups)), "n_folds": n_folds}


def folds_of_groups(groups: Sequence[str], n_folds: int, seed: int, labels: Tensor | None = None) -> Tensor:
    """Deal groups to folds at random, and label by label where there are labels.

    Args:
        groups (Sequence[str]): N names of what must not be split.
        n_folds (int): at most the number of groups.
        seed (int): of the deal.
        labels (Tensor | None): (N,), integers; each group's first one counts.
    Returns:
        Tensor: (N,), in 0..n_folds - 1.
    Raises:
        ValueError: if there are fewer groups than folds.
    """
    names = sorted(set(groups))
    if len(names) < n_folds:
        raise ValueError(f"Cross-validation expected at least {n_folds} groups for as many folds, got {names}.")
    dealt = [names[i] for i in torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).tolist()]
    if labels is not None:
        dealt.sort(key=lambda name: int(labels[groups.index(name)]))
    fold_of_group = {name: position % n_folds for position, name in enumerate(dealt)}
    return torch.tensor([fold_of_group[group] for group in groups])


def _ridge_accuracy(train_features: Tensor, train_labels: Tensor, test_features: Tensor, test_labels: Tensor) -> float:
    """Balanced accuracy of least squares on one-hot labels, every class weighing the same; rows without label left out.

    Args: as `probe_leakage`.
    """
    train_y, test_y = train_labels[train_labels >= 0], test_labels[test_labels >= 0]
    train_x, test_x = train_features[train_labels >= 0].double(), test_features[test_labels >= 0].double()
    deviation = train_x.std(dim=0, unbiased=False).clamp_min(1e-6)
    train_x, test_x = train_x / deviation, test_x / deviation
    wanted = F.one_hot(train_y).double()  # (N, K)
    weights = (wanted / wanted.sum(dim=0).clamp_min(1)).sum(dim=1, keepdim=True)  # (N, 1), each class sums to 1
    weights = weights / weights.sum()
    mean, share = (weights * train_x).sum(dim=0), (weights * wanted).sum(dim=0)
    centred = train_x - mean
    covariance = centred.T @ (weights * centred) + RIDGE * torch.eye(train_x.shape[1], dtype=torch.float64)
    readout = torch.linalg.solve(covariance, centred.T @ (weights * (wanted - share)))  # (D, K)
    # A class that no training row has is never found: its column is all zero, its share too.
    found = ((test_x - mean) @ readout + share).argmax(dim=1)
    return float(torch.stack([(found[test_y == k] == k).double().mean() for k in test_y.unique()]).mean())


def retrieval_accuracy(codes: Tensor, labels: Tensor, persons: list[str]) -> dict:
    """How often the nearest code of another person has the same label, by cosine similarity.

    Cosine, because a code's direction says which expression it is and its length how strong: a faint smile should find
    a broad one. A code of length zero has no direction and finds whatever comes first.

    Args:
        codes (Tensor): (N, D).
        labels (Tensor): (N,), integers.
        persons (list[str]): N names.
    Returns:
        dict: `accuracy`, `interval` ([low, high], Wilson 95 %, as if pictures were independent), `chance` (the same
            share if any row of another person were as likely to be found), `n`.
    Raises:
        ValueError: if there are fewer than two persons.
    """
    if len(set(persons)) < 2:
        raise ValueError(f"retrieval_accuracy expected codes of two persons or more, got {sorted(set(persons))}.")
    codes, labels = F.normalize(codes.detach().float().cpu(), dim=1), labels.detach().cpu()
    numbers = {person: number for number, person in enumerate(sorted(set(persons)))}
    person = torch.tensor([numbers[name] for name in persons])
    is_other = person[:, None] != person[None]  # (N, N)
    has_same_label = labels[:, None] == labels[None]
    nearest = (codes @ codes.T).masked_fill(~is_other, -torch.inf).argmax(dim=1)
    hits = labels[nearest] == labels
    chance = (has_same_label & is_other).sum(dim=1) / is_other.sum(dim=1)
    return {
        "accuracy": float(hits.float().mean()),
        "interval": wilson_interval(int(hits.sum()), len(hits)),
        "chance": float(chance.mean()),
        "n": len(hits),
    }
