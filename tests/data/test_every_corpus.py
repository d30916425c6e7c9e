"""The contract that every builder keeps."""

import logging
import multiprocessing
import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import datasets
import pytest
from PIL import Image

from leed_hub.data import CORPORA, load_corpus
from leed_hub.errors import CorpusError
from leed_hub.media.images import ENDINGS
from leed_hub.models.labels import EXPRESSIONS, UNLABELLED

EVERY_CONFIG = [(name, config) for name in CORPORA for config in CORPORA[name].splits]
NAMES_PERSONS = ["facial_expressions", "london", "rafd", "cfee", "rendered_faces"]


@pytest.mark.parametrize(("name", "config"), EVERY_CONFIG)
def test_streaming_equals_the_cached_table(make, load, name, config):
    folder = make(name)
    for split in CORPORA[name].splits[config]:
        table = undecoded(load(name, folder, split, config=config))
        stream = undecoded(load(name, folder, split, config=config, streaming=True))
        # A stream's numbers are not yet rounded to float32, so both become tables.
        assert list(datasets.Dataset.from_list(list(stream), features=table.features)) == list(table)
        assert list(pickle.loads(pickle.dumps(stream))) == list(stream)  # as a loader's worker gets it


def undecoded(rows):
    for name, feature in rows.features.items():
        if isinstance(feature, datasets.Image):
            rows = rows.cast_column(name, datasets.Image(decode=False))
    return rows


@pytest.mark.parametrize("name", CORPORA)
def test_rows_have_the_common_columns_and_readable_pictures(make, load, name):
    folder = make(name)
    config = next(iter(CORPORA[name].splits))
    for split in CORPORA[name].splits[config]:
        rows = load(name, folder, split)
        assert rows.features["label"].names == list(EXPRESSIONS)
        assert isinstance(rows.features["image"], datasets.Image)
        for row in rows:
            assert row["image"].convert("RGB").size in {(32, 32), (48, 48)}
            assert UNLABELLED <= row["label"] < len(EXPRESSIONS)
            assert row["subject"] is None or isinstance(row["subject"], str)
            assert (folder / row["file"]).is_file()


@pytest.mark.parametrize("name", sorted(CORPORA.keys() - {"folder"}))
def test_info_states_licence_citation_and_homepage(make, name, tmp_path):
    info = CORPORA[name](data_dir=str(make(name)), cache_dir=str(tmp_path / "cache")).info
    assert info.license
    assert info.citation.startswith("@")
    assert info.homepage.startswith("https://")


@pytest.mark.parametrize("name", CORPORA)
@pytest.mark.parametrize("folder", ["missing", "empty", "wrong"])
def test_wrong_folder_is_refused_in_one_line_that_tells_the_layout_and_whom_to_ask(name, folder, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "wrong/photos").mkdir(parents=True)
    (tmp_path / "wrong/photos/me.txt").write_text("hello")
    with pytest.raises(CorpusError) as error:
        load_corpus(name, tmp_path / folder, CORPORA[name].splits[next(iter(CORPORA[name].splits))][0])
    text, about = str(error.value), CORPORA[name].about
    assert "\n" not in text
    assert f"expected {about.layout} in {tmp_path / folder}, found" in text
    assert text.endswith(about.access)
    assert ("found photos/." if folder == "wrong" else "found no files.") in text


@pytest.mark.parametrize("name", NAMES_PERSONS)
def test_no_person_is_in_two_splits(make, load, name):
    folder = make(name)
    held_out = "test" if name == "facial_expressions" else "validation"
    train, held_out = (set(load(name, folder, split)["subject"][:]) - {None} for split in ("train", held_out))
    assert train and held_out
    assert not train & held_out


@pytest.mark.parametrize("name", CORPORA)
def test_a_picture_taken_away_is_gone_from_the_rows(make, load, name):
    folder = make(name)
    config = next(iter(CORPORA[name].splits))
    split = CORPORA[name].splits[config][0]
    before = load(name, folder, split, config=config)
    (folder / before[0]["file"]).unlink()
    after = load(name, folder, split, config=config)
    assert after._fingerprint != before._fingerprint
    assert after["file"][:] == before["file"][1:]


@pytest.mark.parametrize("name", CORPORA)
def test_empty_and_false_pictures_are_skipped_with_a_count(make, load, name, caplog):
    folder = make(name)
    split = next(iter(CORPORA[name].splits.values()))[0]
    files = load(name, folder, split)["file"][:]
    (folder / files[0]).write_bytes(b"")
    (folder / files[1]).write_text("<html>please log in</html>")
    with caplog.at_level(logging.WARNING, logger="leed_hub"):
        rows = load(name, folder, split)
    assert rows["file"][:] == files[2:]
    assert [record.message for record in caplog.records if "pictures missing or unreadable: 2" in record.message]


@pytest.mark.parametrize("name", ["fer2013", "rendered_people"])
def test_a_picture_that_cannot_be_used_is_skipped_by_name(make, load, name, caplog):
    folder = make(name)
    split = next(iter(CORPORA[name].splits.values()))[0]
    cut, tiny, large, *kept = load(name, folder, split)["file"][:]
    whole = (folder / cut).read_bytes()
    (folder / cut).write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (5, 5)).save(folder / tiny)
    Image.new("1", (8000, 6000)).save(folder / large, "PNG")  # the first bytes count, not the name
    rows = load(name, folder, split)
    assert rows["file"][:] == kept
    assert [row["image"].convert("RGB").getpixel((0, 0)) for row in rows]  # all of them decode
    assert f"pictures missing or unreadable: 3 ({cut}, {tiny}, {large})" in caplog.text


@pytest.mark.parametrize("name", ["fer2013", "affectnet", "rendered_faces"])
@pytest.mark.parametrize("suffix", [".tar.gz", ".rar", ".zip.001"])
def test_a_corpus_still_packed_says_what_to_do(name, suffix, tmp_path):
    packed = tmp_path / f"{name}{suffix}"
    packed.write_bytes(b"not opened")
    for place in (packed, tmp_path):
        with pytest.raises(CorpusError, match=rf"still packed: unpack {packed.name} and give the folder it makes"):
            CORPORA[name](data_dir=str(place))


def test_a_corpus_packed_in_several_folders_is_found(make, load, zip_folder):
    folder = make("fer2013")
    expected = load("fer2013", folder, "train")["label"][:]
    assert load("fer2013", zip_folder(folder, "archive/data/fer2013/"), "train")["label"][:] == expected


def test_a_corpus_behind_a_password_says_what_to_do(make, zip_folder):
    packed = zip_folder(make("fer2013"))
    content = packed.read_bytes()
    flags = content.index(b"PK\x01\x02") + 8  # of the first entry in the central directory
    packed.write_bytes(content[:flags] + b"\x01" + content[flags + 1 :])
    with pytest.raises(CorpusError, match="needs a password: unpack it and give the folder"):
        CORPORA["fer2013"](data_dir=str(packed))


def test_names_that_are_no_text_are_read(make, load, tmp_path, draw_face):
    path = draw_face(tmp_path / "faces/plain.jpg", 1)
    os.rename(path, os.fsencode(tmp_path) + b"/faces/caf\xe9.jpg")
    (row,) = load("folder", tmp_path / "faces", "train")
    assert row["file"] == "caf\ufffd.jpg" and row["image"].size == (32, 32)


def test_pictures_of_any_ending_are_in_a_folder_of_faces(load, draw_face, tmp_path):
    for number, ending in enumerate(ENDINGS):
        path = draw_face(tmp_path / f"faces/{number}.jpg", number)
        path.rename(path.with_suffix(ending.upper()))
    assert len(load("folder", tmp_path / "faces", "train")) == len(ENDINGS)


def _build(folder: str, cache: str) -> int:
    return len(load_corpus("fer2013", folder, "train", cache_dir=cache))


@pytest.mark.slow
def test_two_processes_that_build_at_once_get_the_same_rows(make, tmp_path):
    folder, cache = str(make("fer2013")), str(tmp_path / "cache")
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(_build, [folder] * 2, [cache] * 2)) == [7, 7]
    assert not list(Path(cache).rglob("*.incomplete"))


def test_skips_are_said_once_however_often_a_stream_is_read(make, load, caplog):
    stream = load("affectnet", make("affectnet"), "train", streaming=True)
    assert len(list(stream)) == len(list(stream)) == 8
    assert caplog.text.count("affectnet (train): skipped 3") == 1


def test_a_changed_file_gives_new_rows(make, load, draw_face):
    folder = make("fer2013")
    before = load("fer2013", folder, "train")
    draw_face(folder / "train/happy/Training_99.jpg", 99, 48)
    after = load("fer2013", folder, "train")
    assert len(after) == len(before) + 1
    (folder / "train/happy/Training_99.jpg").write_bytes((folder / "train/sad/Training_4.jpg").read_bytes())
    assert load("fer2013", folder, "train")._fingerprint != after._fingerprint


def test_an_unchanged_corpus_comes_from_the_cache(make, load, monkeypatch):
    folder = make("london")
    before = load("london", folder, "train")
    monkeypatch.setattr(CORPORA["london"], "rows", lambda *_: pytest.fail("built again"))
    assert list(load("london", folder, "train")) == list(before)


def test_relative_and_absolute_folders_are_one(make, load, monkeypatch):
    folder = make("london")
    monkeypatch.chdir(folder.parent)
    relative = load("london", folder.name, "train")
    monkeypatch.chdir("/")
    assert relative[0]["image"].size == (32, 32)
    assert relative._fingerprint == load("london", folder, "train")._fingerprint


def test_unknown_names_are_refused_with_the_choices(make, load):
    with pytest.raises(CorpusError, match="no corpus 'faces'; choose one of affectnet, cfee, .*rendered_faces"):
        load("faces", ".", "train")
    with pytest.raises(CorpusError, match="Which folder or archive holds fer2013"):
        load("fer2013", None, "train")
    with pytest.raises(CorpusError, match="fer2013 has no split 'test'; choose from train, test_public, test_private"):
        load("fer2013", make("fer2013"), "test")
    with pytest.raises(CorpusError, match="affectnet has no config 'six'; choose one of eight, seven"):
        load("affectnet", ".", "train", config="six")


def test_splits_join_and_cut(make, load):
    folder = make("fer2013")
    both = load("fer2013", folder, "test_public+test_private")
    assert len(both) == 14
    assert len(list(load("fer2013", folder, "test_public + test_private", streaming=True))) == 14
    assert load("fer2013", folder, "train[:3]")["file"][:] == load("fer2013", folder, "train")["file"][:3]
    with pytest.raises(CorpusError, match="cannot be cut"):
        load("fer2013", folder, "train[:3]", streaming=True)
    with pytest.raises(CorpusError, match="'train\\[:0\\]' cannot be read"):
        load("fer2013", folder, "train[:0]")


def test_an_error_of_ours_is_not_hidden_by_the_one_of_datasets(make, load):
    folder = make("facial_expressions")
    (folder / "data/legend.csv").write_text("picture,mood\na.jpg,happy\n")
    with pytest.raises(CorpusError, match="found the columns picture, mood instead of image, emotion"):
        load("facial_expressions", folder, "train")


def test_a_broken_table_becomes_a_corpus_error(make, load):
    folder = make("rendered_faces")
    (folder / "train/metadata.parquet").write_bytes(b"not parquet")
    with pytest.raises(CorpusError, match="rendered_faces could not be read from"):
        load("rendered_faces", folder, "train")


def test_a_split_without_pictures_is_refused(make, load):
    folder = make("london")
    for path in folder.glob("*/005_*"):
        path.unlink()
    with pytest.raises(CorpusError, match="no picture of the split 'validation'"):
        load("london", folder, "validation")
