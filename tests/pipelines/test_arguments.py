"""Arguments that do not fit: our own error, which names the argument."""

import numpy as np
import pytest
from conftest import EXAMPLES

from leed_hub import ExpressionEditor, ExpressionRecognizer, classify_many, classify_video, edit_many, to_frame
from leed_hub.errors import ConfigError, LeedHubError

FACE = EXAMPLES / "source.png"
SMILE = EXAMPLES / "happiness.png"


@pytest.fixture(scope="module")
def editor() -> ExpressionEditor:
    return ExpressionEditor.from_pretrained(detector="none")


@pytest.fixture(scope="module")
def recognizer() -> ExpressionRecognizer:
    return ExpressionRecognizer.from_pretrained(detector="none")


@pytest.mark.parametrize("strength", [None, "abc", [1], 1j, float("nan"), 10**400, np.int64(3)])
def test_a_strength_that_is_none_is_named(strength, editor):
    with pytest.raises(ConfigError, match="strength"):
        editor(FACE, SMILE, strength)
    with pytest.raises(ConfigError, match="strength"):
        editor.session(FACE).render(None, strength)


@pytest.mark.parametrize("weights", ["a", ["a"], [None], {}, 5, [[1]], [1j], [float("inf")], [-1], [0]])
def test_weights_that_are_none_are_named(weights, editor):
    with pytest.raises(ConfigError, match="weights"):
        editor.encode_expression([SMILE], weights)


@pytest.mark.parametrize("weights", [[1e308, 1e308], [5e-324, 5e-324], np.array([3, 3])])
def test_equal_weights_of_any_size_are_equal_parts(weights, editor):
    mixed = editor.encode_expression([SMILE, FACE], weights)
    assert np.allclose(mixed, editor.encode_expression([SMILE, FACE]), atol=1e-6) and float(mixed.norm()) > 0.1


@pytest.mark.parametrize("name", ["batch_size", "workers"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "2", None])
def test_counts_are_whole_numbers_of_at_least_one(name, value, recognizer):
    with pytest.raises(ConfigError, match=name):
        classify_many(recognizer, [FACE], **{name: value})
    with pytest.raises(ConfigError, match="every"):
        classify_video(recognizer, "film.mp4", every=value)


def test_counts_of_numpy_are_counts(recognizer):
    (prediction,) = classify_many(recognizer, [FACE], batch_size=np.int64(2), workers=np.int8(1))
    assert len(prediction.faces) == 1


@pytest.mark.parametrize("device", ["gpu", "cuda:99", None, 5.5, ["cpu"]])
def test_a_device_that_is_not_there_is_named(device):
    with pytest.raises(ConfigError, match="device"):
        ExpressionEditor.from_pretrained(device=device)


@pytest.mark.parametrize("name", [5, b"folder", ["folder"], 3.5])
def test_what_is_no_name_of_a_model_is_told(name):
    with pytest.raises(ConfigError, match="name_or_folder"):
        ExpressionRecognizer.from_pretrained(name)


def test_misspelt_keywords_are_named(editor, recognizer):
    code = editor.encode_expression([SMILE])
    calls = {
        "strenght": lambda: editor(FACE, SMILE, strenght=1),
        "fase": lambda: editor.session(FACE, fase=0),
        "wights": lambda: editor.encode_expression([SMILE], wights=[1]),
        "strengh": lambda: editor.edit_video("film.mp4", SMILE, "out.mp4", strengh=1),
        "stregth": lambda: editor.session(FACE).render(code, stregth=1),
        "detectr": lambda: ExpressionEditor.from_pretrained(detectr="none"),
        "devise": lambda: ExpressionEditor(editor.model, devise="cpu"),
        "detecter": lambda: recognizer(FACE, detecter="none"),
        "detektor": lambda: recognizer.embed([FACE], detektor="none"),
        "batchsize": lambda: classify_many(recognizer, [FACE], batchsize=2),
        "evry": lambda: classify_video(recognizer, "film.mp4", evry=2),
        "fce": lambda: edit_many(editor, [FACE], SMILE, fce="all"),
        "weigths": lambda: editor.expression(SMILE, weigths=[1]),
        "vales": lambda: editor.slide(editor.expression("smile"), {}, vales={}),
        "dvice": lambda: editor.to(dvice="cpu"),
        "haf": lambda: editor.save_pretrained("nowhere", haf=True),
        "tokn": lambda: recognizer.save_pretrained("nowhere", tokn="hf_x"),
        "privat": lambda: editor.push_to_hub("org/name", privat=True),
        "folder": lambda: editor.save_pretrained(),
        "repo_id": lambda: editor.push_to_hub(),
        "lables": lambda: to_frame([], lables=()),
        "source": lambda: editor(),
    }
    for name, call in calls.items():
        with pytest.raises(ConfigError, match=name):
            call()


def test_what_is_no_picture_or_not_several_is_told(editor, recognizer):
    for call in (
        lambda: editor(np.int64(3), SMILE),
        lambda: editor(FACE, 5),
        lambda: editor(FACE, SMILE, face=np.float64(1)),
        lambda: editor(FACE, SMILE, detector=["yunet"]),
        lambda: editor.encode_expression(5),
        lambda: recognizer.embed(5),
        lambda: classify_many(recognizer, None),
        lambda: classify_video(recognizer, 5),
    ):
        with pytest.raises(LeedHubError):
            call()


def test_wrong_types_are_named(editor, tmp_path):
    pytest.importorskip("pandas")
    smile, output = editor.expression("smile"), tmp_path / "out.mp4"
    calls = {
        "^mouth must be a number; got 'a'": lambda: editor.edit_video("film.mp4", "smile", output, mouth="a"),
        "^eyes must be a strength of at least 0": lambda: editor.edit_video("film.mp4", "smile", output, eyes=-1),
        "^seconds must be a number": lambda: editor.edit_video("film.mp4", "smile", output, seconds=[2]),
        "^seconds must be more than 0, and finite": lambda: editor.edit_video(
            "film.mp4", "smile", output, seconds=float("inf")
        ),
        "^output must be a path; got 5": lambda: editor.edit_video("film.mp4", "smile", 5),
        "^mouth must be a number; got 'wide'": lambda: smile.with_strengths(mouth="wide"),
        "^eyes must be a strength of at least 0; got nan": lambda: smile.with_strengths(eyes=float("nan")),
        "^share must be a number": lambda: smile.mixed(smile, "half"),
        '^face is "largest"': lambda: edit_many(editor, [FACE], SMILE, face="left"),
        "^expression must be one that": lambda: editor.slide("smile", {}),
        "^Sliders are given by name": lambda: editor.slide(smile, [0.5]),
        f"^The slider '{editor.sliders[0]}' must be a number": lambda: editor.slide(smile, {editor.sliders[0]: None}),
        "^folder must be a path; got 5": lambda: editor.save_pretrained(5),
        '^repo_id must be "org/name"; got 5': lambda: editor.push_to_hub(5),
        "^predictions must be what `classify_many` gives; got 5": lambda: to_frame(5),
        "^predictions must be what `classify_many` gives; got None": lambda: to_frame([None]),
    }
    for sentence, call in calls.items():
        with pytest.raises(ConfigError, match=sentence):
            call()
    assert not list(tmp_path.iterdir())


def test_many_references_go_through_the_network_in_batches(editor):
    sizes = []
    hook = editor.model.encoder.register_forward_hook(lambda _, args, __: sizes.append(len(args[0])))
    faces = [np.asarray(np.random.default_rng(n).integers(0, 256, (48, 48, 3)), np.uint8) for n in range(70)]
    mixed = editor.encode_expression(faces)
    hook.remove()
    assert sizes == [32, 32, 6]
    one_by_one = np.mean([editor.encode_expression([face]).numpy() for face in faces], axis=0)
    assert np.allclose(mixed, one_by_one, atol=1e-4)
