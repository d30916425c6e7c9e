"""A strip of expressions, and pictures that move."""

import numpy as np
import pytest
from conftest import portrait
from PIL import Image

from leed_hub import ExpressionEditor
from leed_hub.errors import ConfigError
from leed_hub.media import video
from leed_hub.media.provenance import is_marked_edited
from leed_hub.pipelines.series import animate, expression_strip


@pytest.fixture(scope="module")
def editor():
    return ExpressionEditor.from_pretrained()


@pytest.fixture(scope="module")
def session(editor):
    return editor.session(portrait("source"))


def test_a_strip_shows_each_expression_in_its_place(editor, session):
    expressions = {name: editor.expression(name) for name in ("neutral", "surprise", "smile")}
    strip = np.asarray(expression_strip(session, expressions, side=64)).astype(int)
    assert strip.shape[:2] == (64 + 24, 3 * 64)
    faces = [strip[:64, start : start + 64] for start in (0, 64, 128)]
    for face, expression in zip(faces, expressions.values(), strict=True):
        alone = np.asarray(session.render(expression).crops[0].resize((64, 64)))
        assert np.array_equal(face, alone)
    assert all((strip[64:, start : start + 64] < 100).any() for start in (0, 64, 128))  # the names


# WebP's compression differs from frame to frame.
@pytest.mark.parametrize(("suffix", "tolerance"), [(".gif", 1.0), (".webp", 1.1)])
def test_a_face_moves_to_the_expression_and_back_in_a_marked_picture(suffix, tolerance, editor, session, tmp_path):
    path = tmp_path / f"laugh{suffix}"
    animate(session, editor.expression("laugh"), path, seconds=0.4)
    assert is_marked_edited(path)
    with Image.open(path) as image:
        assert image.n_frames == 8 and image.info["loop"] == 0
        frames = []
        for number in range(8):
            image.seek(number)
            image.load()
            assert image.info["duration"] == 50
            frames.append(np.asarray(image.convert("RGB")).astype(int))
    away = [np.abs(frame - frames[0]).mean() for frame in frames]
    assert max(away) <= tolerance * away[4] and away[4] > 2 * away[1] > 0
    assert away[3] == pytest.approx(away[5], rel=0.3)


def test_a_video_moves_likewise_at_full_size(editor, tmp_path):
    photo = portrait("source").resize((301, 300))
    session = editor.session(photo)
    animate(session, editor.expression("laugh"), tmp_path / "laugh.mp4", strength=2, seconds=0.4)
    frames = [picture for _, picture in video.VideoFrames(tmp_path / "laugh.mp4")]
    assert len(frames) == 8 and frames[0].shape == (300, 302, 3)
    assert video.is_marked_edited(tmp_path / "laugh.mp4")
    strongest = session.draw(editor.expression("laugh"), 2.0)[0].astype(int)
    away = [np.abs(frame[:, :301].astype(int) - strongest).mean() for frame in frames]
    assert min(away) == away[4] < away[0] / 2


def test_what_cannot_be_written_is_said_before_anything_is_drawn(editor, session, tmp_path):
    with pytest.raises(ConfigError, match=r"one of .gif, .webp, .mp4; got '.avi'"):
        animate(session, editor.expression("smile"), tmp_path / "smile.avi")
    with pytest.raises(ConfigError, match="seconds must lie between 0 and 60"):
        animate(session, editor.expression("smile"), tmp_path / "smile.gif", seconds=0)
