"""Files in folders and archives."""

import pickle

from leed_hub.data.corpora.corpus import person_share
from leed_hub.data.corpora.files import CorpusFiles


def test_tables_are_read_with_byte_order_mark_crlf_and_semicolons(tmp_path):
    (tmp_path / "a.csv").write_bytes("\ufeffname;age\r\nJosé;3\r\n".encode())
    (tmp_path / "b.csv").write_bytes(b"name,points\nJos\xe9,1;2\n")
    files = CorpusFiles(str(tmp_path))
    assert list(files.lines("a.csv")) == [["name", "age"], ["José", "3"]]
    assert list(files.lines("b.csv")) == [["name", "points"], ["Jos\ufffd", "1;2"]]


def test_archive_and_folder_list_and_read_alike(tmp_path, draw_face, zip_folder):
    draw_face(tmp_path / "c/deep/ä ö.jpg", 1)
    draw_face(tmp_path / "c/__MACOSX/x.jpg", 1)
    (tmp_path / "c/deep/._ä ö.jpg").write_bytes(b"junk")
    folder, archive = CorpusFiles(str(tmp_path / "c")), CorpusFiles(str(zip_folder(tmp_path / "c")))
    assert folder.names == archive.names == ["deep/ä ö.jpg"]
    assert folder.read("deep/ä ö.jpg") == archive.read("deep/ä ö.jpg")
    assert pickle.loads(pickle.dumps(archive)).read("deep/ä ö.jpg") == folder.read("deep/ä ö.jpg")
    assert archive.inner().names == ["ä ö.jpg"]
    assert archive.inner().read("ä ö.jpg") == folder.read("deep/ä ö.jpg")


def test_share_of_a_person_never_changes():
    # sha256("01") = 938db8c9...
    assert person_share("01") == 0x938DB8C9F82C8CB5 / 2**64
    shares = [person_share(str(person)) for person in range(2000)]
    assert 0.77 < sum(share < 0.8 for share in shares) / 2000 < 0.83
