"""Smiles on photographs, on stand-ins whose answer is known."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from rendered_stub import corpus_of

import leed_hub.data
from leed_hub import ExpressionEditor, ExpressionRecognizer
from leed_hub.errors import ConfigError, CorpusError
from leed_hub.evaluation import Photographs, record_in_card
from leed_hub.evaluation.photographs import choose_references
from leed_hub.models.card import CardFacts
from leed_hub.models.leed import LEEDConfig, LEEDModel

POINTS = np.array([[24, 26], [40, 26], [32, 34], [26, 44], [38, 44]], dtype=np.float32)


def portrait(person, is_happy):
    """A pattern of the person's own; the corner pixel is bright when happy, which only the stub recogniser looks at."""
    pattern = np.random.default_rng(int(person)).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    picture = np.array(Image.fromarray(pattern).resize((64, 64)))
    picture[0, 0] = 255 * is_happy
    return Image.fromarray(picture)


@pytest.fixture
def london(monkeypatch):
    def load(name, data_dir, split):
        persons = {"train": ("001", "002", "003", "004"), "validation": ("005", "016", "027")}[split]
        rows = [(person, label) for label in (0, 1) for person in persons] + [("099", 0)]  # 099 never smiles
        columns = {
            "image": [portrait(person, label == 1) for person, label in rows],
            "label": [label for _, label in rows],
            "subject": [person for person, _ in rows],
        }
        return corpus_of(columns)

    monkeypatch.setattr(leed_hub.data, "load_corpus", load)


def read_corner(picture):
    probability = picture.getpixel((0, 0))[0] / 255
    label = "happiness" if probability > 0.5 else "neutral"
    return [SimpleNamespace(label=label, scores={"happiness": probability})]


def corner_editor(source, reference, strength):
    """Gives the corner of the reference, or of a neutral face, and leaves the rest of the source."""
    picture = source.copy()
    picture.putpixel((0, 0), reference.getpixel((0, 0)) if reference else (0, 0, 0))
    return SimpleNamespace(image=picture, faces=(SimpleNamespace(points=POINTS),))


def test_an_editor_that_does_it_all_is_given_all_of_it(london):
    result = Photographs(data_dir="nowhere").run(corner_editor, read_corner)
    assert (result["n"], result["n_unseen"]) == (7, 3)
    for suffix in ("", "_unseen"):
        assert result[f"sources_happy{suffix}"] == 0.0 and result[f"smiles_happy{suffix}"] == 1.0
        assert result[f"edits_happy{suffix}"] == result[f"happy_ratio{suffix}"] == 1.0
        assert result[f"neutral_edits_happy{suffix}"] == result[f"neutral_edits_by_reference_happy{suffix}"] == 0.0
        assert result[f"identity_kept{suffix}"] == 1.0 and result[f"unchanged_error{suffix}"] == 0.0
    assert result["persons_unseen"]["edits_happy_interval"] == pytest.approx([0.4385, 1.0], abs=1e-3)  # Wilson, 3 of 3
    assert result["identity_chance"] == 1 / 7
    json.dumps(result, allow_nan=False)


def test_an_editor_that_returns_the_reference_keeps_nobodys_face(london):
    def editor(source, reference, strength):
        return SimpleNamespace(image=reference or source, faces=(SimpleNamespace(points=POINTS),))

    result = Photographs(data_dir="nowhere").run(editor, read_corner)
    assert result["happy_ratio"] == 1.0
    assert result["identity_kept"] == 0.0 and result["identity_of_reference"] == 1.0
    assert result["identity_kept_unedited"] == 1.0
    assert result["neutral_edits_happy"] == 1.0 and result["unchanged_error"] > 10


def test_an_editor_that_does_nothing_makes_nobody_happy_and_lost_faces_count_against_it(london):
    def editor(source, reference, strength):
        return SimpleNamespace(image=source, faces=(SimpleNamespace(points=POINTS),))

    result = Photographs(data_dir="nowhere").run(editor, read_corner)
    assert result["happy_ratio"] == result["edits_happy"] == 0.0 and result["neutral_edits_happy"] == 1.0
    blind = Photographs(data_dir="nowhere").run(corner_editor, lambda picture: [])
    assert blind["edits_happy"] == 0.0 and blind["happy_ratio"] is None


def test_references_are_never_the_person_and_unseen_persons_lend_among_themselves():
    persons = [SimpleNamespace(name=str(number), is_unseen=number % 3 == 0) for number in range(20)]
    references = choose_references(persons)
    for person, reference in zip(persons, references, strict=True):
        assert person is not reference and person.is_unseen == reference.is_unseen
    assert len({reference.name for reference in references}) == 20
    with pytest.raises(CorpusError, match="two persons"):
        choose_references(persons[:2])


def test_photographs_need_an_editor_that_finds_faces(london):
    def editor(source, reference, strength):
        return SimpleNamespace(image=source, faces=())

    with pytest.raises(ConfigError, match="detector"):
        Photographs(data_dir="nowhere").run(editor, read_corner)


def test_the_card_tells_unseen_persons_from_all(london, tmp_path):
    model = LEEDModel(LEEDConfig(image_size=32, widths=(8, 8, 8, 8), manifold_dim=8, expression_dim=4))
    model.save_pretrained(tmp_path, card=CardFacts())
    record_in_card(model, tmp_path, Photographs(data_dir="nowhere").run(corner_editor, read_corner))
    entries = {entry["name"]: entry for entry in CardFacts.read(tmp_path).metrics}
    assert (
        entries["happy_ratio_unseen"]["split"] == "validation"
        and "3 persons" in entries["happy_ratio_unseen"]["protocol"]
    )
    assert entries["happy_ratio"]["split"] == "train+validation" and "7 persons" in entries["happy_ratio"]["protocol"]


def test_smiles_on_real_photographs(shared, tmp_path):
    for person in ("005", "016", "103", "001", "002"):
        for folder in ("neutral_front", "smiling_front"):
            (tmp_path / folder).mkdir(exist_ok=True)
            for path in (shared / "corpora" / "london" / folder).glob(f"{person}_*.jpg"):
                (tmp_path / folder / path.name).write_bytes(path.read_bytes())
    editor = ExpressionEditor.from_pretrained(detector="yunet")
    recognizer = ExpressionRecognizer.from_pretrained(detector="yunet")
    result = Photographs(data_dir=tmp_path).run(editor, recognizer)
    assert (result["n"], result["n_unseen"]) == (5, 3)
    assert result["smiles_happy_probability"] > result["sources_happy_probability"] + 0.3
    assert result["edits_happy_probability"] > result["sources_happy_probability"] + 0.1
    # Of 80 persons no edit is nearest to its reference; of five, one may be by chance.
    assert result["identity_kept"] >= 0.6 and result["identity_of_reference"] <= result["identity_chance"]
