"""The recogniser's batches: right labels, right balance, repeatable."""

import datasets
import numpy as np
import torch
from PIL import Image

from leed_hub.data.labelled import LabelledFaces
from leed_hub.labels import EXPRESSIONS

LABELS = ("anger", "neutral")  # on purpose not in the vocabulary's order, and not all of it


def rows() -> datasets.Dataset:
    """Grey level tells the category: anger 200, neutral 50, fear 120; one row is unlabelled."""
    names = ["anger"] * 2 + ["neutral"] * 8 + ["fear"] * 3
    levels = {"anger": 200, "neutral": 50, "fear": 120}
    pictures = [Image.fromarray(np.full((20, 20), levels[name], np.uint8)) for name in names]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(EXPRESSIONS))})
    labels = [EXPRESSIONS.index(name) for name in names]
    return datasets.Dataset.from_dict({"image": [*pictures, pictures[0]], "label": [*labels, -1]}, features=features)


def test_rows_of_other_categories_are_left_out_and_labels_follow_the_heads_order():
    faces = LabelledFaces(rows(), LABELS, size=16, channels=1, balanced=False)
    assert len(faces) == 10
    assert faces.images.shape == (10, 1, 16, 16)
    assert faces.images[faces.labels == 0].float().mean() == 200
    assert faces.images[faces.labels == 1].float().mean() == 50


def test_balanced_draws_take_every_category_as_often():
    faces = LabelledFaces(rows(), LABELS, size=16, channels=1, balanced=True)
    batch = faces.batch(torch.zeros(2000, dtype=torch.long), torch.Generator().manual_seed(0), torch.device("cpu"))
    assert 0.45 < batch["labels"].float().mean() < 0.55


def test_a_batch_repeats_itself_and_lies_in_the_unit_range():
    faces = LabelledFaces(rows(), LABELS, size=16, channels=3, balanced=False)
    first, again = (
        faces.batch(torch.arange(10), torch.Generator().manual_seed(3), torch.device("cpu")) for _ in range(2)
    )
    assert torch.equal(first["images"], again["images"])
    assert first["images"].shape == (10, 3, 16, 16)
    assert first["images"].abs().max() <= 1
    assert torch.equal(first["labels"], faces.labels)
