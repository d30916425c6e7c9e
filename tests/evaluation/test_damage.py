"""An editor that leaves faces whole is found whole, and one that ruins them is found out."""

import json

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

import leed_hub.data
from leed_hub import ExpressionEditor
from leed_hub.evaluation import Damage, record_in_card
from leed_hub.evaluation.damage import fuzzed_pictures, strongest_of_each_category
from leed_hub.models.card import CardFacts
from leed_hub.models.labels import EXPRESSIONS
from leed_hub.models.leed import LEEDConfig, LEEDModel, LEEDOutput

SIZE = 32


def face(seed: int) -> Image.Image:
    """A smooth, faintly textured picture."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(90, 170, (6, 6, 3), dtype=np.uint8)).resize((64, 64))
    return Image.fromarray((np.asarray(coarse).astype(int) + random.integers(-6, 7, (64, 64, 1))).astype(np.uint8))


@pytest.fixture
def corpora(monkeypatch):
    label = datasets.ClassLabel(names=list(EXPRESSIONS))
    rows = [
        {"image": face(10 * number + turned), "label": number, "yaw": 40.0 * turned, "intensity": 0.5 + turned / 2}
        for number in range(len(EXPRESSIONS))
        for turned in (0, 1)
    ]
    kinds = {"image": datasets.Image(), "label": label, "yaw": datasets.Value("float32")}
    renders = datasets.Dataset.from_list(
        rows, features=datasets.Features(kinds | {"intensity": datasets.Value("float32")})
    )
    pictures = datasets.Dataset.from_list(
        [{"image": face(seed)} for seed in range(100, 105)], features=datasets.Features({"image": datasets.Image()})
    )
    made = {"rendered_faces": renders, "mine": pictures}
    monkeypatch.setattr(leed_hub.data, "load_corpus", lambda name, folder, split: made[name])
    return renders


@pytest.fixture
def editor() -> ExpressionEditor:
    torch.manual_seed(0)
    config = LEEDConfig(image_size=SIZE, widths=(8, 8, 8, 8), manifold_dim=16, expression_dim=4)
    return ExpressionEditor(LEEDModel(config), detector="none")


def measure(editor: ExpressionEditor, **options) -> dict:
    return Damage(
        corpus="mine", data_dir="nowhere", split="train", faces_dir="nowhere", **{"fuzzed": 40} | options
    ).run(editor)


def test_an_editor_that_hardly_moves_anything_breaks_nothing(corpora, editor):
    result = measure(editor)
    assert (result["n_pictures"], result["n_edits"]) == (5, 5 * len(EXPRESSIONS))
    assert result["broken_share"] == result["unedited_broken_share"] == result["weakened_share"] == 0
    assert result["fuzzed_broken_share"] == 0 and result["n_fuzzed"] == 40
    assert result["largest_flow"] <= editor.model.config.max_flow
    json.dumps(result, allow_nan=False)


def test_loud_paint_is_found_and_weakened(corpora, editor, monkeypatch):
    decode = editor.model.decode

    def painted(images, source, code, strength=1.0):
        edit = decode(images, source, code, strength)
        mask, color = edit.mask.clone(), edit.color.clone()
        mask[:, :, 12:24, 8:24] = 1.0
        color[:] = torch.tensor([-1.0, 1.0, -1.0])[:, None, None]
        return LEEDOutput(torch.lerp(images, color, mask), 0 * edit.flow, mask, color, edit.target_point)

    monkeypatch.setattr(editor.model, "decode", painted)
    assert measure(editor)["weakened_share"] == 1
    monkeypatch.setattr("leed_hub.pipelines.damage.MOST_GARISH", 1.0)  # a pipeline that lets everything pass
    careless = measure(editor)
    assert careless["weakened_share"] == 0 and careless["broken_share"] == 1
    assert careless["fuzzed_broken_share"] > 0.5


def test_references_are_the_strongest_frontal_ones_of_each_category(corpora):
    chosen = strongest_of_each_category(corpora)
    assert len(chosen) == len(EXPRESSIONS)
    assert all(np.array_equal(np.asarray(picture), np.asarray(face(10 * i))) for i, picture in enumerate(chosen))


def test_fuzzed_pictures_are_many_kinds_and_the_same_every_time():
    first, again = fuzzed_pictures(21), fuzzed_pictures(21)
    assert all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(first, again, strict=True))
    assert len({picture.tobytes() for picture in first}) == 21
    deviations = [np.asarray(picture).std() for picture in first]
    assert min(deviations) < 60 < max(deviations)


def test_the_card_tells_the_control(corpora, editor, tmp_path):
    editor.model.save_pretrained(tmp_path, card=CardFacts())
    record_in_card(editor.model, tmp_path, measure(editor))
    entries = {entry["name"]: entry for entry in CardFacts.read(tmp_path).metrics}
    assert "recompressed, 0.0000" in entries["broken_share"]["protocol"]
    assert entries["fuzzed_broken_share"]["value"] == 0
