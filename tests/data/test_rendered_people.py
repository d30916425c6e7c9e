"""The rendered people."""

import numpy as np

from leed_hub.data.corpora.london import VALIDATION_PERSONS
from leed_hub.models.labels import EXPRESSIONS, UNLABELLED


def test_rows_name_setup_neutral_and_weights(make, load):
    folder = make("rendered_people")
    neutral, happy, free, _, blended = load("rendered_people", folder, "posed")
    assert [neutral["label"], happy["label"], free["label"]] == [0, EXPRESSIONS.index("happiness"), UNLABELLED]
    assert happy["neutral_file"] == neutral["file"] == neutral["neutral_file"] == "posed/00040_00_0.webp"
    assert neutral["setup"] == happy["setup"] == "posed/00040_00" != blended["setup"]
    assert (happy["yaw"], happy["pitch"], happy["roll"]) == (30, 1, 2)
    assert (neutral["expression_id"], happy["expression_id"]) == (-1, 7)
    assert happy["image"].format == "WEBP"
    (_, photograph, _) = load("rendered_people", folder, "photographs")
    assert photograph["expression_id"] == blended["expression_id"] == 7
    assert photograph["blendshapes"] == blended["blendshapes"]
    assert photograph["setup"] == "photographs/10030_99"


def test_persons_are_all_whose_photograph_is_in_a_picture_written_alike(make, load):
    folder = make("rendered_people")
    posed = load("rendered_people", folder, "posed")
    assert (posed[0]["subject"], posed[0]["persons"]) == ("004", ["004"])
    assert (posed[4]["subject"], posed[4]["persons"]) == ("2000", ["004", "1003", "011"])
    (canadian, *_) = load("rendered_people", folder, "photographs")
    assert (canadian["subject"], canadian["persons"]) == ("1003", ["1003"])


def test_a_pairs_target_has_the_sources_face_and_the_references_expression(make, load):
    (pair,) = load("rendered_people", make("rendered_people"), "validation", config="pairs")
    assert pair["target_subject"] == pair["source_subject"] == "005"
    assert pair["reference_subject"] == "016"
    assert pair["target_label"] == pair["reference_label"] == EXPRESSIONS.index("surprise")
    assert pair["target_blendshapes"] == pair["reference_blendshapes"] != pair["source_blendshapes"]
    assert pair["source_yaw"] == pair["target_roll"] == 0 and pair["source_identity"] is None
    assert pair["target_file"] == "photographs_pairs_validation/000_target.webp"


def test_shared_corpus_faces(corpora, load_shared):
    folder = corpora / "rendered_people"
    posed, photographs = (load_shared("rendered_people", folder, split) for split in ("posed", "photographs"))
    assert (len(posed), len(photographs)) == (17568, 4736)
    rows = [(subject, persons) for part in (posed, photographs) for subject, persons in part_columns(part)]
    real = {subject for subject, _ in rows if int(subject) < 2000}
    assert len(real) == 72 + 40
    assert {person for _, persons in rows for person in persons} == real
    assert all(subject in persons for subject, persons in rows if subject in real)
    assert not real & set(VALIDATION_PERSONS)
    for part in (posed, photographs):
        assert set(part["neutral_file"][:]) <= set(part["file"][:])
        numbers = zip(part["label"][:], part["expression_id"][:], strict=True)
        assert all((label == 0) == (number == -1) for label, number in numbers)
    assert (len(set(posed["setup"][:])), len(set(photographs["setup"][:]))) == (5856, 592)
    row = photographs[0]
    assert np.shape(row["landmarks"]) == (68, 2) and np.shape(row["blendshapes"]) == (53,)
    assert row["image"].size == (160, 160)


def part_columns(part):
    return zip(part["subject"][:], part["persons"][:], strict=True)


def test_shared_corpus_pictures_with_one_expression_id_share_their_weights_exactly(corpora, load_shared):
    folder, seen, subjects = corpora / "rendered_people", {}, {}
    for split in ("posed", "photographs"):
        rows = load_shared("rendered_people", folder, split).select_columns(["expression_id", "blendshapes", "subject"])
        rows = rows.with_format("numpy")[:]
        for number, weights, subject in zip(*(rows[name] for name in rows), strict=True):
            assert np.array_equal(seen.setdefault(number, weights), weights)
            subjects.setdefault(number, set()).add(subject)
    assert len(seen) == 7249 + 1  # -1 is neutral
    assert sum(len(found) > 1 for found in subjects.values()) == 5496


def test_shared_corpus_pairs(corpora, load_shared):
    pairs = load_shared("rendered_people", corpora / "rendered_people", "validation", config="pairs")
    assert len(pairs) == 300
    assert set(pairs["source_subject"][:]) | set(pairs["reference_subject"][:]) == set(VALIDATION_PERSONS)
    assert all(a != b for a, b in zip(pairs["source_subject"][:], pairs["reference_subject"][:], strict=True))
    assert {pairs[0][role].size for role in ("source", "reference", "target")} == {(192, 192)}
