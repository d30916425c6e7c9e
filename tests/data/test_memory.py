"""Pictures in a mapped file and joined ones: the same as in memory, written once, whole or not at all."""

import os
import time
from collections import namedtuple

import pytest
import torch

from leed_hub.data import memory
from leed_hub.data.memory import JoinedPictures, cache_folder, mapped_pictures
from leed_hub.errors import ConfigError

SHAPE = (3, 1, 4, 4)


def fill(pictures):
    assert not pictures.any()
    pictures[:] = 7
    pictures[2] = 9


def forbidden(pictures):
    pytest.fail("written again")


def test_a_file_is_written_once_and_what_is_written_to_the_tensor_does_not_reach_it(tmp_path):
    file = tmp_path / "new" / "a.npy"
    first = mapped_pictures(file, SHAPE, fill)
    assert first.shape == SHAPE and first.dtype == torch.uint8
    assert first[2].eq(9).all() and first[:2].eq(7).all()
    first[0] = 1
    assert mapped_pictures(file, SHAPE, forbidden)[0].eq(7).all()


def test_a_writing_that_was_cut_off_is_begun_again(tmp_path):
    def cut_off(pictures):
        pictures[0] = 200
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mapped_pictures(tmp_path / "a.npy", SHAPE, cut_off)
    assert not (tmp_path / "a.npy").exists()
    assert mapped_pictures(tmp_path / "a.npy", SHAPE, fill)[0].eq(7).all()


def test_a_full_disk_is_said_before_anything_is_written(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(100, 60, 47)
    monkeypatch.setattr(memory.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(ConfigError, match="needs room for"):
        mapped_pictures(tmp_path / "a.npy", SHAPE, forbidden)
    monkeypatch.setattr(memory.shutil, "disk_usage", lambda folder: usage._replace(free=48))
    mapped_pictures(tmp_path / "a.npy", SHAPE, fill)


def test_the_cache_forgets_what_nothing_has_read_for_a_month(tmp_path, monkeypatch):
    monkeypatch.setenv("LEED_HUB_CACHE", str(tmp_path))
    folder = cache_folder("tables")
    assert folder == tmp_path / "tables"
    for name, days in (("new", 0), ("old", 31), ("read", 31)):
        (folder / name).write_text(name)
        written = time.time() - days * 24 * 3600
        os.utime(folder / name, (written if name == "old" else time.time(), written))
    (folder / "gone").symlink_to(tmp_path / "gone")  # as a file that another process deletes meanwhile
    assert {path.name for path in cache_folder("tables").iterdir()} == {"new", "read", "gone"}


def test_joined_pictures_read_as_their_concatenation():
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randint(0, 256, (n, 2, 4, 4), dtype=torch.uint8, generator=generator) for n in (3, 1, 5)]
    joined, whole = JoinedPictures(parts), torch.cat(parts)
    assert len(joined) == 9 and joined.shape == (9, 2, 4, 4)
    positions = torch.tensor([8, 0, 3, 3, 2, 4, 7])
    assert torch.equal(joined[positions], whole[positions])
    assert torch.equal(joined[torch.arange(9)], whole)
    assert all(part is own for part, own in zip(joined.parts, parts, strict=True))
    kept = torch.tensor([1, 4, 3])
    some = JoinedPictures(parts, kept)
    assert len(some) == 3 and some.shape == (3, 2, 4, 4)
    assert torch.equal(some[torch.tensor([2, 0])], whole[[3, 1]])
