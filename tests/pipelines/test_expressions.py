"""Expressions by name, in halves, slid, mixed, saved: what the page's controls and the command line do."""

import filecmp
import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
import torch
from conftest import portrait
from typer.testing import CliRunner

from leed_hub import ExpressionEditor
from leed_hub.cli import app
from leed_hub.errors import ConfigError, ModelLoadError
from leed_hub.models.leed import LEEDConfig, LEEDModel
from leed_hub.pipelines.expressions import Controls, Expression, eyes_share


@pytest.fixture(scope="module")
def editor() -> ExpressionEditor:
    return ExpressionEditor.from_pretrained()


@pytest.fixture(scope="module")
def session(editor):
    return editor.session(portrait("source"))


@pytest.fixture(scope="module")
def smile(editor) -> Expression:
    return editor.expression(portrait("happiness"))


@pytest.fixture(scope="module")
def surprise(editor) -> Expression:
    return editor.expression(portrait("surprise"))


def drawn(session, expression, strength=1.0) -> np.ndarray:
    """The edited face, crop by crop's side; float."""
    return np.asarray(session.render(expression, strength).crops[0], np.float32)


def halves(editor, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows that follow the eyes' code alone, and the mouth's."""
    share = eyes_share(editor.model.config).flatten().numpy()
    return image[share == 1], image[share == 0]


def test_each_half_of_the_face_follows_its_own_code(editor, session, smile, surprise):
    eyes, mouth = halves(editor, drawn(session, smile.with_eyes_of(surprise)))
    smiling, surprised = (halves(editor, drawn(session, expression)) for expression in (smile, surprise))
    assert np.abs(eyes - surprised[0]).mean() < 0.3 and np.abs(mouth - smiling[1]).mean() < 0.3
    assert np.abs(eyes - smiling[0]).mean() > 0.5 and np.abs(mouth - surprised[1]).mean() > 2


def test_a_half_of_strength_zero_is_neutral(editor, session, surprise):
    neutral = drawn(session, editor.expression("neutral"))
    mouth_only = drawn(session, surprise.with_strengths(eyes=0))
    assert np.abs(halves(editor, mouth_only)[0] - halves(editor, neutral)[0]).mean() < 0.6
    assert np.abs(halves(editor, mouth_only)[1] - halves(editor, neutral)[1]).mean() > 2


def test_neutral_by_name_is_strength_zero(session, editor):
    assert np.array_equal(drawn(session, editor.expression("neutral")), drawn(session, None, 0.0))


def test_a_mixture_lies_between(session, smile, surprise):
    codes = [expression.mouth for expression in (smile, smile.mixed(surprise, 0.25), surprise)]
    assert torch.allclose(codes[1], 0.75 * codes[0] + 0.25 * codes[2])
    half_smile = smile.with_strengths(mouth=0.5, eyes=0.5).mixed(smile, 0)
    assert torch.allclose(half_smile.mouth, smile.mouth / 2)
    with pytest.raises(ConfigError, match="share"):
        smile.mixed(surprise, 1.5)


def test_a_saved_expression_gives_the_same_edit_and_another_editors_is_refused(editor, session, smile, tmp_path):
    kept = smile.with_strengths(mouth=1.2, eyes=0.4)
    kept.save(tmp_path / "mine.json")
    loaded = editor.expression(tmp_path / "mine.json")
    assert np.array_equal(drawn(session, loaded), drawn(session, kept))
    torch.manual_seed(0)
    other = ExpressionEditor(LEEDModel(LEEDConfig(expression_dim=editor.model.config.expression_dim)))
    with pytest.raises(ConfigError, match="another editor's"):
        other.expression(tmp_path / "mine.json")
    too_large = json.dumps({"leed_hub": "expression", "mouth": [10**400]})
    for broken in ("", "[]", '{"leed_hub": "expression"}', '{"leed_hub": "other"}', too_large, "[" * 99999):
        (tmp_path / "broken.json").write_text(broken)
        with pytest.raises(ConfigError, match=r"broken\.json is no saved expression"):
            editor.expression(tmp_path / "broken.json")


def test_what_can_be_no_saved_expression_is_refused_without_reading_on(smile, tmp_path):
    smile.save(tmp_path / "long.json")
    (tmp_path / "long.json").write_text((tmp_path / "long.json").read_text() + " " * 1_000_000)
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(ConfigError, match=r"long\.json is no saved expression: it has more than 1,000,000 characters"):
        Expression.load(tmp_path / "long.json")
    with pytest.raises(ConfigError, match=r"folder\.json is no saved expression: it is no regular file\.$"):
        Expression.load(tmp_path / "folder.json")
    with pytest.raises(ConfigError, match=r"missing\.json is no saved expression: .*No such file"):
        Expression.load(tmp_path / "missing.json")
    with pytest.raises(ConfigError, match="^URLs are not read"):
        Expression.load("https://example.org/mine.json")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_a_fifo_is_no_saved_expression_and_is_not_waited_for(editor, tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    with ThreadPoolExecutor() as pool:
        loading = pool.submit(editor.expression, tmp_path / "pipe.json")
        try:
            with pytest.raises(ConfigError, match=r"pipe\.json is no saved expression: it is no regular file\.$"):
                loading.result(timeout=5)
        finally:  # a reader that waits is let go
            with suppress(OSError):
                os.close(os.open(tmp_path / "pipe.json", os.O_WRONLY | os.O_NONBLOCK))


def test_a_slider_moves_the_code_its_way_and_no_further_than_faces_go():
    controls = Controls(sliders={"smile": torch.tensor([2.0, 0.0])}, radius=3.0)
    code = torch.tensor([[0.0, 1.0]])
    assert controls.slid(code, {"smile": 0.5}).tolist() == [[1.0, 1.0]]
    assert controls.slid(code, {"smile": -0.5}).tolist() == [[-1.0, 1.0]]
    assert controls.slid(torch.tensor([[3.0, 4.0]]), {}).norm().item() == pytest.approx(3)
    with pytest.raises(ConfigError, match="no slider 'frown'; this editor has: smile"):
        controls.slid(code, {"frown": 1})
    with pytest.raises(ConfigError, match="from -1 to 1"):
        controls.slid(code, {"smile": 2})


def test_controls_are_kept_with_the_weights(tmp_path):
    torch.manual_seed(0)
    editor = ExpressionEditor(
        LEEDModel(LEEDConfig(image_size=32, widths=(2, 2, 2, 2), manifold_dim=4, expression_dim=2))
    )
    code = torch.tensor([0.5, -1.0])
    editor.controls = Controls({"smile": code}, {"brows up": 2 * code}, {"brows up": 0.6}, 3.0)
    editor.save_pretrained(tmp_path)
    again = ExpressionEditor.from_pretrained(tmp_path)
    assert again.presets == ("neutral", "smile") and again.sliders == ("brows up",)
    assert torch.equal(again.expression("smile").mouth[0], code)
    assert (again.controls.r2, again.controls.radius) == ({"brows up": 0.6}, 3.0)
    (tmp_path / "controls.json").write_text('{"presets": {"smile": [1]}, "sliders": {}, "r2": {}, "radius": 1}')
    with pytest.raises(ModelLoadError, match=r"controls\.json does not belong to this editor"):
        ExpressionEditor.from_pretrained(tmp_path)


def test_the_bundled_presets_differ_from_neutral_and_from_each_other(editor, session):
    assert {"smile", "laugh", "surprise"} <= set(editor.presets) and len(editor.sliders) >= 4
    pictures = [drawn(session, editor.expression(name)) for name in editor.presets]
    for index, picture in enumerate(pictures):
        for other in pictures[:index]:
            assert np.abs(picture - other).mean() > 0.1


def test_the_command_line_takes_presets_halves_sliders_and_saved_expressions(editor, tmp_path):
    portrait("source").save(tmp_path / "me.png")
    run = lambda *arguments: CliRunner().invoke(app, ["edit", str(tmp_path / "me.png"), *map(str, arguments)])  # noqa: E731
    first = run("smile", "-o", tmp_path / "a.png", "--eyes", "0.5", "--slide", "brows up=0.5",
                "--save-expression", tmp_path / "mine.json")  # fmt: skip
    assert first.exit_code == 0, first.output
    assert run(tmp_path / "mine.json", "-o", tmp_path / "b.png").exit_code == 0
    assert filecmp.cmp(tmp_path / "a.png", tmp_path / "b.png", shallow=False)
    assert run("smile", "-o", tmp_path / "c.png", "--eyes-from", "surprise").exit_code == 0
    assert not filecmp.cmp(tmp_path / "c.png", tmp_path / "a.png", shallow=False)
    wrong = run("smile", "-o", tmp_path / "d.png", "--slide", "ears=1")
    assert wrong.exit_code == 2 and "no slider 'ears'" in wrong.output
    assert run("smile", "-o", tmp_path / "d.png", "--slide", "smile").exit_code == 2
