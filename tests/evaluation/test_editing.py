"""Edits beside exact targets, by editors whose answer is known."""

from types import SimpleNamespace

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from leed_hub.errors import CorpusError
from leed_hub.evaluation import Editing, record_in_card
from leed_hub.evaluation.card import weights_name
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


def return_source(source, reference, strength=1.0, *, detector):
    assert detector == "none"
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

    def __call__(self, source, reference, strength=1.0, *, detector):
        assert (reference is None) == (strength == 0)
        return SimpleNamespace(image=self.answers.get((source.tobytes(), reference and reference.tobytes()), source))


def test_returning_the_source_scores_one_in_every_part(pairs_dir):
    result = Editing(data=pairs_dir).run(return_source)
    assert result["n"] == 3 and result["unchanged_error"] in (0.0, None)
    parts = ("frontal", "profile", "neutral_source", "expressive_source")
    assert [result["error_ratio"], *(result[f"error_ratio_{part}"] for part in parts)] == [1.0] * 5
    assert [result[f"n_{part}"] for part in parts] == [2, 1, 1, 2]


def test_returning_the_target_scores_zero_and_by_another_reference_it_does_not(pairs_dir):
    result = Editing(data=pairs_dir).run(ReturnTarget(pairs_dir))
    assert result["error_ratio"] == 0.0 and result["ssim"] == pytest.approx(1.0)
    assert result["ssim_of_source"] < 0.9
    assert result["worse_than_source"] == 0.0
    assert result["error_ratio_wrong_reference"] == 1.0  # it knows no answer there and returns the source
    assert (result["error_ratio_strength_zero"], result["n_strength_zero"]) == (0.0, 1)


def test_without_the_similarities_the_errors_are_the_same(pairs_dir):
    whole, bare = (Editing(data=pairs_dir, similarity=wanted).run(return_source) for wanted in (True, False))
    left_out = {name for name in whole if bare[name] != whole[name]}
    assert {"ssim", "psnr", "ssim_of_source"} <= left_out <= {name for name in whole if bare[name] is None}


def test_an_editor_that_makes_the_same_of_every_reference_fails_the_control(pairs_dir):
    def constant(source, reference, strength=1.0, *, detector):
        return SimpleNamespace(image=Image.fromarray(255 - np.asarray(source)))

    result = Editing(data=pairs_dir).run(constant)
    assert result["wrong_over_right_reference"] == 1.0 and result["worse_than_source"] > 0


def test_the_editor_gets_rgb_source_and_reference(pairs_dir):
    seen = []

    def editor(source, reference, strength=1.0, *, detector):
        seen.append((source, reference))
        return SimpleNamespace(image=source)

    Editing(data=pairs_dir, limit=1).run(editor)
    for picture, role in zip(seen[0], ("source", "reference"), strict=True):
        assert picture.mode == "RGB"
        assert np.array_equal(np.asarray(picture), np.asarray(Image.open(pairs_dir / f"000_{role}.jpg")))


def test_limit_measures_the_first_triplets_only(pairs_dir):
    (pairs_dir / "002_source.jpg").unlink()
    result = Editing(data=pairs_dir, limit=2).run(return_source)
    assert result["n"] == 2 and result["error_ratio_profile"] is None


def test_the_tables_own_file_names_are_read_and_sources_without_yaw_count_as_frontal(pairs_dir):
    table = pyarrow.parquet.read_table(pairs_dir / "pairs.parquet").drop_columns("source_yaw")
    for role in ("source", "reference", "target"):
        for path in sorted(pairs_dir.glob(f"*_{role}.jpg")):
            Image.open(path).save(path.with_suffix(".webp"), lossless=True)
            path.unlink()
        table = table.append_column(f"{role}_file", [[f"{pair:03d}_{role}.webp" for pair in range(3)]])
    pyarrow.parquet.write_table(table, pairs_dir / "pairs.parquet")
    result = Editing(data=pairs_dir).run(return_source)
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
    record_in_card(model, root / "model", Editing(data=root / folder).run(return_source))
    entries = CardFacts.read(root / "model").metrics
    written = {"name": "error_ratio", "value": 1.0, "dataset": corpus, "split": folder, "protocol": protocol}
    assert older in entries and written | {"weights": weights_name(root / "model")} in entries


def test_what_was_measured_of_other_weights_leaves_the_card(pairs_dir, tmp_path):
    config = LEEDConfig(image_size=32, widths=(8, 8, 8, 8), manifold_dim=8, expression_dim=4)
    row = {"name": "ssim", "value": 0.5, "dataset": "Triplets", "split": "others"}
    for name in ("these", "others"):
        LEEDModel(config).save_pretrained(tmp_path / name)
    rows = [row | {"split": name, "weights": weights_name(tmp_path / name)} for name in ("these", "others")]
    model = LEEDModel.from_pretrained(tmp_path / "these")
    model.save_pretrained(tmp_path / "these", card=CardFacts(metrics=rows))
    record_in_card(model, tmp_path / "these", Editing(data=pairs_dir).run(return_source))
    metrics = CardFacts.read(tmp_path / "these").metrics
    assert rows[0] in metrics and rows[1] not in metrics
    assert {entry["weights"] for entry in metrics} == {weights_name(tmp_path / "these")}


@pytest.mark.parametrize("kind", ["missing", "cut off", "broken header", "too large"])
def test_a_triplet_with_an_unreadable_picture_is_left_out_by_name_and_counted(kind, pairs_dir):
    picture = pairs_dir / "001_reference.jpg"
    if kind == "missing":
        picture.unlink()
    elif kind == "cut off":
        picture.write_bytes(picture.read_bytes()[:200])
    elif kind == "broken header":
        picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    else:
        Image.new("L", (8000, 6000)).save(picture)
    with pytest.warns(UserWarning, match="Left out triplet 1: 001_reference.jpg"):
        result = Editing(data=pairs_dir).run(return_source)
    assert (result["n"], result["n_skipped"], result["n_profile"], result["n_expressive_source"]) == (2, 1, 1, 1)
    assert result["error_ratio"] == result["error_ratio_wrong_reference"] == 1.0


def test_a_folder_of_which_no_triplet_can_be_read_is_refused(pairs_dir):
    for path in pairs_dir.glob("*_source.jpg"):
        path.unlink()
    with pytest.warns(UserWarning, match="Left out triplet 2"), pytest.raises(CorpusError, match="no triplet whose"):
        Editing(data=pairs_dir).run(return_source)


def test_a_folder_without_a_usable_table_is_refused_with_the_layout(tmp_path):
    with pytest.raises(CorpusError, match="pairs.parquet"):
        Editing(data=tmp_path).run(return_source)
    pyarrow.parquet.write_table(pyarrow.table({"pair": [0]}), tmp_path / "pairs.parquet")
    with pytest.raises(CorpusError, match="source_yaw"):
        Editing(data=tmp_path).run(return_source)
    (tmp_path / "pairs.parquet").write_text("no table")
    with pytest.raises(CorpusError, match="pairs.parquet"):
        Editing(data=tmp_path).run(return_source)
