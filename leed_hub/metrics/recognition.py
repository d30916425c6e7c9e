"""Recognition scores: accuracy, scores by class, and calibration."""

import math
from collections.abc import Sequence

from torch import Tensor
from torchmetrics.functional import concordance_corrcoef
from torchmetrics.functional.classification import (
    multiclass_calibration_error,
    multiclass_confusion_matrix,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)

from leed_hub.metrics.calibration import checked_logits
from leed_hub.metrics.intervals import wilson_interval

CALIBRATION_BINS = 15
COVERAGE = 0.8


def recognition_scores(logits: Tensor, labels: Tensor, class_names: Sequence[str]) -> dict:
    """Score a classifier's logits against the true classes.

    Macro averages run over the classes that occur in `labels`, as scikit-learn's balanced accuracy does: a class
    without a row has no recall to average, and the rows wrongly given to it already cost the recall of their own class.
    Such a class keeps its place in `per_class`, with support 0 and None for its scores.

    Args:
        logits: (N, K), N at least 1.
        labels: (N,), integers in 0..K-1; leave unlabelled rows out.
        class_names: the K names, in the logits' order.
    Returns:
        dict: `n`; `accuracy` and `accuracy_interval` ([low, high], Wilson 95 %); `macro_f1`; `balanced_accuracy` (mean
            recall); `accuracy_at_80_coverage` (over the 80 % of rows, rounded up, with the highest confidence);
            `expected_calibration_error` (0..1, Guo et al. 2017, arXiv:1706.04599, 15 equal bins); `per_class` (name to
            `recall`, `precision`, `f1`, `support`); `confusion` (K lists of K counts, rows true, columns predicted);
            `class_names`. All scores in 0..1.
    Raises:
        ValueError: if shapes do not fit, there is no row, or a label is outside 0..K-1.
    """
    n_classes = len(class_names)
    logits, labels = checked_logits("recognition_scores", logits, labels, n_classes)
    logits = logits.float()
    # Probabilities, because torchmetrics takes logits that all happen to lie in 0..1 for probabilities.
    probabilities = logits.softmax(dim=1)
    confidence, predicted = probabilities.max(dim=1)
    correct = (predicted == labels).float()
    support = labels.bincount(minlength=n_classes)
    occurs = support > 0

    recall, precision, f1 = (
        score(predicted, labels, n_classes, average="none")
        for score in (multiclass_recall, multiclass_precision, multiclass_f1_score)
    )
    most_confident = confidence.argsort(descending=True, stable=True)[: math.ceil(COVERAGE * len(labels))]

    return {
        "n": len(labels),
        "accuracy": float(correct.mean()),
        "accuracy_interval": wilson_interval(int(correct.sum()), len(labels)),
        "macro_f1": float(f1[occurs].mean()),
        "balanced_accuracy": float(recall[occurs].mean()),
        "accuracy_at_80_coverage": float(correct[most_confident].mean()),
        "expected_calibration_error": float(
            multiclass_calibration_error(probabilities, labels, n_classes, n_bins=CALIBRATION_BINS, norm="l1")
        ),
        "per_class": {
            name: {
                "recall": float(recall[k]) if occurs[k] else None,
                "precision": float(precision[k]) if occurs[k] else None,
                "f1": float(f1[k]) if occurs[k] else None,
                "support": int(support[k]),
            }
            for k, name in enumerate(class_names)
        },
        "confusion": multiclass_confusion_matrix(predicted, labels, n_classes).tolist(),
        "class_names": list(class_names),
    }


def affect_scores(predicted: Tensor, annotated: Tensor) -> dict | None:
    """How well valence and arousal are read: (N, 2) each in [-1, 1]; rows with a NaN annotation are left out.

    Returns:
        dict: `n`, and for `valence` and `arousal` each `concordance` (Lin's coefficient, -1..1; 0 for a constant) and
            `rmse` (0..2); None where fewer than two rows are annotated.
    """
    known = ~annotated.isnan().any(dim=1)
    if known.sum() < 2:
        return None
    predicted, annotated = predicted[known].double(), annotated[known].double()
    rmse = (predicted - annotated).square().mean(dim=0).sqrt()
    concordance = concordance_corrcoef(predicted, annotated).nan_to_num(0.0)
    return {"n": int(known.sum())} | {
        name: {"concordance": float(concordance[at]), "rmse": float(rmse[at])}
        for at, name in enumerate(("valence", "arousal"))
    }
