"""What a frozen representation still holds of the expression: the accuracy of fresh probes, beside chance."""

import copy

import torch
import torch.nn.functional as F
from sklearn.metrics import balanced_accuracy_score
from torch import Tensor, nn

HIDDEN_WIDTH = 128
# AdamW's decay. The two-layer probe overfits without a strong one: on 10,000 rows of 256 features whose class moves one
# feature by 2 sigma it reached 0.65 with 0.01 and 0.70, as the linear one does, with 3.
LINEAR_DECAY, MLP_DECAY = 1e-2, 3.0
BATCH_SIZE = 256
STEPS = 1200
CHECK_EVERY_STEPS = 40
HELD_OUT_SHARE = 0.1


def probe_leakage(
    train_features: Tensor, train_labels: Tensor, test_features: Tensor, test_labels: Tensor, *, seed: int = 0
) -> dict:
    """Train a linear and a two-layer probe on frozen features, and test them on rows they never saw.

    Features are standardised by the training part. Each step draws a class-balanced batch, so a probe gains nothing
    from class frequencies; balanced accuracy is the number to use. A tenth of the training part decides
    which of a probe's states is kept, for an overfitted probe would understate what leaks. Rows without a label, and
    of classes which one of the two parts lacks, are left out.

    Source: the leakage measure beside Halawa et al. 2020, arXiv:2008.07001; probes after Alain & Bengio 2016,
    arXiv:1610.01644. The choice of probes and their training is ours.

    Args:
        train_features, train_labels: (N, D), and (N,) integers, -1 for unlabelled.
        test_features, test_labels: (M, D) and (M,), best of other persons.
        seed: of the probes' weights and batches. torch's global random state is neither read nor moved.
    Returns:
        dict: `linear_accuracy`, `mlp_accuracy` (balanced: mean recall on the test part), `linear_plain_accuracy`,
            `mlp_plain_accuracy` (share of rows), `chance_balanced` (1/K), `chance_majority` (the most frequent class'
            share of the test part), all in 0..1; `n_classes` (K), `n_train`, `n_test`.
    Raises:
        ValueError: if the two parts have fewer than two classes in common.
    """
    train_labels, test_labels = train_labels.detach().cpu(), test_labels.detach().cpu()
    classes = sorted((set(train_labels.tolist()) & set(test_labels.tolist())) - {-1})
    if len(classes) < 2:
        raise ValueError(f"probe_leakage expected two classes or more in both parts, got {classes}.")

    # Probes learn also when the caller is only measuring, under no_grad or inference_mode.
    with torch.inference_mode(False), torch.enable_grad():
        train_x, train_y = _rows_of_classes(train_features, train_labels, classes)
        test_x, test_y = _rows_of_classes(test_features, test_labels, classes)
        mean, deviation = train_x.mean(dim=0), train_x.std(dim=0, unbiased=False)
        deviation = torch.where(
            deviation > 1e-6, deviation, torch.ones_like(deviation)
        )  # a constant feature holds nothing
        train_x, test_x = (train_x - mean) / deviation, (test_x - mean) / deviation

        result = {}
        for name, hidden_widths, decay in (("linear", (), LINEAR_DECAY), ("mlp", (HIDDEN_WIDTH,), MLP_DECAY)):
            generator = torch.Generator().manual_seed(seed)
            probe = _build_probe((train_x.shape[1], *hidden_widths, len(classes)), generator)
            _train_probe(probe, train_x, train_y, decay, generator)
            with torch.no_grad():
                predicted = probe(test_x).argmax(dim=1)
            result[f"{name}_accuracy"] = float(balanced_accuracy_score(test_y, predicted))
            result[f"{name}_plain_accuracy"] = float((predicted == test_y).float().mean())
    return {
        **result,
        "chance_balanced": 1 / len(classes),
        "chance_majority": float(test_y.bincount().max() / len(test_y)),
        "n_classes": len(classes),
        "n_train": len(train_y),
        "n_test": len(test_y),
    }


def _rows_of_classes(features: Tensor, labels: Tensor, classes: list[int]) -> tuple[Tensor, Tensor]:
    """The rows of these classes, (N, D) float32 on the CPU, and their classes renumbered 0..K-1."""
    is_class = labels[:, None] == torch.tensor(classes)  # (N, K)
    kept = is_class.any(dim=1)
    return features.detach().cpu()[kept].float(), is_class[kept].float().argmax(dim=1)


def _build_probe(widths: tuple[int, ...], generator: torch.Generator) -> nn.Sequential:
    """Linear layers with ReLU between, initialised from `generator` alone."""
    layers = []
    for width_in, width_out in zip(widths[:-1], widths[1:], strict=True):
        linear = nn.utils.skip_init(nn.Linear, width_in, width_out)  # nn.Linear's own would draw from the global state
        nn.init.kaiming_uniform_(linear.weight, generator=generator)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _train_probe(probe: nn.Module, features: Tensor, labels: Tensor, decay: float, generator: torch.Generator) -> None:
    """AdamW on class-balanced batches; ends with the weights that did best on the held-out tenth."""
    order = torch.randperm(len(labels), generator=generator)
    n_held_out = max(1, int(HELD_OUT_SHARE * len(labels)))
    held_out, learned = order[:n_held_out], order[n_held_out:]
    row_weights = 1 / labels[learned].bincount().clamp_min(1)[labels[learned]]
    held_out_weights = 1 / labels[held_out].bincount(minlength=int(labels.max()) + 1).clamp_min(1)  # (K,)

    optimizer = torch.optim.AdamW(probe.parameters(), lr=3e-3, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    best_loss, best_weights = float("inf"), None
    for step in range(1, STEPS + 1):
        batch = learned[torch.multinomial(row_weights, BATCH_SIZE, replacement=True, generator=generator)]
        loss = F.cross_entropy(probe(features[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % CHECK_EVERY_STEPS == 0:
            with torch.no_grad():
                held_out_loss = F.cross_entropy(probe(features[held_out]), labels[held_out], held_out_weights).item()
            if held_out_loss < best_loss:
                best_loss, best_weights = held_out_loss, copy.deepcopy(probe.state_dict())
    if best_weights is not None:
        probe.load_state_dict(best_weights)
