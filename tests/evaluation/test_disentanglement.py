"""Editors' codes, on stand-ins whose answer is known."""

import json
from types import SimpleNamespace

import pytest
import torch
from probes import nearest_mean
from rendered_stub import SIDE, rendered
from torch.nn import functional as F

import leed_hub.data
from leed_hub import ExpressionEditor
from leed_hub.evaluation import Disentanglement, Strength, write_json


class ColourModel:
    """Reads person and expression off the colours, and mixes them as told."""

    config = SimpleNamespace(image_size=SIDE)

    def __init__(self, e_leaks, neutral_leaks):
        self.e_leaks, self.neutral_leaks = e_leaks, neutral_leaks

    def encode(self, images):
        levels = ((images.mean(dim=(2, 3)) + 1) * 12.75).round().long()
        person, label = F.one_hot(levels[:, 0], 26).float(), F.one_hot(levels[:, 1], 9).float()
        noise = torch.randn(len(images), 35, generator=torch.Generator().manual_seed(len(images)))
        e = torch.cat([self.e_leaks * person, label], dim=1) + 0.1 * noise
        neutral_point = torch.cat([person, self.neutral_leaks * label], dim=1) + 0.1 * noise
        return SimpleNamespace(expression_code=e, displacement=e, neutral_point=neutral_point)


@pytest.fixture
def quick_probes(monkeypatch):
    for module in ("leed_hub.evaluation.disentanglement", "leed_hub.metrics.disentanglement"):
        monkeypatch.setattr(f"{module}.probe_leakage", nearest_mean)


@pytest.fixture
def rendered_faces(monkeypatch, quick_probes):
    splits = {"train": rendered(6, 14, first_person=10), "validation": rendered(4, 14)}
    monkeypatch.setattr(leed_hub.data, "load_corpus", lambda name, data_dir, split: splits[split])


def measure(e_leaks, neutral_leaks):
    editor = SimpleNamespace(model=ColourModel(e_leaks, neutral_leaks), device="cpu")
    return Disentanglement(data_dir="nowhere").run(editor)


def test_pure_codes_are_found_pure(rendered_faces):
    result = measure(e_leaks=0, neutral_leaks=0)
    assert result["person_from_expression_code"] < 0.4 and result["person_chance"] == 0.25
    assert result["person_over_chance"] == 4 * result["person_from_expression_code"]
    assert result["person_from_neutral_point"] > 0.95
    assert result["expression_from_neutral_point"] < result["expression_chance"] + 0.1
    assert result["expression_from_expression_code"] > 0.95
    assert result["probes"]["expression_from_neutral_point_by_person"]["linear_accuracy"] < 0.3
    assert result["blendshapes_from_expression_code"] > 0.95 and result["readout"]["n_train"] == 336
    assert result["retrieval"] == 1.0 and result["retrieval_chance"] == pytest.approx(1 / 7)
    assert (result["n"], result["n_persons"], result["n_trained"]) == (224, 4, 252)  # free ones have no label to learn
    assert [result["retrievals"][name]["n"] for name in ("all", "all_of_category")] == [224, 168]
    assert [result["retrievals"][name]["n"] for name in ("expressive", "expressive_of_category")] == [168, 112]
    json.dumps(result, allow_nan=False)


def test_leaking_codes_are_found_out(rendered_faces):
    result = measure(e_leaks=1, neutral_leaks=1)
    assert result["person_from_expression_code"] > 0.95
    assert result["expression_from_neutral_point"] > 0.95
    assert result["probes"]["expression_from_neutral_point_by_person"]["linear_accuracy"] > 0.95


@pytest.mark.slow
def test_codes_and_strength_of_the_bundled_editor_on_real_renders(shared, quick_probes, tmp_path):
    """Real pictures and weights; quicker probes, and the first triplets only."""
    editor = ExpressionEditor.from_pretrained(detector="none")
    folder = shared / "corpora" / "rendered_faces"
    result = Disentanglement(data_dir=folder, probe_rows=100).run(editor)
    assert 0.2 < result["blendshapes_from_expression_code"] < 1
    assert (result["n"], result["n_persons"], result["n_trained"]) == (601, 8, 100)
    assert result["retrieval"] > 2 * result["retrieval_chance"]
    assert result["person_from_neutral_point"] > 2 * result["person_chance"]
    write_json(result, tmp_path / "codes.json")

    result = Strength(data_dir=folder, limit=8).run(editor)
    assert result["n"] == result["n_expressive"] == 8
    assert result["error_ratio_strength_zero"] < 1 and result["change_grows"]
    assert 1 <= result["mixing_largest_step"] < 3
    write_json(result, tmp_path / "strength.json")
