"""The pipelines on the bundled weights and real faces: what a user may rely on."""

import numpy as np
import pytest
import torch
from conftest import portrait
from PIL import Image, ImageOps

import leed_hub
from leed_hub import ExpressionEditor, ExpressionRecognizer, edit_many
from leed_hub.errors import BadImageError, ConfigError, ModelLoadError, NoFaceError
from leed_hub.media.images import load_image, on_white
from leed_hub.media.provenance import save_edited
from leed_hub.models.checkpoint import BUNDLED

LIMIT_BYTES = 16_000_000


@pytest.fixture(scope="module")
def editor() -> ExpressionEditor:
    return ExpressionEditor.from_pretrained()


@pytest.fixture(scope="module")
def recognizer() -> ExpressionRecognizer:
    return ExpressionRecognizer.from_pretrained()


@pytest.fixture(scope="module")
def neutral() -> Image.Image:
    return portrait("source")


@pytest.fixture(scope="module")
def smile() -> Image.Image:
    return portrait("happiness")


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize("name", ["editor", "recognizer"])
def test_bundled_files_are_whole_and_small_and_come_with_a_card(name):
    files = {path.name: path.stat().st_size for path in (BUNDLED / name).iterdir()}
    extra = {"controls.json"} if name == "editor" else set()
    assert files.keys() == {"config.json", "model.safetensors", "README.md"} | extra
    assert max(files.values()) <= LIMIT_BYTES


def test_an_edit_changes_the_mouth_and_leaves_the_rest_of_the_photograph_alone(editor, neutral, smile):
    result = editor(neutral, smile)
    assert result.image.size == neutral.size
    assert result.detector == "yunet"
    change = np.abs(pixels(result.image) - pixels(neutral)).max(axis=2)
    (face,), (crop,) = result.faces, result.crops
    assert crop.size == (editor.cropper.size, editor.cropper.size)
    x0, y0, x1, y1 = (int(edge) for edge in face.box)
    mouth = change[y0 + 2 * (y1 - y0) // 3 : y1, x0:x1]
    assert mouth.mean() > 3
    outside = np.ones_like(change, dtype=bool)
    outside[max(y0 - (y1 - y0), 0) : y1 + (y1 - y0), max(x0 - (x1 - x0), 0) : x1 + (x1 - x0)] = False
    assert change[outside].max() == 0


def test_a_session_draws_the_same_whatever_it_has_drawn_before(editor, neutral, smile):
    session = editor.session(neutral)
    codes = [editor.encode_expression([picture]) for picture in (smile, neutral)]
    for number, strength in enumerate((1.0, 0.5, 0.7, 0.0, 1.4)):
        picture, _ = session.draw(codes[number % 2], strength)
        alone, _ = editor.session(neutral).draw(codes[number % 2], strength)
        assert np.array_equal(picture, alone)


def test_a_stronger_edit_moves_further_from_the_neutral_face(editor, neutral, smile):
    still = pixels(editor(neutral, None, 0.0).image)
    distance = [np.abs(pixels(editor(neutral, smile, s).image) - still).mean() for s in (0.0, 0.5, 1.0, 1.5)]
    assert distance[0] == 0  # the reference does not matter at strength 0
    assert distance == sorted(distance) and distance[1] > 0


def test_one_reference_given_twice_is_the_same_as_once(editor, neutral, smile):
    once, twice = editor(neutral, smile), editor(neutral, [smile, smile], weights=[1, 3])
    assert np.abs(pixels(once.image) - pixels(twice.image)).max() <= 1


def test_a_weight_of_zero_leaves_a_reference_out(editor, neutral, smile):
    alone, mixed = editor(neutral, smile), editor(neutral, [smile, neutral], weights=[1, 0])
    assert np.abs(pixels(alone.image) - pixels(mixed.image)).max() <= 1


def test_paths_arrays_and_pil_images_give_the_same_edit(editor, neutral, smile, tmp_path):
    neutral.convert("RGB").save(tmp_path / "source.png")
    by_path = editor(tmp_path / "source.png", smile)
    by_array = editor(np.asarray(neutral.convert("RGB")), smile)
    assert np.array_equal(pixels(by_path.image), pixels(by_array.image))


def side_by_side(left: Image.Image, right: Image.Image, gap: int = 0) -> Image.Image:
    """The left one larger; a negative gap lets the right one cover a part of it."""
    both = Image.new("RGB", (left.width + gap + 400, left.height), "white")
    both.paste(left, (0, 0))
    both.paste(right.resize((400, 400)), (left.width + gap, 60))
    return both


def test_the_caller_chooses_the_face(editor, neutral, smile):
    both = side_by_side(neutral, neutral)
    largest, first, second = (editor(both, smile, face=face) for face in ("largest", 0, 1))
    assert np.array_equal(pixels(largest.image), pixels(first.image))
    change = [np.abs(pixels(result.image) - pixels(both)).max(axis=2) for result in (first, second)]
    middle = neutral.width
    assert change[0][:, :middle].max() > 30 and change[0][:, middle:].max() == 0
    assert change[1][:, middle:].max() > 30 and change[1][:, :middle].max() == 0
    assert first.faces[0].box[2] < middle < second.faces[0].box[0]


def test_all_faces_are_edited_in_one_batch_and_none_undoes_another(editor, neutral, smile, monkeypatch):
    both = side_by_side(neutral, neutral, gap=-190)  # so near that each crop reaches into the other face's
    batches = []
    monkeypatch.setattr(editor.model, "decode", lambda *given, decode=editor.model.decode: (
        batches.append(len(given[0])), decode(*given))[1])  # fmt: skip
    together = editor(both, smile, face="all")
    alone = [editor(both, smile, face=number) for number in (0, 1)]
    assert batches == [2, 1, 1]
    assert len(together.faces) == len(together.crops) == 2
    for face, single in zip(together.faces, alone, strict=True):
        x0, y0, x1, y1 = (int(edge) for edge in face.box)
        area = (slice(y0 + 2 * (y1 - y0) // 3, y1), slice(x0, x1))  # the mouth
        edit = np.abs(pixels(single.image)[area] - pixels(both)[area]).mean()
        assert edit > 3
        assert np.abs(pixels(together.image)[area] - pixels(single.image)[area]).mean() < 0.35 * edit


def test_a_face_that_is_not_there_or_no_choice_is_refused(editor, neutral, smile):
    with pytest.raises(ConfigError, match="number 1.*one face"):
        editor(neutral, smile, face=1)
    with pytest.raises(ConfigError, match="largest"):
        editor(neutral, smile, face="biggest")


def test_a_grey_photograph_stays_grey(editor, neutral, smile):
    edited = pixels(editor(neutral.convert("L"), smile).image)
    assert (edited == edited[..., :1]).all()


@pytest.fixture(params=["cut through an eye", "a face of 60 pixels"])
def at_the_edge(request, neutral) -> Image.Image:
    return neutral.crop((0, 0, 300, 512)) if "cut" in request.param else neutral.resize((170, 170))


def test_the_edit_follows_the_face_to_the_border_and_in_a_small_picture(at_the_edge, editor, smile):
    result = editor(at_the_edge, smile)
    assert result.image.size == at_the_edge.size
    assert np.abs(pixels(result.image) - pixels(at_the_edge)).max() > 20


def test_a_face_at_the_border_and_in_a_small_picture_is_read(at_the_edge, recognizer):
    (face,) = recognizer(at_the_edge)
    assert face.label == "neutral"


@pytest.fixture(params=["mouth covered", "eye covered", "face of 22 pixels"])
def hard_to_see(request, editor, neutral) -> Image.Image:
    x0, y0, x1, y1 = (round(edge) for edge in editor(neutral, None, 0.0).faces[0].box)
    photo = neutral.copy()
    if request.param == "mouth covered":
        photo.paste((40, 60, 90), (x0, y0 + 2 * (y1 - y0) // 3, x1, y1))
    elif request.param == "eye covered":
        photo.paste((40, 60, 90), (x0, y0, (x0 + x1) // 2, y0 + (y1 - y0) // 2))
    else:
        photo = photo.resize((64, 64))
    return photo


def test_a_face_that_is_hard_to_see_is_edited_or_said_not_to_be_found(hard_to_see, editor, smile):
    try:
        result = editor(hard_to_see, smile)
    except NoFaceError as error:
        assert "source" in str(error)
    else:
        assert result.image.size == hard_to_see.size and len(result.faces) == 1
        assert np.abs(pixels(result.image) - pixels(hard_to_see))[:2].max() == 0  # far from the face


def test_a_face_that_is_hard_to_see_is_read_or_not_found(hard_to_see, recognizer):
    for face in recognizer(hard_to_see):  # one, or none
        x0, y0, x1, y1 = face.box
        side = hard_to_see.width / 512
        assert x0 < 148 * side < x1 and y0 < 228 * side < y1  # the middle of the render
        assert sum(face.scores.values()) == pytest.approx(1, abs=1e-4)


PROFILES = {
    "144": "fear",
    "146": "surprise",
    "156": "happiness",
    "267": "happiness",
}  # renders turned by 40 to 45 degrees


@pytest.mark.parametrize("pair", PROFILES)
def test_a_face_in_half_profile_takes_the_expression_and_is_read(pair, editor, recognizer, shared):
    folder = shared / "corpora" / "rendered_faces" / "pairs_validation"
    source, reference, target = (folder / f"{pair}_{role}.jpg" for role in ("source", "reference", "target"))
    result = editor(source, reference)
    before, wanted = pixels(load_image(source)), pixels(load_image(target))
    left = in_face(result, np.abs(pixels(result.image) - wanted)).mean()
    assert left < 0.8 * in_face(result, np.abs(before - wanted)).mean()
    (face,) = recognizer(target)
    assert face.label == PROFILES[pair]


def in_face(result, picture: np.ndarray) -> np.ndarray:
    x0, y0, x1, y1 = (int(edge) for edge in result.faces[0].box)
    return picture[y0:y1, x0:x1]


def test_a_face_takes_its_own_expression_and_a_neutral_one_none_at_all_almost_unchanged(editor, neutral, smile):
    def change(photo, *how) -> float:
        result = editor(photo, *how)
        return in_face(result, np.abs(pixels(result.image) - pixels(photo))).mean()

    assert max(change(neutral, neutral), change(neutral, None, 0.0)) < 0.4 * change(neutral, smile)
    assert change(smile, smile) < 0.6 * min(change(smile, neutral), change(smile, None, 0.0))


def test_the_edit_of_mirrored_pictures_is_the_mirrored_edit(editor, neutral, smile):
    plain = editor(neutral, smile)
    mirrored = ImageOps.mirror(editor(ImageOps.mirror(neutral), ImageOps.mirror(smile)).image)
    edit = in_face(plain, np.abs(pixels(plain.image) - pixels(neutral))).mean()
    assert in_face(plain, np.abs(pixels(plain.image) - pixels(mirrored))).mean() < 0.7 * edit


def test_a_crop_is_edited_as_it_is_when_told_that_it_is_one(editor, shared):
    folder = shared / "corpora" / "rendered_faces" / "pairs_validation"
    result = editor(folder / "000_source.jpg", folder / "000_reference.jpg", detector="none")
    assert (result.faces, len(result.crops), result.detector) == ((), 1, "none")
    assert result.image.size == (192, 192)


@pytest.mark.parametrize(
    ("strength", "weights"), [(-0.1, None), (2.5, None), (float("nan"), None), (1.0, [1, 2]), (1, [0])]
)
def test_strength_and_weights_out_of_range_are_refused(editor, neutral, smile, strength, weights):
    with pytest.raises(ConfigError, match="strength|weights"):
        editor(neutral, smile, strength, weights=weights)


def test_no_reference_is_only_for_the_neutral_face(editor, neutral):
    with pytest.raises(ConfigError, match="reference"):
        editor(neutral, None, 1.0)


def test_a_picture_without_a_face_is_named(editor, recognizer, neutral):
    blank = Image.new("RGB", (200, 200), "grey")
    with pytest.raises(NoFaceError, match="source"):
        editor(blank, neutral)
    with pytest.raises(NoFaceError, match="reference picture;"):
        editor(neutral, blank)
    with pytest.raises(NoFaceError, match="reference picture 2"):
        editor(neutral, [neutral, blank])
    assert recognizer(blank) == []


def test_a_broken_file_is_one_sentence(editor, neutral, tmp_path):
    (tmp_path / "x.jpg").write_text("no picture")
    with pytest.raises(BadImageError, match=r"x\.jpg"):
        editor(tmp_path / "x.jpg", neutral)


def test_a_smile_is_read_as_happiness_and_scores_sum_to_one(recognizer, smile):
    (face,) = recognizer(smile)
    assert (face.label, face.detector) == ("happiness", "yunet")
    assert sum(face.scores.values()) == pytest.approx(1, abs=1e-5)
    assert tuple(face.scores) == recognizer.labels
    assert face.expression_code.shape == (recognizer.model.config.code_dim,)
    x0, y0, x1, y1 = face.box
    assert 0 < x0 < x1 < smile.width and 0 < y0 < y1 < smile.height


def test_all_faces_of_a_picture_are_read_largest_first(recognizer, smile, neutral):
    both = Image.new("RGB", (1100, 600), "white")
    both.paste(smile, (0, 40))
    both.paste(neutral.resize((256, 256)), (700, 100))
    first, second = recognizer(both)
    assert first.box[0] < 512 <= second.box[0]
    assert first.box[2] - first.box[0] > second.box[2] - second.box[0]


def test_weights_of_another_model_are_refused(tmp_path):
    with pytest.raises(ModelLoadError):
        ExpressionEditor.from_pretrained(BUNDLED / "recognizer")
    with pytest.raises(ModelLoadError, match="Folder not found"):
        ExpressionEditor.from_pretrained(tmp_path / "nowhere")


def test_the_former_names_of_the_api_still_work_and_say_so(editor, recognizer, neutral, smile):
    with pytest.warns(DeprecationWarning, match="`aligner` is now called `detector`"):
        former = ExpressionEditor.from_pretrained(aligner="none")
    assert former.cropper.detector == "none"
    with pytest.warns(DeprecationWarning, match="is now called"):
        result = editor(neutral, smile, aligner="yunet")
    with pytest.warns(DeprecationWarning, match="is now called"):
        assert result.aligner == result.detector == "yunet"
    with pytest.warns(DeprecationWarning, match="is now called"):
        (face,) = recognizer(smile, aligner="yunet")
    assert face.detector == "yunet"
    for name, successor in leed_hub._FORMER.items():
        with pytest.warns(DeprecationWarning, match=f"{name} is now called {successor}"):
            assert getattr(leed_hub, name) is getattr(leed_hub, successor)


def test_the_edited_crops_are_cut_out_of_the_edited_picture(editor, neutral, smile):
    result = editor(neutral, smile)
    faces = editor.cropper.cut(np.asarray(result.image), result.faces, "yunet")
    assert np.array_equal(pixels(result.crops[0]), faces.crops[0])


def test_a_session_draws_what_a_call_does(editor, neutral, smile):
    drawn = editor.session(neutral).render(editor.encode_expression([smile]), 0.7)
    assert np.array_equal(pixels(drawn.image), pixels(editor(neutral, smile, 0.7).image))


def test_many_photographs_are_edited_as_each_alone_and_a_broken_one_is_named(editor, neutral, smile, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    empty = np.zeros((80, 80, 3), np.uint8)
    edits = list(edit_many(editor, [neutral, tmp_path / "broken.jpg", empty, smile], smile, 0.8, face="all"))
    assert [edit.picture is given for edit, given in zip(edits[::3], (neutral, smile), strict=True)] == [True, True]
    for edit in edits[::3]:
        alone = editor(edit.picture, smile, 0.8, face="all")
        assert np.array_equal(np.asarray(edit.result.image), np.asarray(alone.image)) and edit.error is None
    assert edits[1].result is None and "broken.jpg" in edits[1].error
    assert edits[2].result is None and "No face" in edits[2].error
    with pytest.raises(NoFaceError, match="reference"):
        edit_many(editor, [neutral], empty)
    with pytest.raises(ConfigError, match="Several pictures"):
        edit_many(editor, "one.jpg", smile)


def test_an_edit_in_bfloat16_looks_the_same(editor, neutral, smile):
    exact = np.asarray(editor(neutral, smile).image, np.float32)
    try:
        rough = np.asarray(editor.to("cpu", torch.bfloat16)(neutral, smile).image, np.float32)
    finally:
        editor.to("cpu")
    assert 0 < np.abs(rough - exact).mean() < 1


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg"])
def test_what_is_transparent_stays_so_where_the_format_can_hold_it(suffix, editor, neutral, smile, tmp_path):
    cut_out = neutral.convert("RGBA")
    alpha = np.full((512, 512), 255, np.uint8)
    alpha[:90], alpha[400:], alpha[150:300, 150:160] = 0, 100, 200
    cut_out.putalpha(Image.fromarray(alpha))
    cut_out.save(tmp_path / "cut_out.png")
    result = editor(tmp_path / "cut_out.png", smile)
    edited = np.asarray(result.image)
    assert result.image.mode == "RGBA" and np.array_equal(edited[..., 3], alpha)
    opaque = pixels(editor(load_image(tmp_path / "cut_out.png"), smile).image)
    assert np.abs(pixels(on_white(result.image)) - opaque).max() <= 2
    outside = np.s_[:, 350:]
    assert np.array_equal(edited[outside], np.asarray(cut_out)[outside])  # not mixed with white
    save_edited(result.image, tmp_path / f"out{suffix}", software="test")
    saved = Image.open(tmp_path / f"out{suffix}")
    if suffix == ".jpg":
        assert saved.mode == "RGB" and saved.getpixel((400, 20)) == (255, 255, 255)
    else:
        assert saved.mode == "RGBA" and np.array_equal(np.asarray(saved)[..., 3], alpha)


def test_an_opaque_picture_has_no_transparency(editor, neutral, smile):
    assert editor(neutral, smile).image.mode == "RGB"
