"""FER2013 in its three forms."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from leed_hub.errors import CorpusError
from leed_hub.models.labels import EXPRESSIONS

SPLITS = ("train", "test_public", "test_private")
USAGE = {"Training": "train", "PublicTest": "test_public", "PrivateTest": "test_private"}
CODES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def write_csv(folder, target, *, header="emotion,pixels,Usage", start="", newline="\n"):
    """The folder's pictures as the original table."""
    lines = [header]
    for path in sorted(folder.rglob("*.jpg")):
        pixels = " ".join(str(value) for value in np.asarray(Image.open(path).convert("L")).ravel())
        lines.append(f"{CODES.index(path.parent.name)},{pixels},{path.name.split('_')[0]}")
    if header.startswith("emotion, Usage"):
        lines[1:] = [",".join((line.split(",")[0], line.split(",")[2], line.split(",")[1])) for line in lines[1:]]
    target.parent.mkdir(exist_ok=True)
    target.write_bytes((start + newline.join(lines) + newline).encode())
    return target


def faces(rows):
    """Label and grey pixels of each row, in no order."""
    return Counter((row["label"], row["image"].convert("L").tobytes()) for row in rows)


def test_labels_and_splits_are_those_of_the_folders(make, load):
    folder = make("fer2013")
    rows = load("fer2013", folder, "train")
    labels = {row["file"].split("/")[1]: EXPRESSIONS[row["label"]] for row in rows}
    assert labels == {
        "angry": "anger",
        "disgust": "disgust",
        "fear": "fear",
        "happy": "happiness",
        "neutral": "neutral",
        "sad": "sadness",
        "surprise": "surprise",
    }
    for split, prefix in (("test_public", "PublicTest_"), ("test_private", "PrivateTest_")):
        files = load("fer2013", folder, split)["file"][:]
        assert len(files) == 7
        assert all(file.split("/")[-1].startswith(prefix) for file in files)


def test_folder_zip_and_csv_give_the_same_faces(make, load, zip_folder, tmp_path):
    folder = make("fer2013")
    # Lossless pictures, so that the table can hold the very same pixels.
    for path in folder.rglob("*.jpg"):
        Image.open(path).convert("L").save(path, "PNG")
    plain = write_csv(folder, tmp_path / "plain/fer2013.csv")
    icml = write_csv(
        folder, tmp_path / "icml/icml_face_data.csv", header="emotion, Usage, pixels", start="\ufeff", newline="\r\n"
    )
    archives = zip_folder(folder), zip_folder(plain.parent, "fer2013/")
    for split in SPLITS:
        expected = faces(load("fer2013", folder, split))
        assert sum(expected.values()) == 7
        for place in (plain, plain.parent, icml.parent, *archives):
            assert faces(load("fer2013", place, split)) == expected
    assert load("fer2013", plain, "train")[0]["file"].startswith("fer2013.csv#")


def test_a_zip_below_one_folder_is_read_in_place(make, load, zip_folder):
    folder = make("fer2013")
    rows = load("fer2013", zip_folder(folder, "fer2013/"), "train")
    assert rows["file"][:] == load("fer2013", folder, "train")["file"][:]


def test_unusable_lines_are_skipped_with_a_count(make, load, tmp_path, caplog):
    table = write_csv(make("fer2013"), tmp_path / "csv/fer2013.csv")
    with table.open("a") as file:
        file.write(f"9,{'0 ' * 2304},Training\n3,1 2 3,Training\n3,{'300 ' * 2304},Training\nonly one field\n")
    assert len(load("fer2013", table, "train")) == 7
    assert "skipped 4" in caplog.text
    assert "broken lines: 1" in caplog.text
    assert "categories outside the vocabulary: 1" in caplog.text
    assert "48x48 numbers of 0..255: 2" in caplog.text


def test_unknown_class_folders_and_file_names_are_counted(make, load, draw_face, caplog):
    folder = make("fer2013")
    draw_face(folder / "train/bored/Training_9.jpg", 1)
    draw_face(folder / "test/sad/Other_9.jpg", 1)
    assert len(load("fer2013", folder, "train")) == 7
    assert len(load("fer2013", folder, "test_public")) == 7
    assert "fer2013 (train): skipped 1 (categories outside the vocabulary: 1)" in caplog.text
    assert "fer2013 (test_public): skipped 1" in caplog.text


def test_a_table_without_its_columns_is_refused(tmp_path, load):
    (tmp_path / "fer2013.csv").write_text("a,b\n1,2\n")
    with pytest.raises(CorpusError, match="found the columns a, b instead of emotion, pixels, Usage"):
        load("fer2013", tmp_path, "train")


def test_a_cut_archive_is_refused(make, load, zip_folder):
    archive = zip_folder(make("fer2013"))
    archive.write_bytes(archive.read_bytes()[:2000])
    with pytest.raises(CorpusError, match="found fer2013.zip"):
        load("fer2013", archive, "train")


def test_shared_corpus_has_the_published_counts(corpora, load_shared):
    counts = {}
    for split in SPLITS:
        rows = load_shared("fer2013", corpora / "fer2013.zip", split)
        counts[split] = Counter(EXPRESSIONS[label] for label in rows["label"][:])
        assert rows[0]["image"].size == (48, 48)
    assert {split: sum(count.values()) for split, count in counts.items()} == {
        "train": 28709,
        "test_public": 3589,
        "test_private": 3589,
    }
    assert counts["train"]["happiness"] == 7215
    assert counts["train"]["disgust"] == 436
    assert counts["test_private"]["neutral"] == 626
