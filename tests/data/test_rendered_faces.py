"""The rendered faces."""

import numpy as np
import pytest

from leed_hub.data.corpora.london import VALIDATION_PERSONS
from leed_hub.errors import CorpusError
from leed_hub.models.labels import EXPRESSIONS, UNLABELLED


def test_free_expressions_are_unlabelled_and_files_point_at_rows(make, load):
    folder = make("rendered_faces")
    neutral, happy, free = load("rendered_faces", folder, "train")
    assert [neutral["label"], happy["label"], free["label"]] == [0, EXPRESSIONS.index("happiness"), UNLABELLED]
    assert happy["neutral_file"] == neutral["file"] == neutral["neutral_file"] == "train/0010_00_0.jpg"
    assert {row["setup"] for row in (neutral, happy, free)} == {"0010_00"}
    assert happy["subject"] == "001"
    assert (happy["yaw"], happy["pitch"], happy["roll"]) == (1, 2, 3)
    (twin,) = load("rendered_faces", folder, "twins")
    assert twin["twin_of"] == happy["file"]
    assert twin["blendshapes"] == happy["blendshapes"]
    assert twin["setup"] is None and twin["neutral_file"] is None and happy["twin_of"] is None


def test_a_pairs_target_has_the_sources_face_and_the_references_expression(make, load):
    (pair,) = load("rendered_faces", make("rendered_faces"), "validation", config="pairs")
    assert pair["target_subject"] == pair["source_subject"] == "005"
    assert pair["target_yaw"] == pair["source_yaw"] == 5
    assert pair["reference_subject"] == "016"
    assert pair["target_label"] == pair["reference_label"] == EXPRESSIONS.index("surprise")
    assert pair["target_blendshapes"] == pair["reference_blendshapes"] != pair["source_blendshapes"]
    assert pair["target_file"] == "pairs_validation/000_target.jpg"


def test_files_without_row_and_unknown_expressions_are_counted(make, load, draw_face, caplog):
    folder = make("rendered_faces")
    draw_face(folder / "train/0999_00_0.jpg", 1)
    assert len(load("rendered_faces", folder, "train")) == 3
    assert "rendered_faces (train): skipped 1 (files no row speaks of: 1)" in caplog.text


def test_a_missing_part_is_refused_by_name(make, load):
    folder = make("rendered_faces")
    (folder / "train_twins/metadata.parquet").unlink()
    assert len(load("rendered_faces", folder, "train")) == 3
    with pytest.raises(CorpusError, match="found only train, validation"):
        load("rendered_faces", folder, "twins")


def test_shared_corpus_faces(corpora, load_shared):
    folder = corpora / "rendered_faces"
    train, validation, twins = (
        load_shared("rendered_faces", folder, split) for split in ("train", "validation", "twins")
    )
    assert (len(train), len(validation), len(twins)) == (7018, 601, 2000)
    assert set(validation["subject"][:]) == set(VALIDATION_PERSONS)
    assert set(train["subject"][:]) == set(twins["subject"][:])
    assert len(set(train["subject"][:])) == 72
    assert not set(train["subject"][:]) & set(VALIDATION_PERSONS)
    assert sum(label == UNLABELLED for label in train["label"][:]) == 1085
    files = set(train["file"][:])
    assert set(train["neutral_file"][:]) <= files
    assert set(twins["twin_of"][:]) <= files
    row = validation[0]
    assert np.shape(row["landmarks"]) == (68, 2)
    assert np.shape(row["blendshapes"]) == (53,)
    assert row["image"].size == (192, 192)


def test_shared_corpus_twins_share_their_weights_exactly(corpora, load_shared):
    folder = corpora / "rendered_faces"
    twins = load_shared("rendered_faces", folder, "twins").remove_columns("image").select(range(20))
    train = load_shared("rendered_faces", folder, "train").remove_columns("image")
    at = {file: index for index, file in enumerate(train["file"][:])}
    for twin in twins:
        original = train[at[twin["twin_of"]]]
        assert twin["blendshapes"] == original["blendshapes"]
        assert twin["subject"] != original["subject"]


def test_shared_corpus_pairs(corpora, load_shared):
    pairs = load_shared("rendered_faces", corpora / "rendered_faces", "validation", config="pairs")
    assert len(pairs) == 300
    assert all(a != b for a, b in zip(pairs["source_subject"][:], pairs["reference_subject"][:], strict=True))
    assert set(pairs["source_subject"][:]) <= set(VALIDATION_PERSONS)
    assert {pairs[0][role].size for role in ("source", "reference", "target")} == {(192, 192)}
