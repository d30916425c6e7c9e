"""Pictures without a face, on stand-ins whose answer is known."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from recognizer_stub import LABELS, Call, corpus_of, halves
from torch.nn import functional as F

from leed_hub.errors import ConfigError
from leed_hub.evaluation import NonFaces
from leed_hub.evaluation.non_faces import non_faces


class SureReader:
    """Sure of pictures with a bright right half, at a loss with all others; finds a face in bright red ones."""

    labels = LABELS

    def encode_crops(self, crops):
        levels = torch.tensor([np.asarray(crop)[:, crop.width // 2 :].mean() for crop in crops])
        return SimpleNamespace(
            logits=F.one_hot(torch.ones(len(crops), dtype=torch.long), 3) * 20.0 * (levels > 199)[:, None]
        )

    def __call__(self, picture):
        return [Call("neutral")] if picture.getpixel((0, 0)) == (255, 0, 0) else []


def test_non_faces_are_set_against_faces(load_corpus, monkeypatch):
    load_corpus["test"] = corpus_of([1, 1, 1], halves)
    pictures = {
        "black": [Image.new("RGB", (20, 20))] * 3,
        "odd": [Image.new("RGB", (20, 20), "white"), Image.new("RGB", (20, 20), "red")],
    }
    monkeypatch.setattr("leed_hub.evaluation.non_faces.non_faces", lambda london_dir: pictures)
    result = NonFaces(corpus="made_up", data_dir="nowhere", split="test", batch_size=2).run(SureReader())
    assert (result["n_faces"], result["n_non_faces"]) == (3, 5)
    assert result["mean_score_faces"] == pytest.approx(1.0) and result["confident_share_faces"] == 1.0
    assert result["mean_score_non_faces"] == pytest.approx((1 + 4 / 3) / 5)
    assert result["confident_share_non_faces"] == pytest.approx(0.2) and result["face_found_share"] == 0.2
    assert result["entropy_non_faces"] == pytest.approx(0.8 * result["entropy_limit"], rel=1e-4)
    assert result["auroc"] == pytest.approx(0.9)  # one of five is as sure as the faces
    assert result["kinds"]["odd"] | {"entropy": 0} == {
        "n": 2, "mean_score": pytest.approx(2 / 3), "confident_share": 0.5, "entropy": 0, "face_found_share": 0.5,
    }  # fmt: skip
    json.dumps(result, allow_nan=False)


def test_non_faces_need_a_recogniser_that_looks_for_faces(load_corpus):
    class Blind(SureReader):
        def __call__(self, picture):
            return [Call("neutral", detector="none")]

    with pytest.raises(ConfigError, match="detector"):
        NonFaces(corpus="made_up", data_dir="nowhere", split="test").run(Blind())


def test_the_same_non_faces_come_at_every_call(london):
    first, second = non_faces(london), non_faces(london)
    assert set(first) == {"noise", "gradients", "scenes", "portrait_pieces"} and set(non_faces()) == set(first) - {
        "portrait_pieces"
    }
    assert [len(pictures) for pictures in first.values()] == [120, 120, 120, 28]  # four corners of seven portraits
    for kind, pictures in first.items():
        assert all(picture.mode == "RGB" and min(picture.size) >= 16 for picture in pictures)
        assert all(
            np.array_equal(np.asarray(one), np.asarray(other))
            for one, other in zip(pictures, second[kind], strict=True)
        )
