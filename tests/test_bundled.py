"""The bundled weights make the edits and the numbers that README and card show."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import EXAMPLES, ROOT
from PIL import Image

from leed_hub import ExpressionEditor, ExpressionEncoderModel, LEEDModel
from leed_hub.errors import ModelLoadError
from leed_hub.evaluation import Editing
from leed_hub.evaluation.card import weights_name
from leed_hub.faces import yunet
from leed_hub.models.card import CardFacts
from leed_hub.models.checkpoint import BUNDLED

GOLDEN = Path(__file__).with_name(
    "golden_edit.png"
)  # written anew with the weights: benchmarks/contact_sheet.py golden


def test_an_edit_is_the_golden_one():
    result = ExpressionEditor.from_pretrained()(EXAMPLES / "source.png", EXAMPLES / "happiness.png")
    difference = np.abs(np.asarray(result.image, int) - np.asarray(Image.open(GOLDEN), int))
    assert difference.mean() < 0.5 and (difference > 8).mean() < 0.001  # other CPUs round otherwise


def card_value(name: str, dataset: str) -> float:
    """A measurement of the bundled editor's card."""
    (value,) = (
        entry["value"]
        for entry in CardFacts.read(BUNDLED / "editor").metrics
        if (entry["name"], entry["dataset"]) == (name, dataset)
    )
    return value


def measured_in_readme(row: str) -> float:
    """The first number of the row of README's table whose first column begins so."""
    line = next(line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith(f"| {row}"))
    return float(re.search(r"\d\.\d+", line.split("|")[2]).group())


@pytest.mark.parametrize(
    ("row", "name", "corpus"),
    [
        ("edit: error left on 300 photograph triplets", "error_ratio", "Rendered people"),
        ("the same on 300 posed heads", "error_ratio", "Rendered faces"),
    ],
)
def test_readme_says_what_the_card_says(row, name, corpus):
    assert measured_in_readme(row) == round(card_value(name, corpus), 3)


@pytest.mark.parametrize("name", ["editor", "recognizer"])
def test_all_that_a_card_says_was_measured_of_the_weights_beside_it(name):
    measured_of = {row.get("weights") for row in CardFacts.read(BUNDLED / name).metrics}
    assert measured_of == {weights_name(BUNDLED / name)}


@pytest.mark.slow
def test_the_first_hundred_triplets_give_the_cards_error_ratio(shared):
    folder = shared / "corpora" / "rendered_people" / "photographs_pairs_validation"
    numbers = Editing(data=folder, limit=100, similarity=False).run(ExpressionEditor.from_pretrained(detector="none"))
    assert numbers["error_ratio"] == pytest.approx(card_value("error_ratio", "Rendered people"), abs=0.03)
    assert numbers["wrong_over_right_reference"] > 1.4


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_changed_bit_of_what_comes_with_the_package_is_refused(tmp_path, monkeypatch, name):
    # After new weights, in leed_hub/checkpoints: sha256sum */config.json */model.safetensors > SHA256SUMS
    shutil.copytree(BUNDLED, tmp_path / "checkpoints")
    monkeypatch.setattr("leed_hub.models.checkpoint.BUNDLED", tmp_path / "checkpoints")
    for model_class, folder in ((LEEDModel, "editor"), (ExpressionEncoderModel, "recognizer")):
        path = tmp_path / "checkpoints" / folder / name
        model_class.from_pretrained(path.parent)
        content = bytearray(path.read_bytes())
        content[-8] ^= 1
        path.write_bytes(content)
        with pytest.raises(ModelLoadError, match=f"{name} is not the file that .*SHA256SUMS tells of"):
            model_class.from_pretrained(path.parent)


def test_a_changed_bit_of_the_detector_is_refused(tmp_path, monkeypatch):
    shutil.copytree(yunet.MODEL.parent, tmp_path / "weights")
    copy = tmp_path / "weights" / yunet.MODEL.name
    monkeypatch.setattr(yunet, "MODEL", copy)
    yunet.YuNetDetector(copy)
    copy.write_bytes(copy.read_bytes()[:-1] + b"\0")
    with pytest.raises(ModelLoadError, match="is not the file that .*SHA256SUMS tells of"):
        yunet.YuNetDetector(copy)
