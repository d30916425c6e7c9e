"""Accuracy and leakage, on stand-ins whose answer is known."""

import json
from types import SimpleNamespace

import datasets
import pytest
import torch
from PIL import Image

import leed_hub.data
from leed_hub.errors import CorpusError
from leed_hub.evaluation import Recognition
from leed_hub.models.labels import EXPRESSIONS


def corpus_of(labels):
    """Grey 8x8 pictures whose level is 20 times their row's label (unlabelled: 255)."""
    levels = [20 * label if label >= 0 else 255 for label in labels]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(EXPRESSIONS))})
    images = [Image.new("RGB", (8, 8), (level,) * 3) for level in levels]
    return datasets.Dataset.from_dict({"image": images, "label": labels}, features=features)


class LevelReader:
    """Reads the class off the grey level, for a head with its own order; its non-expression code is noise."""

    labels = ("anger", "happiness", "neutral")

    def __init__(self):
        self.batch_sizes = []

    def encode_crops(self, crops):
        self.batch_sizes.append(len(crops))
        levels = torch.tensor([crop.getpixel((0, 0))[0] for crop in crops])
        own = torch.tensor([20 * EXPRESSIONS.index(name) for name in self.labels])
        logits = 5.0 * (levels[:, None] == own)
        noise = torch.randn(len(crops), 4, generator=torch.Generator().manual_seed(len(self.batch_sizes)))
        return SimpleNamespace(logits=logits, expression_code=logits, non_expression_code=noise)


@pytest.fixture
def load_corpus(monkeypatch):
    corpora = {"train": corpus_of([0, 1, 6] * 200), "test": corpus_of([0, 1, 6] * 60 + [3, 3, -1])}
    monkeypatch.setattr(leed_hub.data, "load_corpus", lambda name, data_dir, split: corpora[split], raising=False)
    return corpora


def test_recognition_maps_the_corpus_labels_to_the_heads_order(load_corpus):
    result = Recognition(corpus="made_up", data_dir="nowhere", split="test", probe_split="none").run(LevelReader())
    assert result["accuracy"] == 1.0 and result["n"] == 180
    assert result["confusion"] == [[60, 0, 0], [0, 60, 0], [0, 0, 60]]
    assert result["leakage"] is None and result["expression_code_probe"] is None


def test_recognition_counts_and_leaves_out_what_the_head_cannot_say(load_corpus):
    result = Recognition(corpus="made_up", data_dir="nowhere", split="test", probe_split="none").run(LevelReader())
    assert (result["n_skipped"], result["n_unlabelled"]) == (2, 1)


def test_probes_find_the_expression_in_its_own_code_and_not_in_the_other(load_corpus):
    result = Recognition(corpus="made_up", data_dir="nowhere", split="test").run(LevelReader())
    assert result["expression_code_probe"]["linear_accuracy"] == 1.0
    # 180 test rows: a standard deviation of 0.035 about chance.
    assert result["leakage"]["linear_accuracy"] == pytest.approx(1 / 3, abs=0.14)
    assert result["leakage"]["n_train"] == 600
    json.dumps(result, allow_nan=False)


def test_recognition_without_a_non_expression_code_reports_no_leakage(load_corpus):
    class PlainReader(LevelReader):
        def encode_crops(self, crops):
            return SimpleNamespace(**{**vars(super().encode_crops(crops)), "non_expression_code": None})

    result = Recognition(corpus="made_up", data_dir="nowhere", split="test").run(PlainReader())
    assert result["leakage"] is None and result["expression_code_probe"] is not None


def test_limit_draws_rows_of_every_class_and_batches_keep_their_size(load_corpus):
    load_corpus["test"] = corpus_of([0] * 60 + [1] * 60 + [6] * 60)
    reader = LevelReader()
    result = Recognition(
        corpus="made_up", data_dir="nowhere", split="test", probe_split="none", limit=40, batch_size=16
    ).run(reader)
    assert result["n"] == 40 and reader.batch_sizes == [16, 16, 8]
    assert result["accuracy"] == 1.0 and all(score["support"] > 0 for score in result["per_class"].values())


def test_a_split_without_a_class_of_the_head_is_refused(load_corpus):
    load_corpus["test"] = corpus_of([3, 4])
    with pytest.raises(CorpusError, match="anger, happiness, neutral"):
        Recognition(corpus="made_up", data_dir="nowhere", split="test").run(LevelReader())


def test_probing_on_the_tested_split_is_refused(load_corpus):
    with pytest.raises(ValueError, match="probe_split"):
        Recognition(corpus="made_up", data_dir="nowhere", split="train").run(LevelReader())
