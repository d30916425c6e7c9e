"""Whether photographs and renders share one code, measured on stand-ins whose answer is known."""

import json
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from probes import nearest_mean

import leed_hub.data
from leed_hub.errors import CorpusError
from leed_hub.evaluation import Domains, record_in_card
from leed_hub.models.card import CardFacts
from leed_hub.models.labels import EXPRESSIONS
from leed_hub.models.leed import LEEDConfig, LEEDModel

SIDE = 16
LABEL = datasets.ClassLabel(names=list(EXPRESSIONS))
RENDER, PHOTOGRAPH = 200, 40


def picture(red: int, green: int, blue: int) -> Image.Image:
    """Red tells the person, green the expression, blue the domain; with a little noise."""
    noise = np.random.default_rng(red * 65536 + green * 256 + blue).integers(-3, 4, (SIDE, SIDE, 3))
    return Image.fromarray(np.clip(np.array([red, green, blue]) + noise, 0, 255).astype(np.uint8))


def dataset(rows: list[dict], **features) -> datasets.Dataset:
    kinds = {str: datasets.Value("string"), int: datasets.Value("int32"), float: datasets.Value("float32")}
    kinds |= {list: datasets.List(datasets.Value("string"))}
    known = {name: features.get(name) or kinds.get(type(value)) or datasets.Image() for name, value in rows[0].items()}
    return datasets.Dataset.from_list(rows, features=datasets.Features(known))


@pytest.fixture(autouse=True)
def quick_probes(monkeypatch):
    monkeypatch.setattr("leed_hub.metrics.disentanglement.probe_leakage", nearest_mean)


@pytest.fixture
def corpora(monkeypatch):
    """Eight persons in four expressions, in both domains; twelve expressions of 20 persons to look up."""
    roles = ("source", "reference", "target")
    pairs, renders = [], []
    for person in range(8):
        for label in range(4):
            row = {}
            for role in roles:
                row[role] = picture(20 * person, 60 * label, PHOTOGRAPH)
                row |= {f"{role}_label": label, f"{role}_subject": f"{person:03d}"}
            pairs.append(row)
            for yaw in (-20.0, 0.0, 20.0, 60.0):
                renders.append(
                    {
                        "image": picture(20 * person, 60 * label, RENDER),
                        "label": label,
                        "subject": f"{person:03d}",
                        "yaw": yaw,
                    }
                )
    faces = {"posed": [], "photographs": []}
    for expression in range(-1, 12):
        for split, domain, person in (
            ("posed", RENDER, 10),
            ("photographs", PHOTOGRAPH, 11),
            ("photographs", PHOTOGRAPH, 10),
        ):
            faces[split].append(
                {
                    "image": picture(20 * person % 256, 20 * (expression + 1), domain),
                    "subject": f"{person:03d}",
                    "persons": [f"{person:03d}"],
                    "expression_id": expression,
                }
            )
    made = {
        ("rendered_people", "validation"): dataset(pairs, **{f"{role}_label": LABEL for role in roles}),
        ("rendered_faces", "validation"): dataset(renders, label=LABEL),
        ("rendered_people", "posed"): dataset(faces["posed"]),
        ("rendered_people", "photographs"): dataset(faces["photographs"]),
    }
    monkeypatch.setattr(leed_hub.data, "load_corpus", lambda name, folder, split, config=None: made[name, split])


class Reader:
    """An editor whose e is a function of green (the expression) and blue (the domain); z_n tells red and blue."""

    device = torch.device("cpu")

    def __init__(self, code):
        self.model = SimpleNamespace(config=SimpleNamespace(image_size=SIDE), encode=self.encode)
        self.code = code

    def encode(self, crops: torch.Tensor) -> SimpleNamespace:
        red, green, blue = ((crops.mean(dim=(2, 3)) + 1) / 2).T
        return SimpleNamespace(expression_code=self.code(green, blue), neutral_point=torch.stack([red, blue], dim=1))


def one_code(green, blue):
    return torch.stack([torch.cos(1.5 * green), torch.sin(1.5 * green)], dim=1)


def two_codes(green, blue):
    """Photographs are read into another quarter of the plane."""
    turn = 1.5 * green + 3 * blue
    return torch.stack([torch.cos(turn), torch.sin(turn)], dim=1)


def test_one_code_tells_no_domain_and_finds_photographs_among_renders(corpora):
    result = Domains(people_dir="people", data_dir="faces").run(Reader(one_code))
    assert result["domain_from_expression_code"] < 0.65
    assert result["domain_from_neutral_point"] > 0.95  # the probe finds a domain where there is one
    assert result["retrieval_across"] == 1.0 and result["n_looked_up"] == 12
    assert result["retrieval_across_chance"] == pytest.approx(1 / 12)
    assert result["n_photographs"] == result["n_renders"] == 96
    json.dumps(result, allow_nan=False)


def test_two_codes_are_found_out(corpora):
    result = Domains(people_dir="people", data_dir="faces").run(Reader(two_codes))
    assert result["domain_from_expression_code"] > 0.95
    assert result["domain_from_expression_code_shuffled"] < 0.65
    assert result["retrieval_across"] < 0.3


def test_only_the_persons_asked_for_are_looked_up_and_nobody_among_his_own_renders(corpora):
    assert Domains(people_dir="people", data_dir="faces", person=["011"]).run(Reader(one_code))["n_looked_up"] == 12
    with pytest.raises(CorpusError, match="no photograph to look up of 010"):
        Domains(people_dir="people", data_dir="faces", person=["010"]).run(Reader(one_code))
    assert Domains(people_dir="people", data_dir="faces", limit=5).run(Reader(one_code))["n_candidates"] == 5


def test_the_card_says_what_chance_is(corpora, tmp_path):
    model = LEEDModel(LEEDConfig(image_size=32, widths=(8, 8, 8, 8), manifold_dim=8, expression_dim=4))
    model.save_pretrained(tmp_path, card=CardFacts())
    record_in_card(model, tmp_path, Domains(people_dir="people", data_dir="faces").run(Reader(one_code)))
    names = {entry["name"]: entry["protocol"] for entry in CardFacts.read(tmp_path).metrics}
    assert "dealt at random" in names["domain_from_expression_code"] and "chance 0.083" in names["retrieval_across"]
