"""How much of the known values of a picture a regression explains from its code, fitted on other persons."""

import itertools
from collections.abc import Sequence

import numpy as np
from sklearn.kernel_ridge import KernelRidge
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from leed_hub.metrics.disentanglement import folds_of_groups

FOLDS = 4
PRECISIONS = (0.1, 0.3, 1.0)  # of the Gaussian kernel; features of unit variance lie 2 D apart in squared distance
RIDGES = (0.1, 1.0, 10.0)  # added to the kernel's diagonal, which is 1


def kernel_readout(
    train_features: Tensor,
    train_values: Tensor,
    train_groups: Sequence[str],
    test_features: Tensor,
    test_values: Tensor,
    *,
    seed: int = 0,
) -> dict:
    """Kernel ridge regression from features to values: the share of the values' variance that it explains.

    Features are standardised by the training part; the kernel is a Gaussian. Its width and the ridge are those that
    explain most when the groups of the training part are left out in turn. Not linear: a code may hold values in a
    curved form, and a training that only straightens them adds no information.

    Source: Saunders, Gammerman and Vovk 1998, "Ridge regression learning algorithm in dual variables" (ICML).

    Args:
        train_features, train_values: (N, D), (N, V); the work grows as N cubed, 3,000 rows take some ten seconds.
        train_groups: N names of what must not be split when the strength is chosen, such as persons.
        test_features, test_values: (M, D), (M, V), of other groups.
        seed: of the assignment of groups to folds.
    Returns:
        dict: `explained` (1 - squared error / squared distance from the training part's mean, both summed over all
            values of the test part; at most 1, 0 for the mean alone, None where no value differs from that mean),
            `precision` and `ridge` as chosen, `n_train`, `n_test`.
    Raises:
        ValueError: if there are fewer groups than `FOLDS`.
    """
    scaler = StandardScaler().fit(train_features.double().numpy())
    train_x, test_x = (scaler.transform(part.double().numpy()) for part in (train_features, test_features))
    train_y, test_y = train_values.double().numpy(), test_values.double().numpy()
    folds = folds_of_groups(train_groups, FOLDS, seed).numpy()

    def error(precision: float, ridge: float) -> float:
        """Squared error summed over all folds."""
        kept = [folds != fold for fold in range(FOLDS)]
        return sum(_error(train_x[k], train_y[k], train_x[~k], train_y[~k], precision, ridge) for k in kept)

    precision, ridge = min(itertools.product(PRECISIONS, RIDGES), key=lambda chosen: error(*chosen))
    left = _error(train_x, train_y, test_x, test_y, precision, ridge)
    variance = float(np.square(test_y - train_y.mean(axis=0)).sum())
    return {
        "explained": 1 - left / variance if variance > 0 else None,
        "precision": precision,
        "ridge": ridge,
        "n_train": len(train_y),
        "n_test": len(test_y),
    }


def _error(
    train_x: np.ndarray, train_y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray, precision: float, ridge: float
) -> float:
    """Squared error on the test part; how wide the kernel is does not depend on the number of features."""
    mean = train_y.mean(axis=0)
    regression = KernelRidge(kernel="rbf", gamma=2 * precision / train_x.shape[1], alpha=ridge)
    predicted = regression.fit(train_x, train_y - mean).predict(test_x) + mean
    return float(np.square(predicted - test_y).sum())
