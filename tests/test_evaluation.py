import json
from types import SimpleNamespace

import datasets
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch
from PIL import Image

import leed_hub.data
from leed_hub.errors import CorpusError
from leed_hub.evaluation import evaluate_editing, evaluate_recognition, record_in_card, write_json
from leed_hub.labels import EXPRESSIONS
from leed_hub.models.card import CardFacts
from leed_hub.models.leed import LEEDConfig, LEEDModel


@pytest.fixture
def pairs_dir(tmp_path):
    """Three triplets of smooth 32x32 pictures, the first from a neutral source, the last in profile."""
    rng = np.random.default_rng(0)
    rows = {"pair": [0, 1, 2], "source_yaw": [0.0, -10.0, 40.0], "source_expression": ["neutral", "fear", "free"]}
    pyarrow.parquet.write_table(pyarrow.table(rows), tmp_path / "pairs.parquet")
    for pair in rows["pair"]:
        for role in ("source", "reference", "target"):
            picture = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize((32, 32))
            picture.save(tmp_path / f"{pair:03d}_{role}.jpg", quality=95)
    return tmp_path


def return_source(source, reference, strength=1.0, *, aligner):
    assert aligner == "none"
    return SimpleNamespace(image=source)


class ReturnTarget:
    """An editor that knows the answer to each source and reference of a folder, and to each target at strength 0."""

    def __init__(self, folder):
        self.answers = {}
        for pair in range(3):
            source, reference, target = (
                Image.open(folder / f"{pair:03d}_{role}.jpg") for role in ("source", "reference", "target")
            )
            self.answers[source.tobytes(), reference.tobytes()] = target
            self.answers[target.tobytes(), None] = source

    def __call__(self, source, reference, strength=1.0, *, aligner):
        assert (reference is None) == (strength == 0)
        return SimpleNamespace(image=self.answers.get((source.tobytes(), reference and reference.tobytes()), source))


def test_returning_the_source_scores_one_in_every_part(pairs_dir):
    result = evaluate_editing(return_source, pairs_dir)
    assert result["n"] == 3 and result["unchanged_error"] in (0.0, None)
    parts = ("frontal", "profile", "neutral_source", "expressive_source")
    assert [result["error_ratio"], *(result[f"error_ratio_{part}"] for part in parts)] == [1.0] * 5
    assert [result[f"n_{part}"] for part in parts] == [2, 1, 1, 2]


def test_returning_the_target_scores_zero_and_by_another_reference_it_does_not(pairs_dir):
    result = evaluate_editing(ReturnTarget(pairs_dir), pairs_dir)
    assert result["error_ratio"] == 0.0 and result["ssim"] == pytest.approx(1.0)
    assert result["ssim_of_source"] < 0.9
    assert result["worse_than_source"] == 0.0
    assert result["error_ratio_wrong_reference"] == 1.0  # it knows no answer there and returns the source
    assert (result["error_ratio_strength_zero"], result["n_strength_zero"]) == (0.0, 1)


def test_an_editor_that_makes_the_same_of_every_reference_fails_the_control(pairs_dir):
    def constant(source, reference, strength=1.0, *, aligner):
        return SimpleNamespace(image=Image.fromarray(255 - np.asarray(source)))

    result = evaluate_editing(constant, pairs_dir)
    assert result["wrong_over_right_reference"] == 1.0 and result["worse_than_source"] > 0


def test_the_editor_gets_rgb_source_and_reference(pairs_dir):
    seen = []

    def editor(source, reference, strength=1.0, *, aligner):
        seen.append((source, reference))
        return SimpleNamespace(image=source)

    evaluate_editing(editor, pairs_dir, limit=1)
    for picture, role in zip(seen[0], ("source", "reference"), strict=True):
        assert picture.mode == "RGB"
        assert np.array_equal(np.asarray(picture), np.asarray(Image.open(pairs_dir / f"000_{role}.jpg")))


def test_limit_measures_the_first_triplets_only(pairs_dir):
    (pairs_dir / "002_source.jpg").unlink()
    result = evaluate_editing(return_source, pairs_dir, limit=2)
    assert result["n"] == 2 and result["error_ratio_profile"] is None


def test_the_tables_own_file_names_are_read_and_sources_without_yaw_count_as_frontal(pairs_dir):
    table = pyarrow.parquet.read_table(pairs_dir / "pairs.parquet").drop_columns("source_yaw")
    for role in ("source", "reference", "target"):
        for path in sorted(pairs_dir.glob(f"*_{role}.jpg")):
            Image.open(path).save(path.with_suffix(".webp"), lossless=True)
            path.unlink()
        table = table.append_column(f"{role}_file", [[f"{pair:03d}_{role}.webp" for pair in range(3)]])
    pyarrow.parquet.write_table(table, pairs_dir / "pairs.parquet")
    result = evaluate_editing(return_source, pairs_dir)
    assert (result["n"], result["n_frontal"], result["n_profile"]) == (3, 3, 0)
    assert result["error_ratio"] == result["error_ratio_frontal"] == 1.0
    assert result["error_ratio_profile"] is None


@pytest.mark.parametrize(
    ("folder", "corpus", "protocol"),
    [
        ("pairs_validation", "Rendered faces", "3 triplets with exact targets, persons in no training split"),
        (
            "photographs_pairs_validation",
            "Rendered people",
            "3 triplets with exact targets, persons in no training split",
        ),
        ("mine", "Triplets", "3 triplets with exact targets, persons perhaps seen in training"),
    ],
)
def test_the_card_says_whose_triplets_were_edited(pairs_dir, tmp_path_factory, folder, corpus, protocol):
    root = tmp_path_factory.mktemp("root")
    pairs_dir.rename(root / folder)
    model = LEEDModel(LEEDConfig(image_size=32, widths=(8, 8, 8, 8), manifold_dim=8, expression_dim=4))
    older = {"name": "error_ratio", "value": 0.5, "dataset": "Rendered faces", "split": "elsewhere"}
    model.save_pretrained(root / "model", card=CardFacts(metrics=[older]))
    record_in_card(model, root / "model", evaluate_editing(return_source, root / folder))
    entries = CardFacts.read(root / "model").metrics
    written = {"name": "error_ratio", "value": 1.0, "dataset": corpus, "split": folder, "protocol": protocol}
    assert older in entries and written in entries


def test_a_missing_picture_is_named(pairs_dir):
    (pairs_dir / "001_target.jpg").unlink()
    with pytest.raises(CorpusError, match="001_target.jpg"):
        evaluate_editing(return_source, pairs_dir)


def test_a_broken_picture_is_named(pairs_dir):
    picture = pairs_dir / "001_target.jpg"
    picture.write_bytes(picture.read_bytes()[:200])
    with pytest.raises(CorpusError, match="001_target.jpg"):
        evaluate_editing(return_source, pairs_dir)


def test_a_folder_without_a_usable_table_is_refused_with_the_layout(tmp_path):
    with pytest.raises(CorpusError, match="pairs.parquet"):
        evaluate_editing(return_source, tmp_path)
    pyarrow.parquet.write_table(pyarrow.table({"pair": [0]}), tmp_path / "pairs.parquet")
    with pytest.raises(CorpusError, match="source_yaw"):
        evaluate_editing(return_source, tmp_path)
    (tmp_path / "pairs.parquet").write_text("no table")
    with pytest.raises(CorpusError, match="pairs.parquet"):
        evaluate_editing(return_source, tmp_path)


def corpus_of(labels):
    """Grey 8x8 pictures whose level is 20 times their row's label (unlabelled: 255)."""
    levels = [20 * label if label >= 0 else 255 for label in labels]
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(EXPRESSIONS))})
    images = [Image.new("RGB", (8, 8), (level,) * 3) for level in levels]
    return datasets.Dataset.from_dict({"image": images, "label": labels}, features=features)


class LevelReader:
    """Reads the class off the grey level, for a head with its own order; its non-expression code is noise."""

    labels = ("anger", "happiness", "neutral")

    def __init__(self):
        self.batch_sizes = []

    def read_crops(self, crops):
        self.batch_sizes.append(len(crops))
        levels = torch.tensor([crop.getpixel((0, 0))[0] for crop in crops])
        own = torch.tensor([20 * EXPRESSIONS.index(name) for name in self.labels])
        logits = 5.0 * (levels[:, None] == own)
        noise = torch.randn(len(crops), 4, generator=torch.Generator().manual_seed(len(self.batch_sizes)))
        return SimpleNamespace(logits=logits, expression_code=logits, non_expression_code=noise)


@pytest.fixture
def load_corpus(monkeypatch):
    corpora = {"train": corpus_of([0, 1, 6] * 200), "test": corpus_of([0, 1, 6] * 60 + [3, 3, -1])}
    monkeypatch.setattr(leed_hub.data, "load_corpus", lambda name, data_dir, split: corpora[split], raising=False)
    return corpora


def test_recognition_maps_the_corpus_labels_to_the_heads_order(load_corpus):
    result = evaluate_recognition(LevelReader(), "made_up", "nowhere", "test", probe_split=None)
    assert result["accuracy"] == 1.0 and result["n"] == 180
    assert result["confusion"] == [[60, 0, 0], [0, 60, 0], [0, 0, 60]]
    assert result["leakage"] is None and result["expression_code_probe"] is None


def test_recognition_counts_and_leaves_out_what_the_head_cannot_say(load_corpus):
    result = evaluate_recognition(LevelReader(), "made_up", "nowhere", "test", probe_split=None)
    assert (result["n_skipped"], result["n_unlabelled"]) == (2, 1)


def test_probes_find_the_expression_in_its_own_code_and_not_in_the_other(load_corpus):
    result = evaluate_recognition(LevelReader(), "made_up", "nowhere", "test")
    assert result["expression_code_probe"]["linear_accuracy"] == 1.0
    # 180 test rows: a standard deviation of 0.035 about chance.
    assert result["leakage"]["linear_accuracy"] == pytest.approx(1 / 3, abs=0.14)
    assert result["leakage"]["n_train"] == 600
    json.dumps(result, allow_nan=False)


def test_recognition_without_a_non_expression_code_reports_no_leakage(load_corpus):
    class PlainReader(LevelReader):
        def read_crops(self, crops):
            return SimpleNamespace(**{**vars(super().read_crops(crops)), "non_expression_code": None})

    result = evaluate_recognition(PlainReader(), "made_up", "nowhere", "test")
    assert result["leakage"] is None and result["expression_code_probe"] is not None


def test_limit_draws_rows_of_every_class_and_batches_keep_their_size(load_corpus):
    load_corpus["test"] = corpus_of([0] * 60 + [1] * 60 + [6] * 60)
    reader = LevelReader()
    result = evaluate_recognition(reader, "made_up", "nowhere", "test", probe_split=None, limit=40, batch_size=16)
    assert result["n"] == 40 and reader.batch_sizes == [16, 16, 8]
    assert result["accuracy"] == 1.0 and all(score["support"] > 0 for score in result["per_class"].values())


def test_a_split_without_a_class_of_the_head_is_refused(load_corpus):
    load_corpus["test"] = corpus_of([3, 4])
    with pytest.raises(CorpusError, match="anger, happiness, neutral"):
        evaluate_recognition(LevelReader(), "made_up", "nowhere", "test")


def test_probing_on_the_tested_split_is_refused(load_corpus):
    with pytest.raises(ValueError, match="probe_split"):
        evaluate_recognition(LevelReader(), "made_up", "nowhere", "train")


def test_write_json_reads_back_and_leaves_nothing_beside_it(tmp_path):
    write_json({"error_ratio": 0.5, "psnr": None}, tmp_path / "results" / "editing.json")
    assert json.loads((tmp_path / "results" / "editing.json").read_text()) == {"error_ratio": 0.5, "psnr": None}
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["editing.json"]


def test_write_json_keeps_the_old_file_when_the_result_cannot_be_written(tmp_path):
    path = tmp_path / "editing.json"
    write_json({"n": 1}, path)
    for result, error in (({"n": float("nan")}, ValueError), ({"n": object()}, TypeError)):
        with pytest.raises(error):
            write_json(result, path)
    assert json.loads(path.read_text()) == {"n": 1} and list(tmp_path.iterdir()) == [path]
