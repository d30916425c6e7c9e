"""AffectNet's two releases."""

import pytest

from leed_hub.errors import CorpusError
from leed_hub.models.labels import EXPRESSIONS


def test_codes_are_the_vocabularys_order_and_the_rest_is_skipped(make, load, caplog):
    rows = load("affectnet", make("affectnet"), "train")
    assert [EXPRESSIONS[label] for label in rows["label"][:]] == list(EXPRESSIONS)
    assert "affectnet (train): skipped 3 (labels none, uncertain or no-face: 3)" in caplog.text


def test_seven_leaves_contempt_out_without_complaint(make, load, caplog):
    rows = load("affectnet", make("affectnet"), "validation", config="seven")
    assert [EXPRESSIONS[label] for label in rows["label"][:]] == list(EXPRESSIONS[:7])
    assert "validation" not in caplog.text


def test_facts_of_the_2017_release(make, load):
    row = load("affectnet", make("affectnet"), "train")[3]
    assert row["valence"] == pytest.approx(0.3)
    assert row["arousal"] == -0.5
    assert row["box"] == [1, 2, 30, 40]
    assert len(row["landmarks"]) == 68
    assert row["landmarks"][1] == [2, 3]
    assert row["file"] == "Manually_Annotated_Images/0/03ab.jpg"


def test_both_releases_agree(make, load, affectnet_2021):
    columns = ["label", "valence", "arousal", "landmarks"]
    old = load("affectnet", make("affectnet"), "validation").select_columns(columns)
    new = load("affectnet", affectnet_2021, "validation")
    assert list(old) == list(new.select_columns(columns))
    assert new[2]["file"] == "val_set/images/2.jpg"
    assert new[2]["box"] is None


def test_missing_affect_and_boxes_are_none_and_broken_lines_are_counted(make, load, caplog):
    folder = make("affectnet")
    table = folder / "validation.csv"
    lines = table.read_text().splitlines()
    path = lines[1].split(",")[0]
    lines[1] = f"{path},nan,-2,NULL,0,,0,-2,-2"
    table.write_text("\ufeff" + "\r\n".join([*lines, "20/none.jpg,1,2,3,4,,x,0,0"]), encoding="utf-8")
    row, *rest = load("affectnet", folder, "validation")
    assert [row[key] for key in ("valence", "arousal", "box", "landmarks")] == [None] * 4
    assert len(rest) == 7
    assert "broken lines: 1" in caplog.text


def test_a_table_without_header_and_pictures_beside_it_is_read(make, load):
    folder = make("affectnet")
    expected = load("affectnet", folder, "validation")["label"][:]
    for part in (folder / "Manually_Annotated_Images").iterdir():
        part.rename(folder / part.name)
    table = folder / "validation.csv"
    table.write_text("\n".join(table.read_text().splitlines()[1:]))
    rows = load("affectnet", folder, "validation")
    assert rows["label"][:] == expected
    assert rows[0]["file"] == "20/00ab.jpg"


def test_pictures_without_annotation_are_counted(make, load, affectnet_2021, draw_face, caplog):
    draw_face(affectnet_2021 / "train_set/images/99.jpg", 1)
    assert len(load("affectnet", affectnet_2021, "train")) == 8
    folder = make("affectnet")
    draw_face(folder / "Manually_Annotated_Images/0/zz.jpg", 1)
    assert len(load("affectnet", folder, "train")) == 8
    assert caplog.text.count("files no row speaks of: 1") == 2


def test_a_missing_split_is_refused_by_name(make, load):
    folder = make("affectnet")
    (folder / "training.csv").unlink()
    assert len(load("affectnet", folder, "validation")) == 8
    with pytest.raises(CorpusError, match="found only validation. Ask its owners"):
        load("affectnet", folder, "train")


def test_a_broken_annotation_costs_its_picture_and_not_the_corpus(load, affectnet_2021, caplog):
    whole = load("affectnet", affectnet_2021, "train")["file"][:]
    notes = affectnet_2021 / "train_set/annotations"
    (notes / "1_exp.npy").write_bytes(b"")
    (notes / "2_val.npy").write_bytes((notes / "2_val.npy").read_bytes()[:20])
    (notes / "3_lnd.npy").write_text("<html>")
    (notes / "4_exp.npy").write_bytes((notes / "4_lnd.npy").read_bytes())  # many numbers
    assert load("affectnet", affectnet_2021, "train")["file"][:] == [whole[0], *whole[5:]]
    assert "broken annotations: 4" in caplog.text
