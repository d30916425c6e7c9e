"""Temperatures, on stand-ins whose answer is known."""

import json
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from recognizer_stub import corpus_of, halves, recognise
from typer.testing import CliRunner

from leed_hub import ExpressionRecognizer
from leed_hub.cli import app
from leed_hub.errors import ModelLoadError
from leed_hub.evaluation import Calibration, save_temperature
from leed_hub.models.card import CardFacts


def overconfident(factor):
    """A recogniser whose calls are right as often as softmax(logits / factor) says."""
    generator = torch.Generator().manual_seed(0)
    true_logits = 2 * torch.randn(1500, 3, generator=generator)
    labels = torch.multinomial(true_logits.softmax(dim=1), 1, generator=generator)[:, 0]

    class Recognizer:
        labels = ("neutral", "happiness", "sadness")

        def encode_crops(self, crops):
            numbers = [int.from_bytes(bytes(crop.getpixel((0, 0))), "big") for crop in crops]
            return SimpleNamespace(logits=factor * true_logits[numbers])

    numbers = iter(range(len(labels)))
    corpus = corpus_of(labels.tolist(), lambda label: Image.new("RGB", (8, 8), tuple(next(numbers).to_bytes(3, "big"))))
    return Recognizer(), corpus


def test_calibration_finds_the_temperature_and_lowers_both_errors(load_corpus):
    recognizer, load_corpus["test"] = overconfident(factor=4.0)
    result = Calibration(corpus="made_up", data_dir="nowhere", split="test").run(recognizer)
    assert result["temperature_factor"] == pytest.approx(4.0, rel=0.1)
    assert result["expected_calibration_error_after"] < 0.05 < result["expected_calibration_error_before"]
    assert result["negative_log_likelihood_after"] < result["negative_log_likelihood_before"]
    plain = recognise(recognizer)
    for name in ("accuracy", "expected_calibration_error"):
        assert plain[name] == pytest.approx(result[name if name == "accuracy" else f"{name}_before"])
    json.dumps(result, allow_nan=False)


def test_a_saved_temperature_multiplies_the_old_one_and_divides_the_logits(saved):
    before = ExpressionRecognizer.from_pretrained(saved, detector="none")
    assert save_temperature(saved, 1.5) == 3.0
    after = ExpressionRecognizer.from_pretrained(saved, detector="none")
    assert after.model.config.temperature == 3.0
    logits, cooler = (recognizer.encode_crops([halves(0)]).logits for recognizer in (before, after))
    assert torch.allclose(cooler, logits / 1.5)
    assert {path.name for path in saved.iterdir()} == {"config.json", "model.safetensors", "README.md"}


def test_a_temperature_goes_into_no_other_folder(tmp_path):
    for folder, sentence in ((tmp_path / "none", "none"), (tmp_path, "model.safetensors")):
        with pytest.raises(ModelLoadError, match=sentence):
            save_temperature(folder, 2.0)


def test_the_command_saves_the_temperature_and_fills_the_card(load_corpus, saved):
    def run(*options):
        common = ["--corpus", "made_up", "--data-dir", ".", "--split", "test", "--json", str(saved.parent / "n.json")]
        return CliRunner().invoke(app, ["evaluate", *options[:1], *common, *options[1:]])

    done = run("calibration", "--model", str(saved), "--save", "--card", "--mirrored")
    assert done.exit_code == 0, done.output
    numbers = json.loads((saved.parent / "n.json").read_text())
    assert numbers["saved_temperature"] == pytest.approx(2.0 * numbers["temperature_factor"])
    assert json.loads((saved / "config.json").read_text())["temperature"] == numbers["saved_temperature"]
    assert run("calibration", "--model", str(saved), "--mirrored").exit_code == 0
    again = json.loads((saved.parent / "n.json").read_text())
    assert again["views"] == 2 and "saved_temperature" not in again

    assert run("robustness", "--model", str(saved), "--card").exit_code == 0
    names = {entry["name"]: entry["protocol"] for entry in CardFacts.read(saved).metrics}
    assert "mirror image" in names["expected_calibration_error_after, mirrored"] and "one view" in names["drop_blur"]

    refused = run("calibration", "--save")
    assert refused.exit_code == 2 and "--model" in refused.stderr
