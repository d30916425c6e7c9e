"""Accuracy on corrupted crops, on stand-ins whose answer is known."""

import json

import numpy as np
import pytest
from recognizer_stub import SIDE, HalvesReader, corpus_of, halves, photograph_like

from leed_hub.evaluation import Robustness
from leed_hub.evaluation.corpus_reader import whole_crop
from leed_hub.evaluation.corruptions import CORRUPTIONS


def test_robustness_counts_what_each_corruption_costs_on_the_same_rows(load_corpus):
    load_corpus["test"] = corpus_of([0, 0, 1, 1], lambda label: halves(label).point(lambda level: level // (1 + label)))
    result = Robustness(corpus="made_up", data_dir="nowhere", split="test").run(HalvesReader())
    # Levels 200 and 100; contempt is called below 60 of both halves: times 0.4 they are 80 and 40.
    assert result["accuracy_clean"] == 1.0 and result["accuracy_dark"] == 0.5 and result["drop_dark"] == 50.0
    assert result["corruptions"]["dark"]["n_lost"] == 2 and result["corruptions"]["dark"]["n_gained"] == 0
    assert result["drop_roll_plus_20"] == result["drop_half_size"] == 0.0
    assert {f"drop_{name}" for name in CORRUPTIONS} < result.keys()
    assert result["mean_drop"] == pytest.approx(sum(result[f"drop_{name}"] for name in CORRUPTIONS) / len(CORRUPTIONS))
    json.dumps(result, allow_nan=False)


def test_robustness_corrupts_crops_of_the_networks_own_side(load_corpus):
    load_corpus["test"] = corpus_of([0, 1], lambda label: halves(label, size=64))
    recognizer = HalvesReader()
    Robustness(corpus="made_up", data_dir="nowhere", split="test").run(recognizer)
    assert {crop.size for crop in recognizer.seen} == {(SIDE, SIDE)}
    picture = photograph_like(SIDE)
    assert np.array_equal(np.asarray(whole_crop(picture, SIDE)), np.asarray(picture))
