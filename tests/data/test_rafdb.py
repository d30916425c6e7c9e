"""RAF-DB in its two forms."""

import shutil
from collections import Counter

import pytest

from leed_hub.errors import CorpusError
from leed_hub.models.labels import EXPRESSIONS

CODES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")  # the published labels 1..7


@pytest.fixture
def copied(make, tmp_path):
    """The form of common copies; returns their folder."""
    root = make("rafdb")
    for line in (root / "basic/EmoLabel/list_patition_label.txt").read_text().splitlines():
        name, label = line.split()
        picture = name.replace(".jpg", "_aligned.jpg")
        target = tmp_path / "copied/DATASET" / name.split("_")[0] / label / picture
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / "basic/Image/aligned" / picture, target)
    return tmp_path / "copied"


def facts(rows) -> list[tuple]:
    return [(row["file"].rsplit("/", 1)[-1], row["label"], row["image"].tobytes()) for row in rows]


def test_labels_are_those_of_the_owners_list(make, load):
    folder = make("rafdb")
    for split in ("train", "test"):
        rows = load("rafdb", folder, split)
        assert [EXPRESSIONS[label] for label in rows["label"][:]] == list(CODES) * 2
        assert rows["file"][0] == f"basic/Image/aligned/{split}_00001_aligned.jpg"


def test_folders_zip_and_tables_beside_them_give_the_same_rows(make, load, copied, zip_folder):
    folder = make("rafdb")
    table = copied / "train_labels.csv"
    table.write_text("image,label\ntrain_00001_aligned.jpg,1\n")
    for split in ("train", "test"):
        expected = facts(load("rafdb", folder, split))
        for place in (folder / "basic", zip_folder(folder), copied, copied / "DATASET", zip_folder(copied)):
            assert facts(load("rafdb", place, split)) == expected, place
    table.unlink()  # not all copies have it
    assert facts(load("rafdb", copied, "train")) == facts(load("rafdb", folder, "train"))


def test_what_cannot_be_used_is_counted(make, load, draw_face, caplog):
    folder = make("rafdb")
    with (folder / "basic/EmoLabel/list_patition_label.txt").open("a") as table:
        table.write("\ntrain_00015.jpg 8\ntrain_00016.jpg 1\nvalid_1.jpg 1\n")
    for number in (15, 99):
        draw_face(folder / f"basic/Image/aligned/train_{number:05d}_aligned.jpg", number)
    assert len(load("rafdb", folder, "train")) == 14
    assert "rafdb (train): skipped 4" in caplog.text
    for reason in ("categories outside", "broken lines", "files no row speaks of", "missing or unreadable"):
        assert reason in caplog.text
    assert len(load("rafdb", folder, "test")) == 14


def test_folders_of_other_labels_are_counted(copied, load, draw_face, caplog):
    draw_face(copied / "DATASET/test/8/test_1_aligned.jpg", 1)
    assert Counter(load("rafdb", copied, "test")["label"][:]) == dict.fromkeys(range(7), 2)
    assert "rafdb (test): skipped 1 (categories outside the vocabulary: 1)" in caplog.text


def test_compound_expressions_are_not_taken_for_basic_ones(make, load):
    folder = make("rafdb")
    shutil.copytree(folder / "basic", folder / "compound")
    assert {name.split("/")[0] for name in load("rafdb", folder, "train")["file"][:]} == {"basic"}
    shutil.rmtree(folder / "basic")
    with pytest.raises(CorpusError, match="expected basic/ with Image/aligned/"):
        load("rafdb", folder, "train")
