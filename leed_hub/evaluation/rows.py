"""Rows of a corpus, chosen and turned into what networks take."""

import os
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from leed_hub.errors import CorpusError
from leed_hub.labels import UNLABELLED
from leed_hub.transforms import crop_face, crop_tensor, square_matrix

SEED = 0  # of every subset and probe, so that two models are measured on the same rows


def rows_of_classes(rows, class_names: tuple[str, ...], limit: int | None):
    """The rows whose class is among the names, the positions of their classes (N,), and what does not match.

    Args:
        rows: of `load_corpus`.
        class_names (tuple[str, ...]): of `EXPRESSIONS`.
        limit (int | None): at most so many rows, drawn with a fixed seed.
    Returns:
        tuple: the rows kept, (N,) int64, and a dict of `n_skipped` (rows of other classes) and `n_unlabelled`, both
            left out, and `classes_lacking` (names of which there is no row, whatever the limit).
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
    shown = set(positions.tolist())
    unmatched = {
        "n_skipped": len(labels) - len(kept) - n_unlabelled,
        "n_unlabelled": n_unlabelled,
        "classes_lacking": [name for k, name in enumerate(class_names) if k not in shown],
    }
    kept = kept[drawn_rows(len(kept), limit)]
    return rows.select(kept.tolist()), positions[kept], unmatched


def drawn_rows(count: int, limit: int | None) -> Tensor:
    """Numbers of at most `limit` of `count` rows, in order, drawn with a fixed seed; all by default.

    Drawn, not the first: corpora often lie on disk one class after another.
    """
    return torch.randperm(count, generator=torch.Generator().manual_seed(SEED))[:limit].sort().values


def scored_rows(
    corpus: str, data_dir: str | os.PathLike | None, split: str, class_names: tuple[str, ...], limit: int | None
):
    """A corpus' rows to score a recogniser on, as `rows_of_classes` gives them.

    Raises:
        CorpusError: if the corpus is not laid out as expected, or has no row of these classes.
    """
    from leed_hub.data import load_corpus  # here, for `datasets` is slow to import and editing needs none of it

    rows, labels, unmatched = rows_of_classes(load_corpus(corpus, data_dir, split), class_names, limit)
    if len(rows) == 0:
        place = f" in {data_dir}" if data_dir is not None else ""
        raise CorpusError(
            f"The {split} split of {corpus}{place} has no row of the recogniser's classes ({', '.join(class_names)})."
        )
    return rows, labels, unmatched


def crop_batch(editor, pictures: Sequence[Image.Image]) -> Tensor:
    """Pictures that are face crops already as one batch for `editor.model`: (B, 3, S, S) in [-1, 1]."""
    size = editor.model.config.image_size
    crops = [
        crop_tensor(crop_face(np.asarray(picture.convert("RGB")), square_matrix(*picture.size, size), size))
        for picture in pictures
    ]
    return torch.cat(crops).to(editor.device, memory_format=torch.channels_last)
