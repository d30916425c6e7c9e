"""How a recogniser sees a corpus: views, detectors, classes that are lacking."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageOps
from recognizer_stub import SIDE, HalvesReader, corpus_of, halves, recognise
from typer.testing import CliRunner

from leed_hub.cli import app
from leed_hub.errors import ConfigError, CorpusError
from leed_hub.evaluation import Calibration, Recognition, Robustness, corpus_reader, record_in_card
from leed_hub.faces.face import Face
from leed_hub.models.card import CardFacts
from leed_hub.models.expression_encoder import ExpressionEncoderModel


def test_a_call_of_a_class_the_split_never_shows_is_wrong_and_counted(load_corpus):
    load_corpus["test"] = corpus_of([0, 0, 0, 1], lambda label: halves(label).point(lambda level: level * label))
    result = recognise(HalvesReader())  # all neutral pictures are black
    assert result["classes_lacking"] == ["contempt"] and result["calls_of_lacking_classes"] == 0.75
    assert result["accuracy"] == 0.25 and result["n"] == 4
    assert result["confusion"][0] == [0, 0, 3]


def test_what_the_limit_leaves_out_is_not_lacking(load_corpus):
    result = recognise(HalvesReader(), limit=1)
    assert result["n"] == 1 and result["classes_lacking"] == ["contempt"]
    assert result["calls_of_lacking_classes"] == 0.0 and result["accuracy"] == 1.0


def test_mirrored_is_the_mean_of_the_logits_of_crop_and_mirror_image(load_corpus):
    one, two = (recognise(HalvesReader(), mirrored=mirrored) for mirrored in (False, True))
    assert (one["views"], two["views"]) == (1, 2)
    assert one["accuracy"] == 1.0
    assert two["confusion"][1] == [2, 0, 0]  # left and right weigh the same now, and the first of two equals is called
    reader = HalvesReader()
    crops = [halves(0), halves(1)]
    read = corpus_reader.CorpusReader(reader, mirrored=True).predict(crops)
    plain, mirror = (
        reader.encode_crops(some).logits.float() for some in (crops, [ImageOps.mirror(crop) for crop in crops])
    )
    assert torch.equal(read["logits"], (plain + mirror) / 2)
    assert torch.equal(read["expression_code"], plain)  # codes are the crop's own


POINTS = np.array([[40, 40], [60, 40], [50, 50], [42, 58], [58, 58]], dtype=np.float32)


def detect(photo):
    """Two faces, the larger first, in pictures that are no crops."""
    if photo.shape[0] == SIDE:
        return []
    return [Face((35, 30, 65, 65), 0.9, POINTS), Face((0, 0, 9, 9), 0.9, POINTS / 10)]


detect.name = "made-up"


def test_a_detector_cuts_the_largest_face_and_counts_where_there_is_none(load_corpus, monkeypatch):
    photo = Image.new("RGB", (100, 100))
    for x, y in POINTS[[0, 1, 3, 4]]:
        ImageDraw.Draw(photo).ellipse((x - 3, y - 3, x + 3, y + 3), fill="white")
    load_corpus["test"] = corpus_of([0, 1, 1], lambda label: halves(0) if label == 0 else photo)
    monkeypatch.setattr(corpus_reader, "build_detector", {"yunet": detect, "none": None}.get)
    recognizer = HalvesReader()
    result = recognise(recognizer, detector="yunet")
    assert (result["detector"], result["n_not_found"], result["n"]) == ("made-up", 1, 3)
    whole, cut, _ = recognizer.seen
    assert np.array_equal(np.asarray(whole), np.asarray(halves(0)))  # taken whole
    assert cut.size == (SIDE, SIDE)
    template = np.array(recognizer.model.config.template).reshape(4, 2) * SIDE
    pixels = np.asarray(cut)[..., 0]
    assert all(pixels[int(y), int(x)] > 200 for x, y in template)  # eyes and mouth corners lie on the template
    assert pixels[SIDE // 2, SIDE // 2] < 50

    plain = recognise(HalvesReader())
    assert (plain["detector"], plain["n_not_found"], plain["views"]) == ("none", None, 1)


def test_an_unknown_detector_is_refused(load_corpus):
    with pytest.raises(ConfigError, match="detector"):
        recognise(HalvesReader(), detector="dowser")


def test_the_card_says_how_recognition_was_read(load_corpus, saved):
    model = ExpressionEncoderModel.from_pretrained(saved)
    record_in_card(model, saved, recognise(HalvesReader(), mirrored=True))
    entries = {entry["name"]: entry for entry in CardFacts.read(saved).metrics}
    assert "accuracy" not in entries and "mirror image" in entries["accuracy, mirrored"]["protocol"]
    assert "(contempt)" in entries["calls_of_lacking_classes, mirrored"]["protocol"]
    record_in_card(model, saved, recognise(HalvesReader()))
    entries = {entry["name"]: entry for entry in CardFacts.read(saved).metrics}
    assert "one view each" in entries["accuracy"]["protocol"]
    assert (entries["accuracy"]["value"], entries["accuracy, mirrored"]["value"]) == (1.0, 0.6)


@pytest.mark.parametrize("evaluation", [Recognition, Calibration, Robustness])
def test_a_split_without_a_class_of_the_recogniser_is_refused(evaluation, load_corpus):
    load_corpus["test"] = corpus_of([4, 4], lambda label: halves(0))
    with pytest.raises(CorpusError, match="neutral, happiness, contempt"):
        evaluation(corpus="made_up", data_dir="nowhere", split="test").run(HalvesReader())


@pytest.mark.parametrize("command", ["recognition", "calibration", "robustness", "fairness", "non-faces"])
def test_a_corpus_that_is_not_there_is_one_sentence_and_exit_code_2(command, saved):
    corpus = [] if command == "fairness" else ["--corpus", "fer2013", "--split", "test_private"]
    json_file = str(saved.parent / "n.json")
    options = [*corpus, "--data-dir", "nowhere", "--json", json_file, "--model", str(saved), "--detector", "none"]
    done = CliRunner().invoke(app, ["evaluate", command, *options])
    assert done.exit_code == 2 and "nowhere" in done.stderr and "Traceback" not in done.output
    assert not (saved.parent / "n.json").exists()
