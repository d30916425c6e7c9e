"""What is measured of a recogniser beside its accuracy: on stand-ins whose answer is known."""

import json
from dataclasses import dataclass
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageOps
from torch.nn import functional as F
from typer.testing import CliRunner

import leed_hub.data
from leed_hub import ExpressionRecognizer
from leed_hub.cli import app
from leed_hub.data.london import VALIDATION_PERSONS
from leed_hub.errors import ConfigError, CorpusError, ModelLoadError
from leed_hub.evaluation import (
    corpus_reader,
    evaluate_calibration,
    evaluate_fairness,
    evaluate_non_faces,
    evaluate_recognition,
    evaluate_robustness,
    record_in_card,
    save_temperature,
)
from leed_hub.evaluation.corpus_reader import whole_crop
from leed_hub.evaluation.corruptions import CORRUPTIONS, blur, dark, half_size, jpeg, roll
from leed_hub.evaluation.fairness import age_band
from leed_hub.evaluation.non_faces import non_faces
from leed_hub.faces import Face
from leed_hub.labels import EXPRESSIONS
from leed_hub.models.card import CardFacts
from leed_hub.models.expression_encoder import ExpressionEncoderConfig, ExpressionEncoderModel

SIDE = 16
LABELS = ("neutral", "happiness", "contempt")


def corpus_of(labels, picture):
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(EXPRESSIONS))})
    return datasets.Dataset.from_dict({"image": [picture(label) for label in labels], "label": labels}, features)


def halves(label, size=SIDE):
    """Neutral: the left half is bright. Happiness: the right half is."""
    picture = Image.new("RGB", (size, size))
    left = size // 2 if label else 0
    picture.paste((200, 200, 200), (left, 0, left + size // 2, size))
    return picture


class HalvesReader:
    """Calls by which half is brighter, dark pictures contempt; keeps the pictures it is given."""

    labels, size = LABELS, SIDE
    model = SimpleNamespace(config=SimpleNamespace(template=(0.3, 0.4, 0.7, 0.4, 0.35, 0.75, 0.65, 0.75)))

    def __init__(self):
        self.seen = []

    def read_crops(self, crops):
        self.seen += crops
        sides = [np.array_split(np.asarray(crop.convert("L")), 2, axis=1) for crop in crops]
        logits = torch.tensor([[left.mean(), right.mean(), 60] for left, right in sides]) / 20
        return SimpleNamespace(logits=logits, expression_code=logits, non_expression_code=None)


@pytest.fixture
def load_corpus(monkeypatch):
    corpora = {"test": corpus_of([0, 0, 0, 1, 1], halves)}
    monkeypatch.setattr(leed_hub.data, "load_corpus", lambda name, data_dir, split: corpora[split])
    return corpora


def recognise(recognizer, **options):
    return evaluate_recognition(recognizer, "made_up", "nowhere", "test", probe_split=None, **options)


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
    read = corpus_reader.CorpusReader(reader, mirrored=True).read(crops)
    plain, mirror = (
        reader.read_crops(some).logits.float() for some in (crops, [ImageOps.mirror(crop) for crop in crops])
    )
    assert torch.equal(read["logits"], (plain + mirror) / 2)
    assert torch.equal(read["expression_code"], plain)  # codes are the crop's own


POINTS = np.array([[40, 40], [60, 40], [50, 50], [42, 58], [58, 58]], dtype=np.float32)


def locate(photo):
    """Two faces, the larger first, in pictures that are no crops."""
    if photo.shape[0] == SIDE:
        return []
    return [Face((35, 30, 65, 65), 0.9, POINTS), Face((0, 0, 9, 9), 0.9, POINTS / 10)]


locate.name = "made-up"


def test_an_aligner_cuts_the_largest_face_and_counts_where_there_is_none(load_corpus, monkeypatch):
    photo = Image.new("RGB", (100, 100))
    for x, y in POINTS[[0, 1, 3, 4]]:
        ImageDraw.Draw(photo).ellipse((x - 3, y - 3, x + 3, y + 3), fill="white")
    load_corpus["test"] = corpus_of([0, 1, 1], lambda label: halves(0) if label == 0 else photo)
    monkeypatch.setattr(corpus_reader, "build_locator", {"auto": locate, "none": None}.get)
    recognizer = HalvesReader()
    result = recognise(recognizer, aligner="auto")
    assert (result["aligner"], result["n_not_found"], result["n"]) == ("made-up", 1, 3)
    whole, cut, _ = recognizer.seen
    assert np.array_equal(np.asarray(whole), np.asarray(halves(0)))  # taken whole
    assert cut.size == (SIDE, SIDE)
    template = np.array(recognizer.model.config.template).reshape(4, 2) * SIDE
    pixels = np.asarray(cut)[..., 0]
    assert all(pixels[int(y), int(x)] > 200 for x, y in template)  # eyes and mouth corners lie on the template
    assert pixels[SIDE // 2, SIDE // 2] < 50

    plain = recognise(HalvesReader())
    assert (plain["aligner"], plain["n_not_found"], plain["views"]) == ("none", None, 1)


def test_an_unknown_aligner_is_refused(load_corpus):
    with pytest.raises(ConfigError, match="aligner"):
        recognise(HalvesReader(), aligner="dowser")


def overconfident(factor):
    """A recogniser whose calls are right as often as softmax(logits / factor) says."""
    generator = torch.Generator().manual_seed(0)
    true_logits = 2 * torch.randn(1500, 3, generator=generator)
    labels = torch.multinomial(true_logits.softmax(dim=1), 1, generator=generator)[:, 0]

    class Recognizer:
        labels = ("neutral", "happiness", "sadness")

        def read_crops(self, crops):
            numbers = [int.from_bytes(bytes(crop.getpixel((0, 0))), "big") for crop in crops]
            return SimpleNamespace(logits=factor * true_logits[numbers])

    numbers = iter(range(len(labels)))
    corpus = corpus_of(labels.tolist(), lambda label: Image.new("RGB", (8, 8), tuple(next(numbers).to_bytes(3, "big"))))
    return Recognizer(), corpus


def test_calibration_finds_the_temperature_and_lowers_both_errors(load_corpus):
    recognizer, load_corpus["test"] = overconfident(factor=4.0)
    result = evaluate_calibration(recognizer, "made_up", "nowhere", "test")
    assert result["temperature_factor"] == pytest.approx(4.0, rel=0.1)
    assert result["expected_calibration_error_after"] < 0.05 < result["expected_calibration_error_before"]
    assert result["negative_log_likelihood_after"] < result["negative_log_likelihood_before"]
    plain = recognise(recognizer)
    for name in ("accuracy", "expected_calibration_error"):
        assert plain[name] == pytest.approx(result[name if name == "accuracy" else f"{name}_before"])
    json.dumps(result, allow_nan=False)


@pytest.fixture
def saved(tmp_path):
    """A small recogniser's folder."""
    torch.manual_seed(0)
    config = ExpressionEncoderConfig(widths=(8, 8, 16, 16), code_dim=8, labels=LABELS, image_size=SIDE, temperature=2.0)
    ExpressionEncoderModel(config).eval().save_pretrained(tmp_path / "model", card=CardFacts(title="Small"))
    return tmp_path / "model"


def test_a_saved_temperature_multiplies_the_old_one_and_divides_the_logits(saved):
    before = ExpressionRecognizer.from_pretrained(saved, aligner="none")
    assert save_temperature(saved, 1.5) == 3.0
    after = ExpressionRecognizer.from_pretrained(saved, aligner="none")
    assert after.model.config.temperature == 3.0
    logits, cooler = (recognizer.read_crops([halves(0)]).logits for recognizer in (before, after))
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
    assert "mirror image" in names["expected_calibration_error_after"] and "one view" in names["drop_blur"]

    refused = run("calibration", "--save")
    assert refused.exit_code == 2 and "--model" in refused.stderr


def photograph_like(side, seed=0):
    """The same smooth scene at any size."""
    rng = np.random.default_rng(seed)
    scene = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize(
        (960, 960), Image.Resampling.BICUBIC
    )
    return scene.resize((side, side), Image.Resampling.BOX)


def difference(first, second):
    return np.abs(np.asarray(first, dtype=float) - np.asarray(second, dtype=float)).mean()


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_corruption_keeps_size_and_mode_and_its_argument(name, mode):
    picture = photograph_like(48).convert(mode)
    before = np.asarray(picture).copy()
    worse = CORRUPTIONS[name](picture)
    assert (worse.size, worse.mode) == (picture.size, mode)
    assert np.array_equal(np.asarray(picture), before) and difference(worse, picture) > 0.1


@pytest.mark.parametrize("name", ["blur", "roll_plus_20", "dark"])
def test_a_corruption_means_the_same_at_any_size(name):
    small, large = (CORRUPTIONS[name](photograph_like(side)) for side in (48, 192))
    made = difference(small, photograph_like(48))
    assert difference(large.resize((48, 48), Image.Resampling.BOX), small) < made / 4


def test_blur_has_the_sigma_it_says():
    line = np.zeros((49, 49), dtype=np.uint8)
    line[:, 24] = 255
    profile = np.asarray(blur(Image.fromarray(line), sigma=2 / 49), dtype=float)[24]
    assert np.sqrt((profile * (np.arange(49) - 24) ** 2).sum() / profile.sum()) == pytest.approx(2, abs=0.1)


def test_roll_turns_counter_clockwise_about_the_centre_and_repeats_the_border():
    picture = photograph_like(48)
    assert difference(roll(picture, 90), picture.transpose(Image.Transpose.ROTATE_90)) < 0.5
    there_and_back = roll(roll(picture, 20), -20)
    inside = slice(12, 36)
    assert difference(np.asarray(there_and_back)[inside, inside], np.asarray(picture)[inside, inside]) < 4
    assert np.asarray(roll(Image.new("L", (48, 48), 200), 20)).min() == 200


def test_half_size_leaves_no_detail_of_a_pixel_and_all_of_a_plain_picture():
    checks = Image.fromarray((np.indices((48, 48)).sum(axis=0) % 2 * 255).astype(np.uint8))
    assert np.ptp(np.asarray(half_size(checks)).astype(int)) <= 1
    assert difference(half_size(photograph_like(48)), photograph_like(48)) < 6


def test_dark_multiplies_and_jpeg_loses_more_at_lower_quality():
    assert np.array_equal(np.asarray(dark(Image.new("L", (9, 9), 200))), np.full((9, 9), 80))
    picture = photograph_like(48)
    assert difference(jpeg(picture, 10), picture) > difference(jpeg(picture), picture) > 0


def test_robustness_counts_what_each_corruption_costs_on_the_same_rows(load_corpus):
    load_corpus["test"] = corpus_of([0, 0, 1, 1], lambda label: halves(label).point(lambda level: level // (1 + label)))
    result = evaluate_robustness(HalvesReader(), "made_up", "nowhere", "test")
    # Levels 200 and 100; contempt is called below 60 of both halves: times 0.4 they are 80 and 40.
    assert result["accuracy_clean"] == 1.0 and result["accuracy_dark"] == 0.5 and result["drop_dark"] == 50.0
    assert result["corruptions"]["dark"]["n_lost"] == 2 and result["corruptions"]["dark"]["n_gained"] == 0
    assert result["drop_roll_plus_20"] == result["drop_half_size"] == 0.0
    assert {f"drop_{name}" for name in CORRUPTIONS} < result.keys()
    assert result["mean_drop"] == pytest.approx(sum(result[f"drop_{name}"] for name in CORRUPTIONS) / len(CORRUPTIONS))
    json.dumps(result, allow_nan=False)


def test_robustness_corrupts_crops_of_the_networks_own_side(load_corpus):
    load_corpus["test"] = corpus_of([0, 1], lambda label: halves(label, size=64))
    recognizer = HalvesReader()
    evaluate_robustness(recognizer, "made_up", "nowhere", "test")
    assert {crop.size for crop in recognizer.seen} == {(SIDE, SIDE)}
    picture = photograph_like(SIDE)
    assert np.array_equal(np.asarray(whole_crop(picture, SIDE)), np.asarray(picture))


@dataclass
class Call:
    label: str
    aligner: str = "made-up"


def read_level(picture):
    """Reads the class off the red level; no face where green is bright."""
    red, green, _ = picture.getpixel((0, 0))
    return [] if green > 128 else [Call(LABELS[round(red / 100)])]


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


class LevelRecognizer:
    labels = LABELS

    def __call__(self, picture):
        return read_level(picture)


def test_fairness_counts_each_group(london):
    result = evaluate_fairness(LevelRecognizer(), london, least_persons=2)
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
    result = evaluate_fairness(LevelRecognizer(), london, least_persons=2)
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
        evaluate_fairness(SimpleNamespace(labels=("neutral", "fear")), london)


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
    result = evaluate_fairness(recognizer, shared / "corpora" / "london")
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


def small(rows):
    """The same rows with a dot for each picture: decoding 160 photographs would take longer than all else."""
    dots = [datasets.Image().encode_example(Image.new("RGB", (8, 8)))] * len(rows)
    return rows.remove_columns("image").add_column("image", dots, feature=datasets.Image())


class SureReader:
    """Sure of pictures with a bright right half, at a loss with all others; finds a face in bright red ones."""

    labels = LABELS

    def read_crops(self, crops):
        levels = torch.tensor([np.asarray(crop)[:, crop.width // 2 :].mean() for crop in crops])
        return SimpleNamespace(
            logits=F.one_hot(torch.ones(len(crops), dtype=torch.long), 3) * 20.0 * (levels > 199)[:, None]
        )

    def __call__(self, picture):
        return [Call("neutral")] if picture.getpixel((0, 0)) == (255, 0, 0) else []


def test_non_faces_are_set_against_faces(load_corpus, monkeypatch):
    load_corpus["test"] = corpus_of([1, 1, 1], halves)
    pictures = {
        "black": [Image.new("RGB", (20, 20))] * 3,
        "odd": [Image.new("RGB", (20, 20), "white"), Image.new("RGB", (20, 20), "red")],
    }
    monkeypatch.setattr("leed_hub.evaluation.non_faces.non_faces", lambda london_dir: pictures)
    result = evaluate_non_faces(SureReader(), "made_up", "nowhere", "test", batch_size=2)
    assert (result["n_faces"], result["n_non_faces"]) == (3, 5)
    assert result["mean_score_faces"] == pytest.approx(1.0) and result["confident_share_faces"] == 1.0
    assert result["mean_score_non_faces"] == pytest.approx((1 + 4 / 3) / 5)
    assert result["confident_share_non_faces"] == pytest.approx(0.2) and result["face_found_share"] == 0.2
    assert result["entropy_non_faces"] == pytest.approx(0.8 * result["entropy_limit"], rel=1e-4)
    assert result["auroc"] == pytest.approx(0.9)  # one of five is as sure as the faces
    assert result["kinds"]["odd"] | {"entropy": 0} == {
        "n": 2, "mean_score": pytest.approx(2 / 3), "confident_share": 0.5, "entropy": 0, "face_found_share": 0.5,
    }  # fmt: skip
    json.dumps(result, allow_nan=False)


def test_non_faces_need_a_recogniser_that_looks_for_faces(load_corpus):
    class Blind(SureReader):
        def __call__(self, picture):
            return [Call("neutral", aligner="none")]

    with pytest.raises(ConfigError, match="aligner"):
        evaluate_non_faces(Blind(), "made_up", "nowhere", "test")


def test_the_same_non_faces_come_at_every_call(london):
    first, second = non_faces(london), non_faces(london)
    assert set(first) == {"noise", "gradients", "scenes", "portrait_pieces"} and set(non_faces()) == set(first) - {
        "portrait_pieces"
    }
    assert [len(pictures) for pictures in first.values()] == [120, 120, 120, 28]  # four corners of seven portraits
    for kind, pictures in first.items():
        assert all(picture.mode == "RGB" and min(picture.size) >= 16 for picture in pictures)
        assert all(
            np.array_equal(np.asarray(one), np.asarray(other))
            for one, other in zip(pictures, second[kind], strict=True)
        )


def test_the_card_says_how_recognition_was_read(load_corpus, saved):
    model = ExpressionEncoderModel.from_pretrained(saved)
    record_in_card(model, saved, recognise(HalvesReader(), mirrored=True))
    entries = {entry["name"]: entry for entry in CardFacts.read(saved).metrics}
    assert "mirror image" in entries["accuracy"]["protocol"] and entries["accuracy"]["value"] == 0.6
    assert "(contempt)" in entries["calls_of_lacking_classes"]["protocol"]
    record_in_card(model, saved, recognise(HalvesReader()))
    entries = {entry["name"]: entry for entry in CardFacts.read(saved).metrics}
    assert "one view each" in entries["accuracy"]["protocol"] and entries["accuracy"]["value"] == 1.0


@pytest.mark.parametrize("evaluate", [evaluate_recognition, evaluate_calibration, evaluate_robustness])
def test_a_split_without_a_class_of_the_recogniser_is_refused(evaluate, load_corpus):
    load_corpus["test"] = corpus_of([4, 4], lambda label: halves(0))
    with pytest.raises(CorpusError, match="neutral, happiness, contempt"):
        evaluate(HalvesReader(), "made_up", "nowhere", "test")


@pytest.mark.parametrize("command", ["recognition", "calibration", "robustness", "fairness", "non-faces"])
def test_a_corpus_that_is_not_there_is_one_sentence_and_exit_code_2(command, saved):
    corpus = [] if command == "fairness" else ["--corpus", "fer2013", "--split", "test_private"]
    json_file = str(saved.parent / "n.json")
    options = [*corpus, "--data-dir", "nowhere", "--json", json_file, "--model", str(saved), "--aligner", "none"]
    done = CliRunner().invoke(app, ["evaluate", command, *options])
    assert done.exit_code == 2 and "nowhere" in done.stderr and "Traceback" not in done.output
    assert not (saved.parent / "n.json").exists()
