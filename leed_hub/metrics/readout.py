"""How much of what is known of a picture can be read off its code by somebody who learned it on other persons."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from leed_hub.metrics.disentanglement import folds_of_groups

PRECISIONS = (0.1, 0.3, 1.0)  # of the Gaussian kernel; features of unit variance lie 2 D apart in squared distance
RIDGES = (0.1, 1.0, 10.0)  # added to the kernel's diagonal, which is 1


def kernel_readout(
    train_features: Tensor,
    train_values: Tensor,
    train_groups: Sequence[str],
    test_features: Tensor,
    test_values: Tensor,
    *,
    n_folds: int = 4,
    seed: int = 0,
) -> dict:
    """Kernel ridge regression from features to values: the share of the values' variance that it finds.

    Features are standardised by the training part; the kernel is a Gaussian. Its width and the ridge are those that
    find most when the groups of the training part are left out in turn. Not a line: a code may hold in curved form what
    a line does not find, and a training that straightens it has taught it nothing.

    Source: Saunders, Gammerman and Vovk 1998, "Ridge regression learning algorithm in dual variables" (ICML).

    Args:
        train_features (Tensor): (N, D); the work grows as N cubed, 3,000 rows take some ten seconds.
        train_values (Tensor): (N, V).
        train_groups (Sequence[str]): N names of what must not be split when the strength is chosen, such as persons.
        test_features (Tensor): (M, D), of other groups.
        test_values (Tensor): (M, V).
        n_folds (int): at most the number of groups.
        seed (int): of the deal of groups to folds.
    Returns:
        dict: `explained` (1 - squared error / squared distance from the training part's mean, both summed over all
            values of the test part; at most 1, 0 for a readout that knows nothing, None where no value differs from
            that mean), `precision` and `ridge` as chosen, `n_train`, `n_test`.
    Raises:
        ValueError: if there are fewer groups than folds.
    """
    mean, deviation = train_features.double().mean(dim=0), train_features.double().std(dim=0).clamp_min(1e-6)
    train_x, test_x = (train_features.double() - mean) / deviation, (test_features.double() - mean) / deviation
    train_y, test_y = train_values.double(), test_values.double()
    folds = folds_of_groups(train_groups, n_folds, seed)

    def error(precision: float, ridge: float) -> float:
        """Squared error summed over all folds."""
        kept = [folds != fold for fold in range(n_folds)]
        return sum(
            float((_predict(train_x[k], train_y[k], train_x[~k], precision, ridge) - train_y[~k]).square().sum())
            for k in kept
        )

    precision, ridge = min(itertools.product(PRECISIONS, RIDGES), key=lambda chosen: error(*chosen))
    left = float((_predict(train_x, train_y, test_x, precision, ridge) - test_y).square().sum())
    spread = float((test_y - train_y.mean(dim=0)).square().sum())
    return {
        "explained": 1 - left / spread if spread > 0 else None,
        "precision": precision,
        "ridge": ridge,
        "n_train": len(train_y),
        "n_test": len(test_y),
    }


def _predict(features: Tensor, values: Tensor, others: Tensor, precision: float, ridge: float) -> Tensor:
    """Values (M, V) of `others` (M, D), learned from features (N, D) and their values (N, V)."""
    mean = values.mean(dim=0)
    moment = _kernel(features, features, precision) + ridge * torch.eye(len(features), dtype=features.dtype)
    weights = torch.cholesky_solve(values - mean, torch.linalg.cholesky(moment))
    return _kernel(others, features, precision) @ weights + mean


def _kernel(a: Tensor, b: Tensor, precision: float) -> Tensor:
    """(N, M); how wide it is does not depend on the number of features D."""
    return torch.exp(-2 * precision / a.shape[1] * torch.cdist(a, b).square())
