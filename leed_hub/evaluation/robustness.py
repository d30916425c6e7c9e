"""Measure how much of a recogniser's accuracy is left when its pictures get worse."""

import os

import torch
from rich.progress import track

from leed_hub.evaluation.corpus_reader import CorpusReader, whole_crop
from leed_hub.evaluation.corruptions import CORRUPTIONS
from leed_hub.evaluation.rows import scored_rows
from leed_hub.metrics import wilson_interval


def evaluate_robustness(
    recognizer,
    corpus: str,
    data_dir: str | os.PathLike | None,
    split: str,
    *,
    aligner: str = "none",
    mirrored: bool = False,
    limit: int | None = None,
    batch_size: int = 128,
    progress: bool = False,
) -> dict:
    """Score a recogniser on clean crops and on the same crops after each of `CORRUPTIONS`.

    A crop is made from the clean picture and corrupted at the network's own size, so nothing is averaged away on the
    way to the network, and a face that was turned is not aligned again: the hard reading.

    Args:
        recognizer: as in `evaluate_recognition`, and has `size`, the side of its crops in pixels.
        corpus, data_dir, split, aligner, mirrored, limit, batch_size, progress: as in `evaluate_recognition`.
    Returns:
        dict: `accuracy_clean`; for each corruption `accuracy_NAME` (0..1) and `drop_NAME` (percentage points lost
            against `accuracy_clean`, negative if gained); `mean_drop`, over corruptions. Below, `corruptions`: name
            ("clean" too) to `accuracy`, `accuracy_interval` (Wilson 95 %), `n_lost` and `n_gained` (rows that were
            right before and are wrong now, and the other way round). `n`, `views`, `aligner`, `n_not_found`,
            `n_skipped`, `n_unlabelled`, `classes_lacking` as in `evaluate_recognition`; and `corpus`, `split`.
    Raises:
        CorpusError: if the corpus is not laid out as expected, or has no row of the recogniser's classes.
        ConfigError: if there is no such aligner.
    """
    reader = CorpusReader(recognizer, aligner=aligner, mirrored=mirrored)
    rows, labels, unmatched = scored_rows(corpus, data_dir, split, recognizer.labels, limit)
    called: dict[str, list] = {name: [] for name in ("clean", *CORRUPTIONS)}
    batches = rows.select_columns(["image"]).iter(batch_size)
    for batch in track(batches, "Reading", total=-(-len(rows) // batch_size), disable=not progress):
        crops = [whole_crop(reader.cut(picture), recognizer.size) for picture in batch["image"]]
        called["clean"].append(reader.read(crops)["logits"].argmax(dim=1))
        for name, corrupt in CORRUPTIONS.items():
            called[name].append(reader.read([corrupt(crop) for crop in crops])["logits"].argmax(dim=1))

    correct = {name: torch.cat(parts) == labels for name, parts in called.items()}
    corruptions = {name: _against(correct["clean"], right) for name, right in correct.items()}
    accuracies = {f"accuracy_{name}": numbers["accuracy"] for name, numbers in corruptions.items()}
    clean = accuracies["accuracy_clean"]
    drops = {f"drop_{name}": 100 * (clean - corruptions[name]["accuracy"]) for name in CORRUPTIONS}
    return {
        "measured": "robustness",
        "corpus": corpus,
        "split": split,
        "n": len(rows),
        **accuracies,
        **drops,
        "mean_drop": sum(drops.values()) / len(drops),
        **reader.protocol,
        **unmatched,
        "corruptions": corruptions,
    }


def _against(before: torch.Tensor, after: torch.Tensor) -> dict:
    """Which of the same rows (N,) are right."""
    n, n_correct = len(after), int(after.sum())
    return {
        "accuracy": n_correct / n,
        "accuracy_interval": wilson_interval(n_correct, n),
        "n_lost": int((before & ~after).sum()),
        "n_gained": int((~before & after).sum()),
    }
