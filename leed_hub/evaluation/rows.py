"""Rows of a corpus, chosen and turned into what networks take."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from leed_hub.errors import CorpusError
from leed_hub.faces.alignment import crop_face, crop_tensor, square_matrix
from leed_hub.models.labels import UNLABELLED

SEED = 0  # of every subset and probe, so that two models are measured on the same rows


def corpus_rows(name: str, folder: str | os.PathLike | None, split: str, **options) -> Any:
    """`leed_hub.data.load_corpus`, imported at first use: `datasets` is slow to import, and edits need none of it."""
    from leed_hub.data import load_corpus

    return load_corpus(name, folder, split, **options)


def rows_of_classes(rows: Any, class_names: tuple[str, ...], limit: int | None) -> tuple[Any, Tensor, dict]:
    """The rows whose class is among the names.

    Args:
        rows: of `load_corpus`.
        class_names: of `EXPRESSIONS`.
        limit: at most so many rows, drawn with a fixed seed.
    Returns:
        tuple: the rows kept; the positions of their classes, (N,) int64; and a dict of `n_skipped` (labelled rows of
            other classes) and `n_unlabelled`, both left out, and `classes_lacking` (names without any row, whatever
            the limit).
    """
    names = rows.features["label"].names
    labels = labels_of(rows).tolist()
    position_of = {k: class_names.index(name) for k, name in enumerate(names) if name in class_names}
    positions = torch.tensor([position_of.get(label, UNLABELLED) for label in labels], dtype=torch.long)
    kept = torch.nonzero(positions != UNLABELLED).squeeze(1)
    n_unlabelled = labels.count(UNLABELLED)
    unmatched = {
        "n_skipped": len(labels) - len(kept) - n_unlabelled,
        "n_unlabelled": n_unlabelled,
        "classes_lacking": [name for k, name in enumerate(class_names) if k not in positions],
    }
    kept = kept[drawn_rows(len(kept), limit)]
    return rows.select(kept.tolist()), positions[kept], unmatched


def rows_of_classes_in(
    corpus: str, data_dir: str | os.PathLike | None, split: str, class_names: tuple[str, ...], limit: int | None
) -> tuple[Any, Tensor, dict]:
    """`rows_of_classes` of a corpus' split.

    Raises:
        CorpusError: if the corpus is not laid out as expected, or has no row of these classes.
    """
    rows, labels, unmatched = rows_of_classes(corpus_rows(corpus, data_dir, split), class_names, limit)
    if len(rows) == 0:
        place = f" in {data_dir}" if data_dir is not None else ""
        raise CorpusError(
            f"The {split} split of {corpus}{place} has no row of the recogniser's classes ({', '.join(class_names)})."
        )
    return rows, labels, unmatched


def labels_of(rows: Any) -> Tensor:
    """The rows' labels, (N,) int64, `UNLABELLED` where there is none."""
    return torch.tensor([UNLABELLED if label is None else label for label in rows["label"][:]], dtype=torch.long)


def drawn_rows(count: int, limit: int | None) -> Tensor:
    """Numbers of at most `limit` of `count` rows, in order, drawn with a fixed seed; all by default.

    Drawn, not the first: corpora often lie on disk one class after another.
    """
    return torch.randperm(count, generator=torch.Generator().manual_seed(SEED))[:limit].sort().values


def crop_batch(editor: Any, pictures: Sequence[Image.Image]) -> Tensor:
    """Pictures that are face crops already as one batch for `editor.model`: (B, 3, S, S) in [-1, 1]."""
    size = editor.model.config.image_size
    crops = [
        crop_tensor(crop_face(np.asarray(picture.convert("RGB")), square_matrix(*picture.size, size), size))
        for picture in pictures
    ]
    return torch.cat(crops).to(editor.device, memory_format=torch.channels_last)


def batches(evaluation: Any, pictures: Any, description: str) -> Iterator[list[Image.Image]]:
    """Pictures, or a column of them, `evaluation.batch_size` at a time."""
    for start in evaluation.track(range(0, len(pictures), evaluation.batch_size), description):
        yield list(pictures[start : start + evaluation.batch_size])


def encode_pictures(evaluation: Any, editor: Any, pictures: Any, names: Sequence[str]) -> dict[str, Tensor]:
    """Codes of an editor's encoder for face crops, (N, D) float32 on the CPU under each of the names."""
    parts: dict[str, list[Tensor]] = {name: [] for name in names}
    for batch in batches(evaluation, pictures, "Encoding"):
        encoding = editor.model.encode(crop_batch(editor, batch))
        for name, part in parts.items():
            part.append(getattr(encoding, name).float().cpu())
    return {name: torch.cat(part) for name, part in parts.items()}
