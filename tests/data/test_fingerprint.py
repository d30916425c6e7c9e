import re

import pytest

from leed_hub.data.fingerprint import corpus_fingerprint
from leed_hub.errors import CorpusError


def test_a_fingerprint_depends_on_the_files_alone(make, zip_folder, tmp_path):
    folder = make("fer2013")
    found = corpus_fingerprint("fer2013", folder)
    assert re.fullmatch("[0-9a-f]{16}", found)
    archive = zip_folder(folder, "packed/")
    moved = folder.rename(tmp_path / "moved")
    (moved / "train").touch()
    assert corpus_fingerprint("fer2013", moved) == found == corpus_fingerprint("fer2013", archive)


def test_a_change_of_a_table_or_of_a_pictures_size_or_name_is_seen(make):
    folder = make("facial_expressions")
    found = [corpus_fingerprint("facial_expressions", folder)]
    table = folder / "data/legend.csv"
    table.write_text(table.read_text().replace("happiness", "sadnesses", 1))
    found.append(corpus_fingerprint("facial_expressions", folder))
    picture = next((folder / "images").iterdir())
    picture.write_bytes(picture.read_bytes() + b"\0")
    found.append(corpus_fingerprint("facial_expressions", folder))
    picture.rename(picture.with_name("other.jpg"))
    found.append(corpus_fingerprint("facial_expressions", folder))
    assert len(set(found)) == 4


def test_a_wrong_name_or_folder_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="There is no corpus 'faces'"):
        corpus_fingerprint("faces", tmp_path)
    with pytest.raises(CorpusError, match="expected"):
        corpus_fingerprint("rendered_people", tmp_path)


def test_shared_corpora_have_the_fingerprint_they_were_used_with(corpora):
    assert corpus_fingerprint("rendered_people", corpora / "rendered_people") == "dfa5fc438ca5088f"
