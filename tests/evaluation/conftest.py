"""Fixtures of several evaluations."""

import pytest
import torch
from PIL import Image
from recognizer_stub import LABELS, SIDE, corpus_of, halves

import leed_hub.data
from leed_hub.data.corpora.london import VALIDATION_PERSONS
from leed_hub.models.card import CardFacts
from leed_hub.models.expression_encoder import ExpressionEncoderConfig, ExpressionEncoderModel


@pytest.fixture
def load_corpus(monkeypatch):
    corpora = {"test": corpus_of([0, 0, 0, 1, 1], halves)}
    monkeypatch.setattr(leed_hub.data, "load_corpus", lambda name, data_dir, split: corpora[split])
    return corpora


@pytest.fixture
def saved(tmp_path):
    """A small recogniser's folder."""
    torch.manual_seed(0)
    config = ExpressionEncoderConfig(widths=(8, 8, 16, 16), code_dim=8, labels=LABELS, image_size=SIDE, temperature=2.0)
    ExpressionEncoderModel(config).eval().save_pretrained(tmp_path / "model", card=CardFacts(title="Small"))
    return tmp_path / "model"


@pytest.fixture
def london(tmp_path):
    """Eight persons, 001 to 007 and 005 of the validation split; a table of what they say of themselves."""
    persons = {
        "001": (20, "female", "white"),
        "002": (24, "female", "white"),
        "003": (30, "female", "east_asian"),
        "004": (34, "male", "white"),
        "005": (40, "male", "white"),
        "006": (25, "male", "white"),
        "007": ("NA", "male", "black"),
    }
    lines = [f"{name},{age},{gender},{ethnicity}" for name, (age, gender, ethnicity) in persons.items()]
    (tmp_path / "london_info.csv").write_text("\n".join(["face_id,face_age,face_gender,face_eth", *lines]))
    colours = {  # what else than (0, 0, 0) for neutral and (100, 0, 0) for smiling
        "neutral_front/003_03": (200, 0, 0),  # read as contempt
        "smiling_front/002_08": (0, 0, 0),  # read as neutral
        "smiling_front/007_08": (100, 255, 0),  # not found
    }
    for folder, shot, level in (("neutral_front", "03", 0), ("smiling_front", "08", 100)):
        (tmp_path / folder).mkdir()
        for name in persons:
            place = f"{folder}/{name}_{shot}"
            Image.new("RGB", (64, 64), colours.get(place, (level, 0, 0))).save(tmp_path / f"{place}.jpg", quality=100)
    assert set(persons) & set(VALIDATION_PERSONS) == {"005"}
    return tmp_path
