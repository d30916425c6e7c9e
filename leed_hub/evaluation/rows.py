"""Rows of a corpus, chosen and turned into what networks take."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from leed_hub.labels import UNLABELLED
from leed_hub.transforms import crop_face, crop_tensor, square_matrix

SEED = 0  # of every subset and probe, so that two models are measured on the same rows


def rows_of_classes(rows, class_names: tuple[str, ...], limit: int | None):
    """The rows whose class is among the names, the positions of their classes (N,), and how many were left out and why.

    Args:
        rows: of `load_corpus`.
        class_names (tuple[str, ...]): of `EXPRESSIONS`.
        limit (int | None): at most so many rows, drawn with a fixed seed.
    Returns:
        tuple: the rows kept, (N,) int64, and a dict of `n_skipped` (of other classes) and `n_unlabelled`.
    """
    names = rows.features["label"].names
    labels = [UNLABELLED if label is None else label for label in rows["label"][:]]
    positions = [
        class_names.index(names[label]) if label != UNLABELLED and names[label] in class_names else UNLABELLED
        for label in labels
    ]
    positions = torch.tensor(positions, dtype=torch.long)
    kept = torch.nonzero(positions != UNLABELLED).squeeze(1)
    n_unlabelled = labels.count(UNLABELLED)
    counts = {"n_skipped": len(labels) - len(kept) - n_unlabelled, "n_unlabelled": n_unlabelled}
    if limit is not None and limit < len(kept):
        # Drawn, not the first: corpora often lie on disk one class after another.
        drawn = torch.randperm(len(kept), generator=torch.Generator().manual_seed(SEED))[:limit]
        kept = kept[drawn.sort().values]
    return rows.select(kept.tolist()), positions[kept], counts


def crop_batch(editor, pictures: Sequence[Image.Image]) -> Tensor:
    """Pictures that are face crops already as one batch for `editor.model`: (B, 3, S, S) in [-1, 1]."""
    size = editor.model.config.image_size
    crops = [
        crop_tensor(crop_face(np.asarray(picture.convert("RGB")), square_matrix(*picture.size, size), size))
        for picture in pictures
    ]
    return torch.cat(crops).to(editor.device, memory_format=torch.channels_last)
