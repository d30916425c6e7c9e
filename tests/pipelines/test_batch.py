"""Many pictures, videos and codes: a small recogniser with drawn weights, and a face finder that reads a pixel."""

import csv
import doctest
import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from made_video import make_video
from PIL import Image
from typer.testing import CliRunner

from leed_hub import ExpressionRecognizer
from leed_hub.cli import app
from leed_hub.errors import BadImageError, BadVideoError, ConfigError, NoFaceError
from leed_hub.faces.face import Face
from leed_hub.media import images
from leed_hub.models.expression_encoder import ExpressionEncoderConfig, ExpressionEncoderModel
from leed_hub.pipelines import cropper
from leed_hub.pipelines.batch import AHEAD_BATCHES, PicturePrediction, classify_many, find_pictures
from leed_hub.pipelines.plot import COLORS, SIZE, plot_expressions
from leed_hub.pipelines.tables import NO_FACE, PictureTable, continued_table, to_frame
from leed_hub.pipelines.video_classification import classify_video

POINTS = np.float32([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.76], [0.65, 0.76]])
SIDE = 40
SETTINGS = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}


@pytest.fixture(scope="module")
def model() -> ExpressionEncoderModel:
    """Its batch norms know what comes through them, so that different faces get different codes."""
    torch.manual_seed(0)
    model = ExpressionEncoderModel(ExpressionEncoderConfig(widths=(8, 8, 16, 16), code_dim=8))
    for part in model.modules():
        if hasattr(part, "momentum"):
            part.momentum = 1.0
    with torch.no_grad():
        model.train()(torch.rand(64, 1, 48, 48) * 2 - 1)
    return model.eval()


@pytest.fixture
def recognizer(model) -> ExpressionRecognizer:
    return ExpressionRecognizer(model, detector="none")


@pytest.fixture
def finder(recognizer, monkeypatch) -> ExpressionRecognizer:
    """Finds as many faces side by side as the first pixel says, each a little smaller than the one before."""

    class Finder:
        name = "stub"

        def __call__(self, photo: np.ndarray) -> list[Face]:
            return [face_at(SIDE * i, SIDE - 4 * i) for i in range(int(photo[0, 0, 0]) // 50)]

    monkeypatch.setattr(cropper, "build_detector", lambda name: None if name == "none" else Finder())
    recognizer.cropper.detector = "stub"
    return recognizer


def face_at(x: float, side: float) -> Face:
    return Face((x, 0.0, x + side, side), 0.9, POINTS * np.float32(side) + np.float32([x, 0]))


def photo(n_faces: int, seed: int = 0) -> np.ndarray:
    """Coarse patches, which even drawn weights tell apart."""
    patches = np.random.default_rng(seed).integers(0, 256, (4, 12, 3), np.uint8)
    pixels = patches.repeat(SIDE // 4, 0).repeat(SIDE // 4, 1)
    pixels[0, 0] = 50 * n_faces + 25
    return pixels


def folder_of(path: Path, n_faces: dict[str, int]) -> Path:
    for seed, (name, n) in enumerate(n_faces.items()):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo(n, seed)).save(path / name)
    return path


def rows_of(path: Path) -> list[dict]:
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.DictReader(file))


def run(*arguments) -> object:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_many_pictures_read_as_each_alone_and_in_order(finder):
    pictures = [photo(n, seed) for seed, n in enumerate((1, 0, 3, 1, 0, 0, 2, 3, 3, 1, 0))]
    readings = list(classify_many(finder, iter(pictures), batch_size=4, workers=3))
    assert [reading.picture is picture for reading, picture in zip(readings, pictures, strict=True)] == [True] * 11
    for reading, picture in zip(readings, pictures, strict=True):
        alone = finder(picture)
        assert [face.box for face in reading.faces] == [face.box for face in alone]
        assert [face.detector for face in reading.faces] == ["stub"] * len(alone)
        for together, single in zip(reading.faces, alone, strict=True):
            assert together.scores == pytest.approx(single.scores, abs=1e-5)
            assert np.allclose(together.expression_code, single.expression_code, atol=1e-5)
    assert not np.allclose(readings[0].faces[0].expression_code, readings[3].faces[0].expression_code, atol=1e-3)


def test_faces_of_several_pictures_share_a_batch_and_none_is_larger(finder, monkeypatch):
    sizes = []
    recognize = finder.model.recognize
    monkeypatch.setattr(finder.model, "recognize", lambda crops: sizes.append(len(crops)) or recognize(crops))
    list(classify_many(finder, [photo(n) for n in (3, 3, 3, 1, 1, 1, 0, 0, 3)], batch_size=4))
    assert max(sizes) == 4 and sum(sizes) == 15 and len(sizes) <= 6


def test_only_a_few_pictures_are_ahead_and_leaving_early_stops_the_threads(recognizer, monkeypatch):
    taken, running, most = 0, 0, 0
    lock, cut = threading.Lock(), recognizer.cropper

    def pictures():
        nonlocal taken
        while True:
            taken += 1
            yield photo(1)

    def watched(picture, detector):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        try:
            return cut(picture, detector)
        finally:
            with lock:
                running -= 1

    monkeypatch.setattr(recognizer, "cropper", watched)
    watched.tensor = cut.tensor
    readings = classify_many(recognizer, pictures(), batch_size=4, workers=3)
    for _ in range(50):
        next(readings)
    assert taken <= 50 + 4 + AHEAD_BATCHES * 4 + 3
    assert most <= 3
    readings.close()
    assert running == 0
    assert not [each for each in threading.enumerate() if each.name.startswith("leed-hub-classify")]


def test_a_picture_that_cannot_be_read_does_not_stop_the_others(recognizer, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    first, bad, last = classify_many(recognizer, [photo(1), tmp_path / "bad.png", photo(1)])
    assert (first.error, last.error) == (None, None) and first.faces and last.faces
    assert bad.faces == [] and "bad.png" in bad.error


def test_a_fault_of_the_pictures_source_is_not_hidden(recognizer):
    def pictures():
        yield photo(1)
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="disk"):
        list(classify_many(recognizer, pictures()))


@pytest.mark.parametrize("given", [{"batch_size": 0}, {"workers": 0}, {"images": "me.jpg"}])
def test_what_makes_no_sense_is_refused_before_anything_is_read(recognizer, given):
    with pytest.raises(ConfigError, match="batch_size|workers|one picture"):
        classify_many(recognizer, **({"images": []} | given))


def test_pictures_are_found_in_folders_and_taken_as_they_are_when_named(tmp_path):
    for name in ("b.jpg", "a/2.PNG", "a/1.webp", "a/notes.txt", "a/._1.webp", "__MACOSX/1.jpg", "odd.data"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "back").symlink_to(tmp_path)
    found = [path.relative_to(tmp_path).as_posix() for path in find_pictures([tmp_path / "odd.data", tmp_path])]
    assert found == ["odd.data", "b.jpg", "a/1.webp", "a/2.PNG"]
    with pytest.raises(BadImageError, match="nowhere"):
        list(find_pictures([tmp_path / "nowhere"]))
    for url in ("https://example.org/face.png", Path("https://example.org/album/")):
        with pytest.raises(BadImageError, match="^URLs are not read"):
            list(find_pictures([url]))
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadImageError, match=r"empty holds no picture \(\.jpg"):
        list(find_pictures([tmp_path / "empty"]))


def written(path: Path, labels, readings: list[PicturePrediction]) -> list[Path]:
    """The pictures that the table lacked and now has."""
    with continued_table(path, labels, [reading.picture for reading in readings]) as (table, left):
        for reading in readings:
            if reading.picture in left:
                table.write(reading)
    return left


def test_a_table_cut_off_at_any_byte_is_made_whole_again(finder, tmp_path):
    names = ["one.png", 'a "quoted", name\r\nof two lines.png', "none.png", "three.png", "größe.png", "last.png"]
    names += [os.fsdecode(b"no\xfftext.png")]
    faces = {n: finder(photo(n)) for n in range(4)}
    readings = [PicturePrediction(Path(name), faces[n]) for name, n in zip(names, (1, 2, 0, 3, 1, 3, 1), strict=True)]
    readings.insert(2, PicturePrediction(Path("bad.png"), [], "bad.png is damaged, and cannot be read."))
    path = tmp_path / "table.csv"
    assert written(path, finder.labels, readings) == [reading.picture for reading in readings]
    whole = path.read_bytes()
    assert [row["image"] for row in rows_of(path) if row["face"] in ("", "0")] == [str(r.picture) for r in readings]
    marks = {n for n in range(1, len(whole)) if whole[n - 1] in b'\r\n"'}
    for length in sorted(marks | set(range(0, len(whole), 7))):
        path.write_bytes(whole[:length])
        written(path, finder.labels, readings)
        assert path.read_bytes() == whole, length
    # Of a table that looks complete only a last picture with faces is read again, as there may have been more.
    assert written(path, finder.labels, readings) == [readings[-1].picture]
    assert path.read_bytes() == whole
    for last in (PicturePrediction(Path("z.png"), []), PicturePrediction(Path("zz.png"), [], "zz.png is empty.")):
        written(path, finder.labels, [last])
        assert written(path, finder.labels, [*readings, last]) == []


def test_what_a_table_holds_of_other_pictures_stays(finder, tmp_path):
    path, faces = tmp_path / "table.csv", finder(photo(2))
    written(path, finder.labels, [PicturePrediction(Path(name), faces) for name in ("a.png", "b.png")])
    before = path.read_bytes()
    left = written(path, finder.labels, [PicturePrediction(Path(name), faces) for name in ("a.png", "c.png")])
    assert left == [Path("c.png")]
    assert path.read_bytes().startswith(before) and [row["image"] for row in rows_of(path)][4:] == ["c.png"] * 2


def test_a_file_that_is_no_such_table_is_left_alone(recognizer, tmp_path):
    for content in (b"my notes\n", b"my notes", b'"', b"image,face\r\n"):
        (tmp_path / "notes.csv").write_bytes(content)
        with pytest.raises(ConfigError, match=r"notes\.csv exists"):
            written(tmp_path / "notes.csv", recognizer.labels, [])
        assert (tmp_path / "notes.csv").read_bytes() == content
    written(tmp_path / "seven.csv", recognizer.labels, [])
    with pytest.raises(ConfigError, match=r"seven\.csv exists"):
        written(tmp_path / "seven.csv", (*recognizer.labels, "contempt"), [])
    with open(tmp_path / "seven.csv", "a") as file:
        file.write("a.png,0\n")
    with pytest.raises(ConfigError, match="row 2 has 2 columns"):
        written(tmp_path / "seven.csv", recognizer.labels, [])
    for name, reason in (("a.txt", "csv"), ("no/where.csv", "could not be written")):
        with pytest.raises(ConfigError, match=reason):
            written(tmp_path / name, recognizer.labels, [])


def test_each_picture_is_in_the_file_as_soon_as_it_is_written(recognizer, tmp_path):
    with continued_table(tmp_path / "t.csv", recognizer.labels, [Path("a.png"), Path("b.png")]) as (table, _):
        table.write(PicturePrediction(Path("a.png"), []))
        (row,) = rows_of(tmp_path / "t.csv")
    assert (row["image"], row["face"], row["expression"], row["x0"], row["error"]) == ("a.png", "", "", "", NO_FACE)


def test_codes_are_of_the_largest_face_and_of_length_one(finder):
    pictures = [photo(n, seed) for seed, n in enumerate((1, 3, 2))]
    codes = finder.embed(pictures)
    assert codes.shape == (3, 8) and codes.dtype == np.float32
    for code, picture in zip(codes, pictures, strict=True):
        own = finder(picture)[0].expression_code
        assert np.allclose(code, own / np.linalg.norm(own), atol=1e-5)
    assert finder.embed([]).shape == (0, 8)


def test_a_picture_that_gives_no_code_is_named(finder, tmp_path):
    Image.fromarray(photo(0)).save(tmp_path / "wall.png")
    with pytest.raises(NoFaceError, match=r"wall\.png"):
        finder.embed([photo(1), tmp_path / "wall.png"])
    with pytest.raises(NoFaceError, match="picture 2"):
        finder.embed([photo(1), photo(0)])
    with pytest.raises(BadImageError, match=r"gone\.png"):
        finder.embed([tmp_path / "gone.png"])


def test_the_example_of_embed_runs(recognizer, monkeypatch):
    monkeypatch.setattr(ExpressionRecognizer, "from_pretrained", classmethod(lambda cls, **_: recognizer))
    (example,) = doctest.DocTestFinder().find(ExpressionRecognizer.embed, "embed", globs={})
    assert doctest.DocTestRunner().run(example).failed == 0


class Followed:
    """Two faces that pass each other in size; frame 3 shows neither."""

    name = "stub"

    def __init__(self):
        self.frame = -1

    def __call__(self, photo: np.ndarray) -> list[Face]:
        self.frame += 1
        if self.frame == 3:
            return []
        faces = [face_at(0, 40), face_at(60, 35 + 2 * self.frame)]
        return sorted(faces, key=lambda face: face.box[0] - face.box[2])


@pytest.fixture
def video(tmp_path) -> Path:
    return make_video(tmp_path / "video.mp4", [photo(1, seed).repeat(2, 0) for seed in range(10)], rate=20)


def test_a_video_is_read_frame_by_frame_along_the_face_that_was_chosen(recognizer, video, monkeypatch):
    monkeypatch.setattr(cropper, "build_detector", lambda name, finder=Followed(): finder)  # noqa: B008
    monkeypatch.setattr("leed_hub.faces.tracking.CUT", 2.0)  # frames of noise are no cuts
    readings = list(classify_video(recognizer, video, batch_size=4, detector="stub"))
    assert [reading.frame for reading in readings] == list(range(10))
    assert [reading.time_s for reading in readings] == pytest.approx([i / 20 for i in range(10)])
    assert readings[3].face is None and readings[3].rank is None
    seen = [reading for reading in readings if reading.face]
    assert len(seen) == 9 and {reading.face.box[0] for reading in seen} == {0.0}
    assert [reading.rank for reading in seen] == [0, 0, 0, 1, 1, 1, 1, 1, 1]


def test_each_nth_frame_is_read_as_it_would_be_alone(recognizer, video):
    from leed_hub.media.video import VideoFrames

    frames = [frame for _, frame in VideoFrames(video)]
    readings = list(classify_video(recognizer, video, every=4, batch_size=2))
    assert [reading.frame for reading in readings] == [0, 4, 8]
    for reading in readings:
        (alone,) = recognizer(frames[reading.frame])
        assert reading.face.scores == pytest.approx(alone.scores, abs=1e-5)


@pytest.mark.parametrize("given", [{"face": "all"}, {"face": -1}, {"every": 0}, {"batch_size": 0}])
def test_options_of_a_video_that_make_no_sense_are_refused(recognizer, video, given):
    with pytest.raises(ConfigError, match="largest|every|batch_size"):
        classify_video(recognizer, video, **given)
    with pytest.raises(BadVideoError, match="nowhere"):
        classify_video(recognizer, "nowhere.mp4")


def test_the_plot_shows_each_share_at_its_time_and_a_gap_where_no_face_was_seen():
    labels = ("neutral", "happiness", "anger")
    scores = np.float32([[0.5, 0.5, 0]] * 4 + [[np.nan] * 3] * 2 + [[0, 0.25, 0.75]] * 4)
    picture = np.asarray(plot_expressions(np.arange(10) / 10, scores, labels)).astype(int)
    assert picture.shape == (*SIZE[::-1], 3)
    area = (np.abs(picture - tuple(bytes.fromhex(COLORS["neutral"][1:]))).max(axis=2) < 3)[:, : SIZE[0] // 2]
    # The first colour lies at the bottom from the start, so it shows the axes' corner; letters have some of it, too.
    rows, columns = np.nonzero(area.sum(axis=1) > 50)[0], np.nonzero(area.sum(axis=0) > 50)[0]
    left, bottom = columns.min(), rows.max()
    height = 2 * (bottom - rows.min())
    blank = (picture[bottom - 5] > 250).all(axis=1).nonzero()[0]
    width = 5 * (blank[blank > left + 50].min() - left) / 2  # the gap begins at 0.4 of the time

    def share(name: str, time_s: float) -> float:
        column = picture[bottom - height : bottom, left + round(time_s * width)]
        return float((np.abs(column - tuple(bytes.fromhex(COLORS[name][1:]))).max(axis=1) < 3).mean())

    for time_s, shares in ((0.05, (0.5, 0.5, 0)), (0.35, (0.5, 0.5, 0)), (0.5, (0, 0, 0)), (0.95, (0, 0.25, 0.75))):
        assert [share(name, time_s) for name in labels] == pytest.approx(shares, abs=0.02)
    assert plot_expressions(np.empty(0), np.empty((0, 3)), labels).size == SIZE
    long = plot_expressions(np.arange(50_000) / 25, np.full((50_000, 3), 1 / 3), labels)
    assert long.size == SIZE


@pytest.fixture
def saved(model, tmp_path) -> Path:
    model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_classify_takes_a_folder_and_goes_on_where_its_table_stopped(saved, tmp_path):
    photos = folder_of(tmp_path / "photos", {"1.png": 1, "deep/2.png": 1, "deep/3.jpg": 1})
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    table = tmp_path / "table.csv"
    arguments = ("classify", photos, "--model", saved, "--detector", "none", "--output", table, "--batch-size", "2")
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    assert [Path(row["image"]).name for row in rows_of(table)] == ["1.png", "broken.jpg", "2.png", "3.jpg"]
    assert [bool(row["error"]) for row in rows_of(table)] == [False, True, False, False]
    (sentence,) = done.stderr.splitlines()
    assert "broken.jpg" in sentence and "1 unreadable" in done.stdout
    whole = table.read_bytes()
    table.write_bytes(whole[:-20])
    folder_of(photos, {"deep/4.png": 1})
    done = run(*arguments)
    assert "2 were in it already" in done.stdout  # the last whole one is read again
    assert table.read_bytes().startswith(whole)
    assert Path(rows_of(table)[-1]["image"]).name == "4.png" and len(rows_of(table)) == 5


def test_classify_streams_csv_to_stdout_with_a_row_a_picture_that_failed(saved, tmp_path):
    photos = folder_of(tmp_path / "photos", {"a[b].png": 1, "z.png": 1})
    (photos / "m.jpg").write_text("no picture")
    done = run("classify", photos, "--model", saved, "--detector", "none", "--format", "csv")
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert list(rows[0])[:7] == ["image", "face", "expression", "x0", "y0", "x1", "y1"] and list(rows[0])[-1] == "error"
    assert [row["face"] for row in rows] == ["0", "", "0"] and "m.jpg" in rows[1]["error"]
    assert "1 unreadable" in done.stderr
    table = run("classify", photos, "--model", saved, "--detector", "none").stdout
    assert "a[b].png" in table and "m.jpg" not in table


def test_an_unreadable_picture_named_itself_ends_in_exit_code_2_after_the_others_are_read(saved, tmp_path):
    photos = folder_of(tmp_path, {"good.png": 1})
    (photos / "bad.png").write_text("no picture")
    for named in ([photos / "bad.png"], [photos / "bad.png", photos / "good.png"]):
        done = run("classify", *named, "--model", saved, "--detector", "none", "--format", "csv")
        assert done.exit_code == 2
        assert [line for line in done.stderr.splitlines() if line.startswith("Error: bad.png")]
        assert len(list(csv.reader(io.StringIO(done.stdout)))) == 1 + len(named)


def test_classify_video_writes_a_table_and_a_plot(saved, video, tmp_path):
    arguments = ("classify-video", video, "--model", saved, "--detector", "none", "--output")
    done = run(*arguments, tmp_path / "t.csv", "--plot", tmp_path / "p.png", "--every", "3")
    assert done.exit_code == 0, done.output
    rows = rows_of(tmp_path / "t.csv")
    assert [(row["frame"], row["time_s"]) for row in rows] == [("0", "0.0"), ("3", "0.15"), ("6", "0.3"), ("9", "0.45")]
    assert sum(float(rows[0][label]) for label in list(rows[0])[8:]) == pytest.approx(1, abs=1e-3)
    assert Image.open(tmp_path / "p.png").size == SIZE
    before = sorted(os.listdir(tmp_path))
    for wrong in (["t.txt"], ["no/t.csv"], ["u.csv", "--plot", "p.jpg"], ["u.csv", "--every", "0"]):
        done = run(*arguments, tmp_path / wrong[0], *wrong[1:])
        assert done.exit_code == 2 and done.stderr.count("Error: ") == 1, done.output
    assert sorted(os.listdir(tmp_path)) == before


def test_a_frame_without_a_face_is_an_empty_row(saved, video, tmp_path, monkeypatch):
    monkeypatch.setattr(cropper, "build_detector", lambda name, finder=Followed(): finder)  # noqa: B008
    done = run("classify-video", video, "--model", saved, "--output", tmp_path / "t.csv", "--plot", tmp_path / "p.png")
    assert done.exit_code == 0, done.output
    row = rows_of(tmp_path / "t.csv")[3]
    assert row.pop("frame") == "3" and row.pop("time_s") == "0.15" and set(row.values()) == {""}
    assert "not seen in 1 frames" in done.stderr


def test_a_table_on_stdout_is_the_one_of_a_file(finder, tmp_path):
    readings = [PicturePrediction(Path("a.png"), finder(photo(2))), PicturePrediction(Path("b.png"), [])]
    written(tmp_path / "t.csv", finder.labels, readings)
    printed = io.StringIO(newline="")
    table = PictureTable(printed, finder.labels)
    for reading in readings:
        table.write(reading)
    assert printed.getvalue().encode() == (tmp_path / "t.csv").read_bytes()


def test_a_list_of_pictures_is_read_as_each_alone(finder, tmp_path):
    pictures = [photo(2, 0), photo(0, 1), photo(1, 2)]
    together = finder(pictures)
    assert [[face.box for face in faces] for faces in together] == [
        [face.box for face in finder(picture)] for picture in pictures
    ]
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(BadImageError, match=r"broken\.jpg"):
        finder([photo(1), tmp_path / "broken.jpg"])


def test_a_prediction_tells_where_the_face_is_and_whose_weights_read_it(finder, recognizer):
    (face,) = finder(photo(1))
    assert face.face.score == 0.9 and np.array_equal(face.face.points, POINTS * SIDE)
    assert (
        face.top(2) == sorted(face.scores.items(), key=lambda item: item[1])[:-3:-1] and face.top(1)[0][0] == face.label
    )
    told = json.loads(json.dumps(face.to_dict()))
    assert told["scores"] == face.scores and told["box"] == list(face.box) and told["face_score"] == 0.9
    assert np.allclose(told["points"], POINTS * SIDE)
    (crop,) = recognizer(photo(1), detector="none")
    assert crop.face is None and crop.to_dict()["points"] is None
    assert ExpressionRecognizer.from_pretrained()(photo(1), detector="none")[0].origin.startswith("leed_hub 0.")


def test_a_frame_has_the_rows_of_the_table(finder, tmp_path):
    pandas = pytest.importorskip("pandas")
    folder_of(tmp_path, {"a.png": 2, "b.png": 0})
    (tmp_path / "c.png").write_bytes(b"no picture")
    predictions = list(classify_many(finder, find_pictures([tmp_path])))
    with open(tmp_path / "t.csv", "w", newline="") as file:
        table = PictureTable(file, finder.labels)
        for prediction in predictions:
            table.write(prediction)
    expected = pandas.read_csv(tmp_path / "t.csv")
    frame = to_frame(predictions)
    assert list(frame.columns) == list(expected.columns) and len(frame) == 4
    pandas.testing.assert_frame_equal(frame, expected, check_dtype=False)
    assert list(to_frame(classify_many(finder, [photo(1)])).image) == ["picture 1"]


def test_onnx_runtime_reads_what_torch_reads(model):
    pytest.importorskip("onnxruntime")
    pictures = [photo(1, seed) for seed in range(3)]
    ours = ExpressionRecognizer(model, detector="none")(pictures)
    theirs = ExpressionRecognizer(model, detector="none", engine="onnx")(pictures)
    for (mine,), (other,) in zip(ours, theirs, strict=True):
        assert list(other.scores.values()) == pytest.approx(list(mine.scores.values()), abs=1e-4)
        assert np.allclose(mine.expression_code, other.expression_code, atol=1e-4)
    with pytest.raises(ConfigError, match="engine is 'torch' or 'onnx'"):
        ExpressionRecognizer(model, engine="tflite")


def test_bfloat16_reads_nearly_the_same(model):
    pictures = [photo(1, seed) for seed in range(4)]
    exact = ExpressionRecognizer(model, detector="none")
    scores = [list(face.scores.values()) for (face,) in exact(pictures)]
    rough = [list(face.scores.values()) for (face,) in exact.to("cpu", torch.bfloat16)(pictures)]
    assert rough != scores and np.allclose(rough, scores, atol=0.02)


def test_a_pipeline_says_what_it_is_and_saves_its_network(recognizer, tmp_path):
    recognizer.save_pretrained(tmp_path / "saved")
    loaded = ExpressionRecognizer.from_pretrained(tmp_path / "saved", detector="none", device="cpu")
    assert repr(loaded) == f"ExpressionRecognizer({tmp_path / 'saved'}, detector='none', device='cpu')"
    assert loaded(photo(1))[0].scores == pytest.approx(recognizer(photo(1))[0].scores)


def test_a_network_with_that_head_tells_valence_and_arousal():
    torch.manual_seed(0)
    config = ExpressionEncoderConfig(widths=(4, 4, 8, 8), code_dim=8, valence_arousal=True)
    recognizer = ExpressionRecognizer(ExpressionEncoderModel(config), detector="none")
    (face,) = recognizer(photo(1))
    output = recognizer.encode_crops([photo(1)])
    assert [face.valence, face.arousal] == pytest.approx(output.valence_arousal[0].tolist(), abs=1e-5)
    assert face.to_dict()["valence"] == face.valence and -1 < face.valence < 1


def test_a_folder_names_the_heic_pictures_that_cannot_be_opened(recognizer, tmp_path, monkeypatch):
    monkeypatch.setattr(images, "FORMATS", [kind for kind in images.FORMATS if kind != "HEIF"])
    (tmp_path / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    (prediction,) = classify_many(recognizer, find_pictures([tmp_path]))
    assert "IMG_1.HEIC is a HEIC picture, which needs pillow-heif" in prediction.error


# Tables and terminals that a file's name must not steer


@pytest.mark.parametrize("name", ["=1+1.png", "+1.png", "-1.png", "@sum.png", "\t=1.png"])
def test_a_name_that_a_spreadsheet_would_run_is_still_the_files_path(name, recognizer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (SIDE, SIDE)).save(name)
    Path(f"{name}.png").write_text("no picture")
    pictures = [Path(name), Path(f"{name}.png")]
    for left in (2, 0):
        with continued_table("t.csv", recognizer.labels, pictures) as (table, lacking):
            assert len(lacking) in (left, 1)  # a last face is read anew
            for prediction in classify_many(recognizer, lacking):
                table.write(prediction)
    with open("t.csv", newline="") as file:
        _, *rows = csv.reader(file)
    assert len(rows) == 2
    assert [Path(row[0]) for row in rows] == pictures
    assert not any(cell.startswith(tuple("=+-@\t")) for row in rows for cell in row)


def test_a_table_is_written_by_one_process_at_a_time(recognizer, tmp_path):
    script = "import sys; from leed_hub.pipelines.tables import continued_table\n"
    script += f"with continued_table('t.csv', {recognizer.labels!r}, []): print('has it', flush=True); input()"
    other = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, stdin=-1, stdout=-1, env=SETTINGS)
    assert other.stdout.readline() == b"has it\n"
    before = (tmp_path / "t.csv").read_bytes()
    with (
        pytest.raises(ConfigError, match=r"t\.csv is being written by another run"),
        continued_table(tmp_path / "t.csv", recognizer.labels, []),
    ):
        pass
    assert (tmp_path / "t.csv").read_bytes() == before
    other.kill()
    other.wait()
    with continued_table(tmp_path / "t.csv", recognizer.labels, []) as (_, left):
        assert left == []


def test_a_table_is_written_by_one_run_at_a_time_where_files_are_locked_otherwise(tmp_path):
    script = "import sys; sys.modules['fcntl'] = None  # as on Windows\n"
    script += "from leed_hub.pipelines.tables import continued_table\n"
    script += "with continued_table('t.csv', ('a',), []), continued_table('t.csv', ('a',), []): pass"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, env=SETTINGS)
    assert "ConfigError: t.csv is being written by another run" in done.stderr


def test_a_table_does_not_follow_a_link(recognizer, tmp_path):
    (tmp_path / "victim.csv").write_text("")
    (tmp_path / "t.csv").symlink_to("victim.csv")
    with (
        pytest.raises(ConfigError, match="t.csv is a link"),
        continued_table(tmp_path / "t.csv", recognizer.labels, []),
    ):
        pass
    assert (tmp_path / "victim.csv").read_text() == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_names_are_printed_without_what_a_terminal_obeys(recognizer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name, harmless = "\x1b]0;owned\x07\x1b[31m.png", "?]0;owned??[31m.png"
    Path(name).write_text("no picture")
    for arguments in ([name], ["."], [name, "--format", "csv"], ["-o", "t.csv", name]):
        done = CliRunner().invoke(app, ["classify", *arguments])
        assert "\x1b" not in done.stderr and harmless in done.stderr
    done = CliRunner().invoke(app, ["classify-video", name, "-o", "t.csv"])
    assert done.exit_code == 2 and "\x1b" not in done.output

    Image.fromarray(photo(1)).save(f"face {name}")
    monkeypatch.setattr(ExpressionRecognizer, "from_pretrained", classmethod(lambda cls, *_, **__: recognizer))
    done = CliRunner().invoke(app, ["classify", f"face {name}"], env={"COLUMNS": "120"})
    assert done.exit_code == 0 and "\x1b" not in done.output and f"face {harmless}" in done.stdout
    terminal = Terminal()
    table = PictureTable(terminal, recognizer.labels)
    for prediction in classify_many(recognizer, [Path(f"face {name}"), Path(name)]):
        table.write(prediction)
    assert "\x1b" not in terminal.getvalue()
    assert [row["image"] for row in csv.DictReader(terminal.getvalue().splitlines())] == [f"face {harmless}", harmless]
