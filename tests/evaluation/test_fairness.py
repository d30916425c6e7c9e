"""Groups of people, on a made-up set and on the real table of persons."""

import json
from types import SimpleNamespace

import pytest
from recognizer_stub import LABELS, Call, small

import leed_hub.data
from leed_hub.errors import ConfigError
from leed_hub.evaluation import Fairness, record_in_card
from leed_hub.evaluation.fairness import age_band
from leed_hub.models.card import CardFacts
from leed_hub.models.expression_encoder import ExpressionEncoderModel


def read_level(picture):
    """Reads the class off the red level; no face where green is bright."""
    red, green, _ = picture.getpixel((0, 0))
    return [] if green > 128 else [Call(LABELS[round(red / 100)])]


class LevelRecognizer:
    labels = LABELS

    def __call__(self, picture):
        return read_level(picture)


def test_fairness_counts_each_group(london):
    result = Fairness(data_dir=london, least_persons=2).run(LevelRecognizer())
    assert (result["n"], result["n_persons"], result["n_persons_unseen"], result["n_not_found"]) == (14, 7, 1, 1)
    assert result["neutral_as_neutral"] == pytest.approx(6 / 7) and result["neutral_as_neutral_unseen"] == 1.0
    assert result["smiles_as_happiness"] == pytest.approx(5 / 7)
    counts = {
        f"{grouping} {group}": [
            (numbers[share]["n_correct"], numbers[share]["n"])
            for share in ("neutral_as_neutral", "smiles_as_happiness")
        ]
        for grouping, groups in result["groups"].items()
        for group, numbers in groups.items()
    }
    assert counts == {
        "gender male": [(4, 4), (3, 4)],
        "gender female": [(2, 3), (2, 3)],
        "age 18-24": [(2, 2), (1, 2)],
        "age 25-34": [(2, 3), (3, 3)],
        "ethnicity white": [(5, 5), (4, 5)],
    }
    assert result["n_persons_left_out"] == {"gender": 0, "age": 2, "ethnicity": 2}
    assert result["calls"]["smiles_as_happiness"] == {"happiness": 5, "neutral": 1, "no face": 1}
    low, high = result["groups"]["gender"]["male"]["smiles_as_happiness"]["interval"]
    assert low < 0.75 < high and high - low > 0.5  # four photographs say little
    json.dumps(result, allow_nan=False)


def test_the_fairness_table_goes_into_the_card(london, saved):
    result = Fairness(data_dir=london, least_persons=2).run(LevelRecognizer())
    assert "| gender: male | 4 | 1.00 (0.51 to 1.00, n = 4) | 0.75 (0.30 to 0.95, n = 4) |" in result["table"]
    model = ExpressionEncoderModel.from_pretrained(saved)
    for _ in range(2):
        record_in_card(model, saved, result)
    text = (saved / "README.md").read_text()
    visible = text[: text.index("<!-- card facts")]
    assert visible.count("### Groups of people") == 1 and visible.count("| gender: male | 4 |") == 1
    assert "fewer than 2" in visible
    names = [(entry["split"], entry["name"]) for entry in CardFacts.read(saved).metrics]
    assert len(names) == len(set(names)) == 4 and ("validation", "smiles_as_happiness_unseen") in names


def test_fairness_needs_neutral_and_happiness(london):
    with pytest.raises(ConfigError, match="happiness"):
        Fairness(data_dir=london).run(SimpleNamespace(labels=("neutral", "fear")))


@pytest.mark.parametrize(
    ("age", "band"), [(17, None), (18, "18-24"), (24, "18-24"), (25, "25-34"), (35, "35+"), (80, "35+"), (None, None)]
)
def test_age_bands_meet_without_a_gap(age, band):
    assert age_band(age) == band


def test_the_london_set_has_groups_to_compare(shared, monkeypatch):
    """The real table of persons, in front of a recogniser that calls everything happy."""
    monkeypatch.setattr(
        leed_hub.data, "load_corpus", lambda *arguments, load=leed_hub.data.load_corpus: small(load(*arguments))
    )
    recognizer = type("Happy", (), {"labels": LABELS, "__call__": lambda self, picture: [Call("happiness")]})()
    result = Fairness(data_dir=shared / "corpora" / "london").run(recognizer)
    sizes = {
        grouping: {name: group["n_persons"] for name, group in groups.items()}
        for grouping, groups in result["groups"].items()
    }
    assert sizes == {
        "gender": {"female": 40, "male": 40},
        "age": {"18-24": 35, "25-34": 30, "35+": 14},
        "ethnicity": {"white": 53, "black": 10, "east_asian": 8, "west_asian": 8},
    }
    assert result["smiles_as_happiness"] == 1.0 and result["neutral_as_neutral"] == 0.0
