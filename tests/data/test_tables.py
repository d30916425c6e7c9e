"""Face tables know what their corpora tell, and no more."""

import dataclasses
import multiprocessing
import os
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from leed_hub.data import load_corpus
from leed_hub.data.memory import decode_images, mapped_pictures
from leed_hub.data.pairs import FaceTable
from leed_hub.data.tables import (
    _points,
    cached_table,
    group_numbers,
    joined,
    person_numbers,
    photograph_table,
    rendered_table,
)
from leed_hub.errors import CorpusError
from leed_hub.faces.detectors import build_detector
from leed_hub.faces.face import Face
from leed_hub.models.leed import LEEDConfig

TEMPLATE = LEEDConfig().template


def small_table(count: int) -> FaceTable:
    return FaceTable(
        images=torch.zeros(count, 3, 8, 8, dtype=torch.uint8),
        setup=torch.tensor([0] * (count - 1) + [-1]),
        is_neutral=torch.zeros(count, dtype=torch.bool),
        expression=torch.tensor([7] * (count - 1) + [-1]),
        person=torch.arange(count),
        landmarks=torch.full((count, 68, 2), torch.nan),
        repeats=torch.ones(count, dtype=torch.long),
        corpus=torch.zeros(count, dtype=torch.long),
    )


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LEED_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_one_person_has_one_number_in_every_corpus():
    numbers = person_numbers(["004", None, "ann", "004"]).tolist()
    assert numbers[0] == numbers[3] != numbers[2] and numbers[1] == -1


def test_equal_keys_share_a_number_and_unknown_ones_have_none():
    assert group_numbers(["a", None, "b", "a"]).tolist() == [0, -1, 1, 0]


def test_joined_tables_keep_their_groups_apart_and_their_persons_together():
    both = joined([small_table(3), small_table(2)])
    assert both.setup.tolist() == [0, 0, -1, 1, -1]
    assert both.expression.tolist() == [7, 7, -1, 15, -1]
    assert both.person.tolist() == [0, 1, 2, 0, 1]
    assert both.corpus.tolist() == [0, 0, 0, 1, 1]
    assert all(len(getattr(both, field.name)) == 5 for field in dataclasses.fields(both))


def test_a_table_is_made_once_and_then_read_from_the_cache(cache):
    made = []

    def make() -> FaceTable:
        made.append(1)
        return dataclasses.replace(small_table(2), images=torch.full((2, 3, 8, 8), 9, dtype=torch.uint8))

    first, again = (cached_table(("corpus", 1), make) for _ in range(2))
    assert len(made) == 1 and (again.images == 9).all()
    assert all(
        torch.equal(value.nan_to_num(), getattr(again, name).nan_to_num()) for name, value in vars(first).items()
    )
    cached_table(("corpus", 2), make)
    assert len(made) == 2
    assert not list(cache.rglob("*.partial"))


def make_both(folder: Path) -> bool:
    """Begins at once with another process, and tells whether it got what one of them made."""

    def made(what: str) -> None:
        with open(folder / "made", "a") as file:
            file.write(f"{what}\n")
        time.sleep(0.3)

    def make() -> FaceTable:
        made("table")
        return small_table(2)

    def fill(pictures: np.ndarray) -> None:
        made("pictures")
        pictures[:] = 7

    os.environ["LEED_HUB_CACHE"] = str(folder)
    (folder / f"ready_{os.getpid()}").touch()
    while len(list(folder.glob("ready_*"))) < 2:
        time.sleep(0.01)
    table = cached_table(("corpus",), make)
    pictures = mapped_pictures(folder / "pictures.npy", (3, 1, 4, 4), fill)
    return table.setup.tolist() == [0, -1] and bool((pictures == 7).all())


@pytest.mark.slow
def test_of_two_processes_one_makes_and_the_other_waits(tmp_path):
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(make_both, [tmp_path] * 2)) == [True, True]
    assert (tmp_path / "made").read_text().split() == ["table", "pictures"]


@pytest.fixture(scope="module")
def london(shared, tmp_path_factory):
    """Three persons of the London set, the whole of which would take a while to align."""
    folder = tmp_path_factory.mktemp("london")
    for part in ("neutral_front", "smiling_front"):
        (folder / part).mkdir()
        for path in (shared / "corpora" / "london" / part).glob("00[123]_*"):
            shutil.copy(path, folder / part)
    shutil.copy(shared / "corpora" / "london" / "london_info.csv", folder)
    return folder


def test_a_persons_photographs_form_a_setup_framed_alike(london):
    locate = build_detector("yunet")
    table = photograph_table("london", str(london), "train", TEMPLATE, repeats=4, without=("003",))
    assert table.images.shape == (4, 3, 160, 160)
    assert table.is_neutral.sum() == 2 and table.repeats.tolist() == [4] * 4
    for setup in table.setup.unique():
        neutral, smile = (
            locate(table.images[(table.setup == setup) & (table.is_neutral == flag)][0].permute(1, 2, 0).numpy())[0]
            for flag in (True, False)
        )
        eyes = abs(neutral.points[:2] - smile.points[:2]).max()
        assert eyes < 4  # of 160 pixels


def test_pictures_without_a_face_are_left_out_and_none_at_all_is_an_error(london, tmp_path, monkeypatch):
    monkeypatch.setenv("LEED_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("leed_hub.data.tables.build_detector", lambda name: lambda photo: [])
    with pytest.raises(CorpusError, match="No face"):
        photograph_table("london", str(london), "train", TEMPLATE)
    seen = iter([[]] + [[Face((0, 0, 1, 1), 1.0, photo_points())]] * 10)
    monkeypatch.setattr("leed_hub.data.tables.build_detector", lambda name: lambda photo: next(seen))
    table = photograph_table("london", str(london), "train", TEMPLATE)
    assert len(table.images) == 5


def test_pictures_taken_alone_form_no_setups_and_have_no_known_expression(london):
    known = photograph_table("london", str(london), "train", TEMPLATE)
    assert known.is_neutral.any() and known.landmarks.isnan().all() and (known.expression == -1).all()
    table = photograph_table("london", str(london), "train", TEMPLATE, alone=True)
    assert (table.setup == -1).all() and not table.is_neutral.any()


def test_face_crops_of_any_folder_are_taken_whole_and_broken_files_left_out(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (3, 160, 200, 3), np.uint8)
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes((tmp_path / "2.png").read_bytes()[:5000])
    table = photograph_table("folder", str(tmp_path), "train", TEMPLATE, "none")
    whole = torch.from_numpy(pictures[:2, :, 20:-20].copy()).permute(0, 3, 1, 2)
    assert (table.images.int() - whole.int()).abs().max() <= 2
    assert table.setup.tolist() == [-1, -1] and not table.is_neutral.any()


def photo_points():
    return np.array([[180, 200], [330, 200], [256, 280], [200, 350], [310, 350]], dtype=np.float32)


def test_renders_know_setup_neutral_and_wearers_and_leave_persons_out(shared):
    folder = str(shared / "corpora" / "rendered_faces")
    table = rendered_table("rendered_faces", folder, only=("004", "032"))
    indices = table.repeats > 0
    of_both = load_corpus("rendered_faces", folder, "train").filter(
        lambda person: person in ("004", "032"), input_columns="subject"
    )
    assert indices.sum() == len(of_both) > 0
    assert (table.setup[indices] >= 0).all() and (table.setup[~indices] == -1).all()
    setups = table.setup[indices & table.is_neutral]
    assert len(setups.unique()) == len(setups)  # one neutral picture a setup
    assert ((table.expression == -1) == table.is_neutral).all()
    assert set(table.expression[~indices].tolist()) - set(table.expression[indices].tolist())  # twins of others' faces
    assert table.landmarks.abs().max() < 1.3


def test_people_share_expressions_across_splits_and_go_with_anyone_who_is_in_them(make):
    folder = str(make("rendered_people"))
    table = rendered_table("rendered_people", folder, repeats={"photographs": 3})
    assert table.corpus.tolist() == [0, 0, 0, 0, 0, 1, 1, 1]
    assert table.repeats.tolist() == [1] * 5 + [3] * 3
    assert table.setup.tolist() == [0, 0, 0, 1, 1, 2, 2, 2]
    assert table.expression.tolist() == [-1, 7, 8, -1, 7, -1, 7, 8]
    assert len(table.person.unique()) == 3
    assert (
        len(rendered_table("rendered_people", folder, without=("1003",))) == 3
    )  # the blended person has its inner face
    assert len(rendered_table("rendered_people", folder, only=("004",))) == 5
    rows = [load_corpus("rendered_people", folder, split) for split in ("posed", "photographs")]
    assert torch.equal(table.images[torch.arange(8)], torch.cat([decode_images(part, 160) for part in rows]))
    assert [len(part) for part in table.images.parts] == [5, 3]  # those of the cache, not copied
    for part, first in zip(rows, (0, 5), strict=True):
        points = (np.array(part["landmarks"][:], np.float32) + 0.5) / part[0]["image"].width * 2 - 1
        assert np.abs(table.landmarks[first : first + len(part)].numpy() - points).max() < 1e-6
    turned = rows[0].select([2, 0])
    assert np.array_equal(_points(turned, "landmarks"), np.array(turned["landmarks"][:], np.float32))
