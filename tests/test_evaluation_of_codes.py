"""What is measured of an editor's codes, strength and photographs: on stand-ins whose answer is known."""

import json
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import torch
from conftest import YUNET, missing
from PIL import Image
from probes import nearest_mean
from torch.nn import functional as F

import leed_hub.data
from leed_hub import ExpressionEditor, ExpressionRecognizer
from leed_hub.errors import ConfigError, CorpusError
from leed_hub.evaluation import (
    evaluate_disentanglement,
    evaluate_photographs,
    evaluate_strength,
    record_in_card,
    write_json,
)
from leed_hub.evaluation.photographs import choose_references
from leed_hub.labels import EXPRESSIONS
from leed_hub.models.card import CardFacts
from leed_hub.models.leed import LEEDConfig, LEEDModel

SIDE = 16
LABELLED = {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(EXPRESSIONS))}


def corpus_of(columns):
    features = LABELLED | {"subject": datasets.Value("string")}
    kinds = {
        str: datasets.Value("string"),
        float: datasets.Value("float32"),
        int: datasets.Value("int64"),
        list: datasets.List(datasets.Value("float32")),
    }
    features |= {name: kinds[type(column[0])] for name, column in columns.items() if name not in features}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def rendered(n_persons, n_setups, first_person=0):
    """Setups of a neutral and three other pictures; red is 10 times the person, green 10 times the label (free: 80)."""
    names = ("image", "label", "subject", "setup", "file", "neutral_file", "yaw", "blendshapes")
    columns = {name: [] for name in names}
    for person in range(first_person, first_person + n_persons):
        for setup in range(n_setups):
            for label in (0, 1 + setup % 7, 1 + (setup + 3) % 7, -1):
                columns["image"].append(Image.new("RGB", (SIDE, SIDE), (10 * person, 10 * (label % 9), 0)))
                columns["label"].append(label)
                columns["subject"].append(f"{person:03d}")
                columns["setup"].append(f"{person}_{setup}")
                columns["file"].append(f"{person}_{setup}_{label}")
                columns["neutral_file"].append(f"{person}_{setup}_0")
                columns["yaw"].append(0.0)
                columns["blendshapes"].append([float(label == 3), float(label == 5)])
    return corpus_of(columns)


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
    return evaluate_disentanglement(editor, "nowhere")


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


class LevelEditor:
    """Blue is the expression: 0 at strength 0, and on from there by the code, through `curve`."""

    device = "cpu"

    def __init__(self, curve=lambda amount: amount):
        self.curve = curve
        self.model = SimpleNamespace(config=SimpleNamespace(image_size=SIDE), encode=self.encode, decode=self.decode)

    def __call__(self, source, reference, strength, *, aligner):
        assert (reference, strength, aligner) == (None, 0.0, "none")
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
    result = evaluate_strength(LevelEditor(), "nowhere", batch_size=5)
    assert result["error_ratio_strength_zero"] == 0.0 and result["error_ratio_strength_zero_interval"] == [0.0, 0.0]
    assert result["n_expressive"] == 18
    assert result["n"] == 12 and result["change_grows"] and result["growing_share"] == 1.0
    assert result["change"][0] == 0.0 and result["change"][6] == pytest.approx(6 * result["change"][1])
    assert result["mixing_largest_step"] == pytest.approx(1.0, abs=1e-3)
    assert result["mixing_monotonic_share"] == 1.0 and result["n_mixed"] == 12
    json.dumps(result, allow_nan=False)


def test_an_editor_that_saturates_or_jumps_is_found_out(triplets):
    saturating = evaluate_strength(LevelEditor(lambda amount: amount.clamp_max(0.05)), "nowhere", batch_size=5)
    assert not saturating["change_grows"] and saturating["growing_share"] < 1
    jumping = evaluate_strength(LevelEditor(lambda amount: (amount > 0.35).float()), "nowhere")
    assert 0 < jumping["n_mixed"] < 12  # where both ends lie on one side of the jump, nothing is mixed
    assert jumping["mixing_largest_step"] == pytest.approx(10) and jumping["mixing_monotonic_share"] == 0.0


def test_an_editor_that_does_nothing_leaves_the_whole_error(triplets):
    editor = LevelEditor(lambda amount: 0 * amount)
    editor_of_nothing = SimpleNamespace(device="cpu", model=editor.model)

    class Nothing:
        device, model = editor_of_nothing.device, editor_of_nothing.model

        def __call__(self, source, reference, strength, *, aligner):
            return SimpleNamespace(image=source)

    result = evaluate_strength(Nothing(), "nowhere", limit=6)
    assert result["error_ratio_strength_zero"] == 1.0
    assert result["n_mixed"] == 0 and result["mixing_largest_step"] is None and result["growing_share"] == 0.0


def test_a_missing_neutral_render_is_named(triplets):
    triplets[None] = triplets[None].select(range(1, 24))
    with pytest.raises(CorpusError, match="0_0_0"):
        evaluate_strength(LevelEditor(), "nowhere")


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
    result = evaluate_photographs(corner_editor, read_corner, "nowhere")
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

    result = evaluate_photographs(editor, read_corner, "nowhere")
    assert result["happy_ratio"] == 1.0
    assert result["identity_kept"] == 0.0 and result["identity_of_reference"] == 1.0
    assert result["identity_kept_unedited"] == 1.0
    assert result["neutral_edits_happy"] == 1.0 and result["unchanged_error"] > 10


def test_an_editor_that_does_nothing_makes_nobody_happy_and_lost_faces_count_against_it(london):
    def editor(source, reference, strength):
        return SimpleNamespace(image=source, faces=(SimpleNamespace(points=POINTS),))

    result = evaluate_photographs(editor, read_corner, "nowhere")
    assert result["happy_ratio"] == result["edits_happy"] == 0.0 and result["neutral_edits_happy"] == 1.0
    blind = evaluate_photographs(corner_editor, lambda picture: [], "nowhere")
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

    with pytest.raises(ConfigError, match="aligner"):
        evaluate_photographs(editor, read_corner, "nowhere")


def test_the_card_keeps_the_main_numbers_of_each_result_once(triplets, tmp_path):
    strength = evaluate_strength(LevelEditor(), "nowhere")
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


def test_the_card_tells_unseen_persons_from_all(london, tmp_path):
    model = LEEDModel(LEEDConfig(image_size=32, widths=(8, 8, 8, 8), manifold_dim=8, expression_dim=4))
    model.save_pretrained(tmp_path, card=CardFacts())
    record_in_card(model, tmp_path, evaluate_photographs(corner_editor, read_corner, "nowhere"))
    entries = {entry["name"]: entry for entry in CardFacts.read(tmp_path).metrics}
    assert (
        entries["happy_ratio_unseen"]["split"] == "validation"
        and "3 persons" in entries["happy_ratio_unseen"]["protocol"]
    )
    assert entries["happy_ratio"]["split"] == "train+validation" and "7 persons" in entries["happy_ratio"]["protocol"]


def test_codes_and_strength_of_the_bundled_editor_on_real_renders(shared, quick_probes, tmp_path):
    """Real pictures and weights; quicker probes, and the first triplets only."""
    editor = ExpressionEditor.from_pretrained(aligner="none")
    folder = shared / "corpora" / "rendered_faces"
    result = evaluate_disentanglement(editor, folder, probe_rows=100)
    assert 0.2 < result["blendshapes_from_expression_code"] < 1
    assert (result["n"], result["n_persons"], result["n_trained"]) == (601, 8, 100)
    assert result["retrieval"] > 2 * result["retrieval_chance"]
    assert result["person_from_neutral_point"] > 2 * result["person_chance"]
    write_json(result, tmp_path / "codes.json")

    result = evaluate_strength(editor, folder, limit=8)
    assert result["n"] == result["n_expressive"] == 8
    assert result["error_ratio_strength_zero"] < 1 and result["change_grows"]
    assert 1 <= result["mixing_largest_step"] < 3
    write_json(result, tmp_path / "strength.json")


def test_smiles_on_real_photographs(shared, tmp_path):
    if not YUNET.is_file():
        missing("../shared/models/face_detection_yunet.onnx")
    for person in ("005", "016", "103", "001", "002"):
        for folder in ("neutral_front", "smiling_front"):
            (tmp_path / folder).mkdir(exist_ok=True)
            for path in (shared / "corpora" / "london" / folder).glob(f"{person}_*.jpg"):
                (tmp_path / folder / path.name).write_bytes(path.read_bytes())
    editor = ExpressionEditor.from_pretrained(aligner="yunet")
    recognizer = ExpressionRecognizer.from_pretrained(aligner="yunet")
    result = evaluate_photographs(editor, recognizer, tmp_path)
    assert (result["n"], result["n_unseen"]) == (5, 3)
    assert result["smiles_happy_probability"] > result["sources_happy_probability"] + 0.3
    assert result["edits_happy_probability"] > result["sources_happy_probability"] + 0.1
    assert result["identity_kept"] >= 0.6 and result["identity_of_reference"] == 0.0
