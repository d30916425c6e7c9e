"""Strength and mixing, on stand-ins whose answer is known."""

import json
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
from PIL import Image
from rendered_stub import SIDE, rendered

import leed_hub.data
from leed_hub.errors import CorpusError
from leed_hub.evaluation import Strength, record_in_card
from leed_hub.models.card import CardFacts
from leed_hub.models.leed import LEEDConfig, LEEDModel


class LevelEditor:
    """Blue is the expression: 0 at strength 0, and on from there by the code, through `curve`."""

    device = "cpu"

    def __init__(self, curve=lambda amount: amount):
        self.curve = curve
        self.model = SimpleNamespace(config=SimpleNamespace(image_size=SIDE), encode=self.encode, decode=self.decode)

    def __call__(self, source, reference, strength, *, detector):
        assert (reference, strength, detector) == (None, 0.0, "none")
        pixels = np.asarray(source).copy()
        pixels[..., 1] = 0
        return SimpleNamespace(image=Image.fromarray(pixels))

    def encode(self, images):
        return SimpleNamespace(expression_code=(images[:, 1].mean(dim=(1, 2)) + 1)[:, None])

    def decode(self, images, source, code, strength=1.0):
        return SimpleNamespace(edited=images + self.curve(strength * code)[:, :, None, None])


@pytest.fixture
def triplets(monkeypatch):
    faces = rendered(2, 3)
    chosen = [row for row, label in enumerate(faces["label"]) if label > 0]
    pictures, labels = faces[chosen]["image"], faces[chosen]["label"]
    pairs = {"source": pictures, "reference": pictures, "reference_label": labels}
    features = {"source": datasets.Image(), "reference": datasets.Image(), "reference_label": datasets.Value("int64")}
    configs = {None: faces, "pairs": datasets.Dataset.from_dict(pairs, features=datasets.Features(features))}
    monkeypatch.setattr(leed_hub.data, "load_corpus", lambda name, data_dir, split, config=None: configs[config])
    return configs


def test_a_linear_editor_grows_evenly_and_finds_the_neutral_face(triplets):
    result = Strength(data_dir="nowhere", batch_size=5).run(LevelEditor())
    assert result["error_ratio_strength_zero"] == 0.0 and result["error_ratio_strength_zero_interval"] == [0.0, 0.0]
    assert result["n_expressive"] == 18
    assert result["n"] == 12 and result["change_grows"] and result["growing_share"] == 1.0
    assert result["change"][0] == 0.0 and result["change"][6] == pytest.approx(6 * result["change"][1])
    assert result["mixing_largest_step"] == pytest.approx(1.0, abs=1e-3)
    assert result["mixing_monotonic_share"] == 1.0 and result["n_mixed"] == 12
    json.dumps(result, allow_nan=False)


def test_an_editor_that_saturates_or_jumps_is_found_out(triplets):
    saturating = Strength(data_dir="nowhere", batch_size=5).run(LevelEditor(lambda amount: amount.clamp_max(0.05)))
    assert not saturating["change_grows"] and saturating["growing_share"] < 1
    jumping = Strength(data_dir="nowhere").run(LevelEditor(lambda amount: (amount > 0.35).float()))
    assert 0 < jumping["n_mixed"] < 12  # where both ends lie on one side of the jump, nothing is mixed
    assert jumping["mixing_largest_step"] == pytest.approx(10) and jumping["mixing_monotonic_share"] == 0.0


def test_an_editor_that_does_nothing_leaves_the_whole_error(triplets):
    editor = LevelEditor(lambda amount: 0 * amount)
    editor_of_nothing = SimpleNamespace(device="cpu", model=editor.model)

    class Nothing:
        device, model = editor_of_nothing.device, editor_of_nothing.model

        def __call__(self, source, reference, strength, *, detector):
            return SimpleNamespace(image=source)

    result = Strength(data_dir="nowhere", limit=6).run(Nothing())
    assert result["error_ratio_strength_zero"] == 1.0
    assert result["n_mixed"] == 0 and result["mixing_largest_step"] is None and result["growing_share"] == 0.0


def test_a_missing_neutral_render_is_named(triplets):
    triplets[None] = triplets[None].select(range(1, 24))
    with pytest.raises(CorpusError, match="0_0_0"):
        Strength(data_dir="nowhere").run(LevelEditor())


def test_the_card_keeps_the_main_numbers_of_each_result_once(triplets, tmp_path):
    strength = Strength(data_dir="nowhere").run(LevelEditor())
    model = LEEDModel(LEEDConfig(image_size=32, widths=(8, 8, 8, 8), manifold_dim=8, expression_dim=4))
    older = {"name": "growing_share", "value": 0.1, "dataset": "Rendered faces", "split": "pairs_validation"}
    model.save_pretrained(tmp_path, card=CardFacts(metrics=[older, older | {"name": "error_ratio"}]))
    for _ in range(2):
        record_in_card(model, tmp_path, strength)
    entries = CardFacts.read(tmp_path).metrics
    values = {(entry["split"], entry["name"]): entry["value"] for entry in entries}
    assert len(values) == len(entries) == 4
    assert values["pairs_validation", "error_ratio"] == 0.1  # another result's, and kept
    assert (
        values["pairs_validation", "growing_share"] == 1.0 and values["validation", "error_ratio_strength_zero"] == 0.0
    )
    assert "12 triplets" in (tmp_path / "README.md").read_text()
