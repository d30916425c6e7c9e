"""Face tables know what their corpora tell, and no more."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from leed_hub.data import load_corpus
from leed_hub.data.pairing import FaceTable
from leed_hub.data.tables import group_numbers, joined, photograph_table, rendered_table
from leed_hub.errors import CorpusError
from leed_hub.faces import Face, build_locator
from leed_hub.models.leed import LEEDConfig

TEMPLATE = LEEDConfig().template


def small_table(count: int) -> FaceTable:
    return FaceTable(
        images=torch.zeros(count, 3, 8, 8, dtype=torch.uint8),
        setup=torch.tensor([0] * (count - 1) + [-1]),
        is_neutral=torch.zeros(count, dtype=torch.bool),
        twin=torch.tensor([count - 1] + [-1] * (count - 1)),
        repeats=torch.ones(count, dtype=torch.long),
        corpus=torch.zeros(count, dtype=torch.long),
    )


def test_equal_keys_share_a_number_and_unknown_ones_have_none():
    assert group_numbers(["a", None, "b", "a"]).tolist() == [0, -1, 1, 0]


def test_joined_tables_keep_their_groups_apart_and_their_twins_together():
    both = joined([small_table(3), small_table(2)])
    assert both.setup.tolist() == [0, 0, -1, 1, -1]
    assert both.twin.tolist() == [2, -1, -1, 4, -1]
    assert both.corpus.tolist() == [0, 0, 0, 1, 1]
    assert all(len(getattr(both, field.name)) == 5 for field in dataclasses.fields(both))


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
    locate = build_locator("yunet")
    table = photograph_table("london", str(london), "train", TEMPLATE, locate, repeats=4, without=("003",))
    assert table.images.shape == (4, 3, 192, 192)
    assert table.is_neutral.sum() == 2 and table.repeats.tolist() == [4] * 4
    for setup in table.setup.unique():
        neutral, smile = (
            locate(table.images[(table.setup == setup) & (table.is_neutral == flag)][0].permute(1, 2, 0).numpy())[0]
            for flag in (True, False)
        )
        eyes = abs(neutral.points[:2] - smile.points[:2]).max()
        assert eyes < 5  # of 192 pixels


def test_pictures_without_a_face_are_left_out_and_none_at_all_is_an_error(london):
    with pytest.raises(CorpusError, match="No face"):
        photograph_table("london", str(london), "train", TEMPLATE, lambda photo: [])
    seen = iter([[]] + [[Face((0, 0, 1, 1), 1.0, photo_points())]] * 10)
    table = photograph_table("london", str(london), "train", TEMPLATE, lambda photo: next(seen))
    assert len(table.images) == 5


def test_pictures_taken_alone_form_no_setups_and_have_no_known_expression(london):
    def locate(photo):
        return [Face((0, 0, 1, 1), 1.0, photo_points())]

    assert photograph_table("london", str(london), "train", TEMPLATE, locate).is_neutral.any()
    table = photograph_table("london", str(london), "train", TEMPLATE, locate, alone=True)
    assert (table.setup == -1).all() and not table.is_neutral.any()


def test_face_crops_of_any_folder_are_taken_whole_and_broken_files_left_out(tmp_path):
    pictures = np.random.default_rng(0).integers(0, 256, (3, 192, 240, 3), np.uint8)
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes((tmp_path / "2.png").read_bytes()[:5000])
    table = photograph_table("folder", str(tmp_path), "train", TEMPLATE, None)
    whole = torch.from_numpy(pictures[:2, :, 24:-24].copy()).permute(0, 3, 1, 2)
    assert (table.images.int() - whole.int()).abs().max() <= 2
    assert table.setup.tolist() == [-1, -1] and not table.is_neutral.any()


def photo_points():
    return np.array([[180, 200], [330, 200], [256, 280], [200, 350], [310, 350]], dtype=np.float32)


def test_renders_know_setup_neutral_and_twins_and_leave_persons_out(shared):
    folder = str(shared / "corpora" / "rendered_faces")
    table = rendered_table(folder, only=("004", "032"))
    anchors = table.repeats > 0
    of_both = load_corpus("rendered_faces", folder, "train").filter(
        lambda person: person in ("004", "032"), input_columns="subject"
    )
    assert anchors.sum() == len(of_both) > 0
    assert (table.setup[anchors] >= 0).all() and (table.setup[~anchors] == -1).all()
    setups = table.setup[anchors & table.is_neutral]
    assert len(setups.unique()) == len(setups)  # one neutral picture a setup
    twins = table.twin[table.twin >= 0]
    assert len(twins) and not anchors[twins].any()
