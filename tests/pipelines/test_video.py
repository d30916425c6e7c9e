"""Videos in and out, and edited: real files made here, a stub for the face finder, the bundled editor."""

import os
import shutil
import weakref
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from conftest import EXAMPLES
from made_video import make_video
from PIL import Image

from leed_hub import ExpressionEditor
from leed_hub.errors import BadImageError, BadVideoError, ConfigError, LeedHubError, NoFaceError
from leed_hub.faces.face import Face
from leed_hub.faces.tracking import FaceTracker
from leed_hub.media.provenance import DIGITAL_SOURCE_TYPE
from leed_hub.media.video import VideoFrames, VideoWriter, is_marked_edited
from leed_hub.pipelines import cropper
from leed_hub.pipelines.video_editing import SourceVideo

POINTS = np.float32([[0.36, 0.42], [0.64, 0.42], [0.5, 0.56], [0.39, 0.71], [0.61, 0.71]])  # of an example render


def example(name: str, side: int = 128) -> np.ndarray:
    return np.asarray(Image.open(EXAMPLES / f"{name}.png").convert("RGB").resize((side, side)))


def canvas(shift: int = 0, face: str | None = "source") -> np.ndarray:
    frame = np.full((160, 240, 3), 128, np.uint8)
    if face:
        frame[16:144, 40 + shift : 168 + shift] = example(face)
    return frame


class StubLocator:
    """Finds the render on the grey canvas by its colours: exact, and quick."""

    name = "stub"

    def __call__(self, photo: np.ndarray) -> list[Face]:
        rows, columns = np.nonzero(np.abs(photo.astype(int) - 128).max(axis=2) > 24)
        if len(rows) < 500:
            return []
        x0, y0, x1, y1 = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        points = POINTS * np.float32([x1 - x0, y1 - y0]) + np.float32([x0, y0])
        return [Face((float(x0), float(y0), float(x1), float(y1)), 0.9, points)]


@pytest.fixture(scope="module")
def loaded() -> ExpressionEditor:
    return ExpressionEditor.from_pretrained()


@pytest.fixture
def editor(loaded, monkeypatch) -> ExpressionEditor:
    detector = StubLocator()
    monkeypatch.setattr(cropper, "build_detector", lambda name: None if name == "none" else detector)
    return loaded


def read(path: Path) -> list[np.ndarray]:
    return [frame for _, frame in VideoFrames(path)]


def heard(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


def change(before: np.ndarray, after: np.ndarray) -> float:
    return float(np.abs(before.astype(int) - after).mean())


def test_frames_come_upright_with_their_times(tmp_path):
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[:24, :32] = 255  # upper left
    video = VideoFrames(make_video(tmp_path / "turned.mp4", [frame] * 5, rotation=90))
    assert (video.width, video.height, video.rate, video.n_frames) == (48, 64, 25, 5)
    times, frames = zip(*video, strict=True)
    assert times == tuple(Fraction(n, 25) for n in range(5)) == tuple(video.times())
    assert frames[0].shape == (64, 48, 3)
    assert frames[0][48, 12].min() > 200 and frames[0][12, 12].max() < 50  # a quarter to the left: now lower left


def test_what_is_written_is_read_again_even_of_odd_size(tmp_path):
    y, x = np.mgrid[:61, :83]
    frames = [np.dstack([2 * x, 3 * y, np.full_like(x, 40 + 5 * n)]).astype(np.uint8) for n in range(6)]
    timing = VideoFrames(make_video(tmp_path / "timing.mp4", [np.zeros((32, 32, 3), np.uint8)] * 6, rate=30))
    with VideoWriter(tmp_path / "out.mp4", timing, size=(83, 61), software="test") as writer:
        for time_s, frame in zip(timing.times(), frames, strict=True):
            writer.write(time_s, frame)
    video = VideoFrames(tmp_path / "out.mp4")
    assert (video.width, video.height, video.rate, video.n_frames) == (84, 62, 30, 6)
    assert max(change(a, b[:61, :83]) for a, b in zip(frames, read(tmp_path / "out.mp4"), strict=True)) < 2
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


def test_an_edited_video_keeps_size_rate_count_and_sound_and_is_marked(editor, tmp_path):
    frames = [canvas(shift) for shift in range(12)]
    source = make_video(tmp_path / "source.mp4", frames, rate=Fraction(30000, 1001), sound="aac")
    result = editor.edit_video(source, EXAMPLES / "happiness.png", tmp_path / "out.mp4")
    assert (result.frames, result.frames_without_face, result.sound) == (12, 0, "copied")
    before, after = VideoFrames(source), VideoFrames(tmp_path / "out.mp4")
    for name in ("width", "height", "rate", "n_frames", "sound"):
        assert getattr(after, name) == getattr(before, name)
    assert list(after.times()) == list(before.times())
    assert np.array_equal(heard(source), heard(tmp_path / "out.mp4"))
    assert is_marked_edited(tmp_path / "out.mp4") and not is_marked_edited(source)
    assert (tmp_path / "out.mp4").read_bytes().count(DIGITAL_SOURCE_TYPE.encode()) == 2  # a comment, and XMP
    assert os.listdir(tmp_path).count("out.mp4") == 1 and len(os.listdir(tmp_path)) == 2
    for old, new in zip(before, after, strict=True):
        assert change(old[1][80:130], new[1][80:130]) > 1  # the mouth
        assert change(old[1][:, 200:], new[1][:, 200:]) < 1.5  # the canvas, coded twice


def test_a_video_equals_its_pictures_edited_one_by_one(editor, tmp_path):
    source = make_video(tmp_path / "still.mp4", [canvas()] * 4)
    editor.edit_video(source, EXAMPLES / "surprise.png", tmp_path / "out.mp4")
    frame = read(source)[2]
    picture = np.asarray(editor(frame, EXAMPLES / "surprise.png").image)
    assert change(read(tmp_path / "out.mp4")[2], picture) < 0.25 * change(frame, picture) + 0.5


def test_a_reference_is_what_a_photographs_may_be(editor, tmp_path):
    """A preset, a saved expression, an `Expression` and a mixture, each as in an edit of the frame alone."""
    source = make_video(tmp_path / "still.mp4", [canvas()] * 2)
    frame = read(source)[1]
    editor.expression("surprise").with_strengths(eyes=0.2).save(tmp_path / "mine.json")
    mixture = [EXAMPLES / "happiness.png", EXAMPLES / "anger.png"]
    references = ["smile", tmp_path / "mine.json", editor.expression("anger").with_strengths(mouth=0.5), mixture]
    pictures = [np.asarray(editor(frame, reference).image) for reference in references]
    for number, reference in enumerate(references):
        editor.edit_video(source, reference, tmp_path / "out.mp4")
        made = read(tmp_path / "out.mp4")[1]
        assert np.argmin([change(made, picture) for picture in pictures]) == number


@pytest.mark.parametrize("kind", ["preset", "video"])
def test_mouth_and_eyes_have_their_own_strengths(kind, editor, tmp_path):
    source = make_video(tmp_path / "still.mp4", [canvas()] * 2)
    reference = make_video(tmp_path / "r.mp4", [canvas(face="surprise")] * 2) if kind == "video" else "surprise"
    frame = read(source)[1]

    def changes(**strengths) -> tuple[float, float]:
        editor.edit_video(source, reference, tmp_path / "out.mp4", **strengths)
        made = read(tmp_path / "out.mp4")[1]
        return change(frame[40:80], made[40:80]), change(frame[100:135], made[100:135])  # brows and eyes, mouth

    eyes, mouth = changes()
    assert changes(mouth=0.0)[1] != pytest.approx(mouth, rel=0.2)
    assert changes(mouth=0.0)[0] == pytest.approx(eyes, rel=0.2)
    assert changes(eyes=0.0)[0] != pytest.approx(eyes, rel=0.2)
    assert changes(eyes=0.0)[1] == pytest.approx(mouth, rel=0.2)


@pytest.mark.parametrize(("ending", "sound"), [("mp4", "aac"), ("mkv", "mp3")])
def test_a_trial_ends_after_so_many_seconds_and_so_does_its_sound(ending, sound, editor, tmp_path):
    source = make_video(tmp_path / f"source.{ending}", [canvas()] * 20, rate=10, sound=sound)
    seen = []
    result = editor.edit_video(
        source, "smile", tmp_path / "out.mp4", seconds=0.5, on_progress=lambda *numbers: seen.append(numbers)
    )
    assert result.frames == len(read(tmp_path / "out.mp4")) == 5
    assert len(heard(tmp_path / "out.mp4")) / 44100 == pytest.approx(0.5, abs=0.1)
    assert seen == [(n, 5) for n in range(1, 6)]
    whole = editor.edit_video(EXAMPLES / "source.png", source, tmp_path / "out.mp4", seconds=60)
    assert whole.frames == 20
    assert len(heard(tmp_path / "out.mp4")) / 44100 == pytest.approx(2, abs=0.1)
    for bad in (0, -1, float("nan")):
        with pytest.raises(ConfigError, match="seconds must be more than 0"):
            editor.edit_video(source, "smile", tmp_path / "out.mp4", seconds=bad)


def test_what_a_callback_raises_ends_the_edit_and_leaves_no_half_file(editor, tmp_path):
    source = make_video(tmp_path / "source.mp4", [canvas()] * 6, sound="aac")
    seen = []

    def cancel(done: int, total: int) -> None:
        seen.append((done, total))
        if done == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        editor.edit_video(source, "smile", tmp_path / "out.mp4", on_progress=cancel)
    assert seen == [(1, 6), (2, 6), (3, 6)]
    assert os.listdir(tmp_path) == ["source.mp4"]


def test_sound_that_mp4_does_not_take_is_encoded(editor, tmp_path):
    source = make_video(tmp_path / "source.mkv", [canvas()] * 10, rate=10, sound="pcm_s16le")
    assert editor.edit_video(source, EXAMPLES / "anger.png", tmp_path / "out.mp4").sound == "encoded"
    tone = heard(tmp_path / "out.mp4")
    spectrum = np.abs(np.fft.rfft(tone[:44100] * np.hanning(44100)))
    assert abs(int(spectrum.argmax()) - 440) <= 2
    assert len(tone) == pytest.approx(44100, abs=3000)


def test_a_picture_comes_to_life_and_keeps_its_size(editor, tmp_path):
    calm, glad = canvas(face="source"), canvas(face="happiness")
    frames = [(calm * (1 - k) + glad * k).astype(np.uint8) for k in np.linspace(0, 1, 10)]
    reference = make_video(tmp_path / "reference.mp4", frames, rate=10, sound="aac")
    picture = Image.fromarray(canvas(shift=20)).crop((0, 0, 210, 150))
    calls = []
    hook = editor.model.encoder.register_forward_hook(lambda *_: calls.append(1))
    result = editor.edit_video(picture, reference, tmp_path / "out.mp4")
    hook.remove()
    assert len(calls) == 1 + 10  # the picture once, each reference frame once
    made = read(tmp_path / "out.mp4")
    assert (result.frames, len(made), made[0].shape, result.sound) == (10, 10, (150, 210, 3), "copied")
    steps = [change(frame[80:130, 90:160], made[0][80:130, 90:160]) for frame in made]
    assert steps[-1] > 3 and steps[-1] > 1.5 * steps[3]


def test_a_shorter_reference_is_held_and_a_longer_one_is_cut(editor, tmp_path):
    source = make_video(tmp_path / "source.mp4", [canvas()] * 12)
    short = make_video(tmp_path / "short.mp4", [canvas(face="happiness")] * 2, rate=10)
    result = editor.edit_video(source, short, tmp_path / "out.mp4")
    made = read(tmp_path / "out.mp4")
    assert result.frames == len(made) == 12
    assert change(made[11], made[1]) < 1 < change(made[11][80:130], canvas()[80:130])
    assert editor.edit_video(short, source, tmp_path / "out.mp4").frames == 2


def test_frames_without_a_face_pass_unedited_and_are_counted(editor, tmp_path):
    frames = [canvas()] * 5 + [canvas(face=None)] * 20 + [canvas()] * 5
    source = make_video(tmp_path / "source.mp4", frames)
    result = editor.edit_video(source, EXAMPLES / "happiness.png", tmp_path / "out.mp4")
    assert (result.frames, result.frames_without_face) == (30, 20)
    made = read(tmp_path / "out.mp4")
    assert len(made) == 30
    assert change(made[2][80:130], frames[2][80:130]) > 1
    assert change(made[22], frames[22]) < 0.5


def test_no_face_at_all_is_an_error_and_leaves_no_file(editor, tmp_path):
    empty = make_video(tmp_path / "empty.mp4", [canvas(face=None)] * 5)
    whole = make_video(tmp_path / "whole.mp4", [canvas()] * 5)
    with pytest.raises(NoFaceError, match="source video"):
        editor.edit_video(empty, EXAMPLES / "happiness.png", tmp_path / "out.mp4")
    with pytest.raises(NoFaceError, match="reference video"):
        editor.edit_video(whole, empty, tmp_path / "out.mp4")
    with pytest.raises(ConfigError, match="number 1.*more than 1"):
        editor.edit_video(whole, EXAMPLES / "happiness.png", tmp_path / "out.mp4", face=1)
    assert sorted(os.listdir(tmp_path)) == ["empty.mp4", "whole.mp4"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_edit_leaves_the_old_file_as_it_was(stop, editor, tmp_path, monkeypatch):
    source = make_video(tmp_path / "source.mp4", [canvas()] * 6, sound="aac")
    (tmp_path / "out.mp4").write_text("old")
    frames = []

    def breaks(self, photo, *_):
        frames.append(photo)
        if len(frames) == 4:
            raise stop
        return photo

    monkeypatch.setattr(SourceVideo, "__call__", breaks)
    with pytest.raises(stop):
        editor.edit_video(source, EXAMPLES / "happiness.png", tmp_path / "out.mp4")
    assert sorted(os.listdir(tmp_path)) == ["out.mp4", "source.mp4"]
    assert (tmp_path / "out.mp4").read_text() == "old"


@pytest.mark.parametrize("kind", ["missing", "text", "truncated", "folder", "sound only", "playlist"])
def test_a_bad_video_is_one_sentence(kind, editor, tmp_path):
    bad = tmp_path / "bad.mp4"
    if kind == "text":
        bad.write_text("this is no video")
    elif kind == "truncated":
        make_video(bad, [canvas()] * 5)
        bad.write_bytes(bad.read_bytes()[:600])
    elif kind == "folder":
        bad.mkdir()
    elif kind == "sound only":
        with av.open(str(bad), "w") as output:
            tone = output.add_stream("aac", rate=44100, layout="mono")
            quiet = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.int16), format="s16", layout="mono")
            quiet.sample_rate = 44100
            output.mux([*tone.encode(quiet), *tone.encode(None)])
    elif kind == "playlist":  # would make the reader open what it names
        make_video(tmp_path / "part.ts", [canvas()] * 5)
        bad.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\npart.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(BadVideoError, match=r"^bad\.mp4[^\n]*\.$"):
        editor.edit_video(bad, EXAMPLES / "happiness.png", tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_two_pictures_a_bad_picture_and_a_bad_output_are_told(editor, tmp_path):
    source = make_video(tmp_path / "source.mp4", [canvas()] * 2)
    for reference in (EXAMPLES / "happiness.png", "smile"):
        with pytest.raises(ConfigError, match="both pictures or expressions"):
            editor.edit_video(EXAMPLES / "source.png", reference, tmp_path / "out.mp4")
    shutil.copy(EXAMPLES / "happiness.png", tmp_path / "cut.png")
    with open(tmp_path / "cut.png", "r+b") as file:
        file.truncate(300)
    with pytest.raises(BadImageError, match=r"cut\.png"):
        editor.edit_video(source, tmp_path / "cut.png", tmp_path / "out.mp4")
    with pytest.raises(BadVideoError, match=r"out\.avi.*\.mp4"):
        editor.edit_video(source, EXAMPLES / "happiness.png", tmp_path / "out.avi")
    with pytest.raises(BadVideoError, match=r"out\.mp4 could not be written"):
        editor.edit_video(source, EXAMPLES / "happiness.png", tmp_path / "nowhere" / "out.mp4")


@pytest.mark.parametrize("reference", ["https://example.org/smile.jpg", "https://example.org/film.mp4"])
def test_a_reference_that_is_a_url_is_told(reference, editor, tmp_path):
    source = make_video(tmp_path / "source.mp4", [canvas()] * 2)
    with pytest.raises(LeedHubError, match="^URLs are not read"):
        editor.edit_video(source, reference, tmp_path / "out.mp4")


def test_a_picture_that_moves_drives_another_and_is_edited_as_a_video(editor, tmp_path):
    frames = [Image.fromarray(canvas(face=face)) for face in ("source", "surprise", "happiness")]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], duration=200, quality=95)
    result = editor.edit_video(canvas(), tmp_path / "a.webp", tmp_path / "out.mp4")
    assert (result.frames, result.sound) == (3, None)
    assert list(VideoFrames(tmp_path / "out.mp4").times()) == [0, Fraction(1, 5), Fraction(2, 5)]
    first, _, last = (frame[80:130, 60:150] for frame in read(tmp_path / "out.mp4"))
    assert change(first, last) > 1
    assert editor.edit_video(tmp_path / "a.webp", EXAMPLES / "anger.png", tmp_path / "out.mp4").frames == 3


def test_a_photograph_of_a_phone_is_a_picture_and_no_film(editor, tmp_path):
    pytest.importorskip("pillow_heif")
    Image.fromarray(canvas()).save(tmp_path / "photo.heic")
    with pytest.raises(ConfigError, match="at least one must be a video"):
        editor.edit_video(tmp_path / "photo.heic", EXAMPLES / "happiness.png", tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_strength_zero_needs_no_reference(editor, tmp_path):
    source = make_video(tmp_path / "source.mp4", [canvas(face="happiness")] * 3)
    assert editor.edit_video(source, None, tmp_path / "out.mp4", strength=0.0).frames == 3
    with pytest.raises(ConfigError, match="reference"):
        editor.edit_video(source, None, tmp_path / "out.mp4", strength=1.0)


def test_few_frames_are_alive_at_a_time_however_long_the_video(editor, tmp_path, monkeypatch):
    source = make_video(tmp_path / "source.mp4", [canvas(shift % 8) for shift in range(40)], sound="aac")
    frames, alive = [], []

    def watched(self, photo, *_):
        edited = photo.copy()
        frames.extend([weakref.ref(photo), weakref.ref(edited)])
        alive.append(sum(frame() is not None for frame in frames))
        return edited

    monkeypatch.setattr(SourceVideo, "__call__", watched)
    monkeypatch.setattr(SourceVideo, "check", lambda self: None)
    editor.edit_video(source, EXAMPLES / "happiness.png", tmp_path / "out.mp4")
    assert len(alive) == 40 and max(alive) <= 4


@torch.inference_mode()
def test_a_fading_face_gets_a_part_of_the_edit(editor, monkeypatch):
    code = editor.encode_expression([EXAMPLES / "happiness.png"])
    edit = SourceVideo(editor, FaceTracker(), 1.0, None)
    photo = canvas()
    changes = [change(edit(photo, 0.0, code), photo)]
    monkeypatch.setattr(StubLocator, "__call__", lambda self, photo: [])
    changes += [change(edit(photo, 0.1 * n, code), photo) for n in range(1, 7)]
    assert changes[0] > changes[1] > changes[3] > changes[4] > changes[6] == 0
