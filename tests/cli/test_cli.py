"""The command line as a shell user meets it."""

import csv
import io
import json
import signal
import subprocess
import sys
import time

import pytest
from conftest import EXAMPLES, ROOT
from PIL import Image
from typer.testing import CliRunner

from leed_hub import __version__
from leed_hub.cli import app
from leed_hub.media.provenance import is_marked_edited


@pytest.fixture
def faces():
    return EXAMPLES / "source.png", EXAMPLES / "happiness.png"


def run(*arguments) -> object:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_edit_writes_a_marked_picture_of_the_sources_size(faces, tmp_path):
    done = run("edit", *faces, "--output", tmp_path / "out.jpg", "--strength", "0.8")
    assert done.exit_code == 0, done.output
    assert Image.open(tmp_path / "out.jpg").size == Image.open(faces[0]).size
    assert is_marked_edited(tmp_path / "out.jpg")


def test_edit_writes_a_marked_picture_that_moves(faces, tmp_path):
    done = run("edit", faces[0], "smile", "--output", tmp_path / "smile.gif")
    assert done.exit_code == 0, done.output
    assert Image.open(tmp_path / "smile.gif").n_frames == 40
    assert is_marked_edited(tmp_path / "smile.gif")


def test_edit_takes_all_faces(faces, tmp_path):
    both = Image.new("RGB", (1024, 512))
    for place, photo in zip((0, 512), faces, strict=True):
        both.paste(Image.open(photo), (place, 0))
    both.save(tmp_path / "both.png")
    done = run("edit", tmp_path / "both.png", faces[1], "--output", tmp_path / "out.png", "--face", "all")
    assert done.exit_code == 0, done.output
    assert "2 faces edited" in done.output


def test_edit_video_writes_a_marked_video(faces, tmp_path):
    import numpy as np
    from made_video import make_video

    from leed_hub.media.video import VideoFrames, is_marked_edited

    source = make_video(tmp_path / "source.mp4", [np.asarray(Image.open(faces[0]).convert("RGB"))] * 3, sound="aac")
    done = run("edit-video", source, faces[1], "-o", tmp_path / "out.mp4", "--strength", "0.8", "--face", "0")
    assert done.exit_code == 0, done.output
    assert "3 frames, sound copied" in done.stdout
    assert VideoFrames(tmp_path / "out.mp4").n_frames == 3
    assert is_marked_edited(tmp_path / "out.mp4")
    options = ("--seconds", "0.05", "--mouth", "1.2", "--eyes", "0.5")
    done = run("edit-video", source, "smile", "-o", tmp_path / "out.mp4", *options)
    assert "2 frames, sound copied" in done.stdout, done.output


def test_read_video_still_works_and_names_its_successor(faces, tmp_path):
    import numpy as np
    from made_video import make_video

    video = make_video(tmp_path / "v.mp4", [np.asarray(Image.open(faces[1]).convert("RGB"))] * 2)
    tables = []
    for name in ("classify-video", "read-video"):
        done = run(name, video, "-o", tmp_path / f"{name}.csv")
        assert done.exit_code == 0, done.output
        assert done.stderr == ("" if name == "classify-video" else "Note: read-video is now called classify-video.\n")
        tables.append((tmp_path / f"{name}.csv").read_text())
    assert tables[0] == tables[1]


@pytest.mark.parametrize(("options", "noted"), [(["--aligner", "yunet"], False), (["--detector", "auto"], True)])
def test_former_names_of_detectors_work_and_are_noted_once(options, noted, faces):
    done = run("classify", faces[1], "--format", "csv", *options)
    assert done.exit_code == 0, done.output
    assert done.stderr.count("is now called") == noted


def test_classify_prints_the_same_prediction_in_every_format(faces):
    table, as_json, as_csv = (run("classify", faces[1], "--format", form) for form in ("table", "json", "csv"))
    (face,) = json.loads(as_json.stdout)
    (row,) = csv.DictReader(io.StringIO(as_csv.stdout))
    assert face["expression"] == row["expression"] == "happiness"
    assert float(row["happiness"]) == face["scores"]["happiness"]
    assert "happiness" in table.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["edit", "missing.jpg", "missing.jpg", "--output", "out.png"], "missing.jpg"),
        (["edit", "{face}", "{face}", "--output", "out.png", "--strength", "9"], "strength"),
        (["edit", "{face}", "{face}", "--output", "out.bmp"], "out.bmp"),
        (["edit", "{face}", "{face}", "--output", "out.png", "--model", "no/such/folder"], "Folder not found"),
        (["edit", "{face}", "{face}", "--output", "out.png", "--face", "3"], "number 3"),
        (["edit", "{face}", "{face}", "--output", "out.png", "--face", "left"], "left"),
        (["edit-video", "missing.mp4", "{face}", "-o", "out.mp4"], "missing.mp4"),
        (["edit-video", "{face}", "{face}", "-o", "out.mp4"], "pictures"),
        (["classify", "missing.jpg"], "missing.jpg"),
        (["classify", "https://example.org/face.png"], "URLs are not read"),
        (["classify-video", "https://example.org/film.mp4", "-o", "t.csv"], "URLs are not read"),
        (["evaluate", "editing", "--data", "nowhere", "--json", "out.json"], "nowhere"),
        (["evaluate", "disentanglement", "--data-dir", "nowhere", "--json", "out.json"], "nowhere"),
        (["evaluate", "strength", "--data-dir", "nowhere", "--json", "out.json"], "nowhere"),
        (["evaluate", "photographs", "--data-dir", "nowhere", "--json", "out.json"], "nowhere"),
        (["evaluate", "recognition", "--corpus", "fer", "--data-dir", ".", "--split", "x", "--json", "o.json"], "fer"),
        (["push", "nowhere", "org/name"], "nowhere"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(arguments, sentence, faces, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(*[argument.format(face=faces[0]) for argument in arguments])
    assert done.exit_code == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert sentence in line
    assert "Traceback" not in done.output
    assert not list(tmp_path.iterdir())


def test_evaluate_editing_writes_every_promised_number(shared, tmp_path):
    """On the first triplets only: a copy of the folder's beginning."""
    import pyarrow.parquet as pq

    folder = shared / "corpora" / "rendered_faces" / "pairs_validation"
    for number in range(4):
        for role in ("source", "reference", "target"):
            name = f"{number:03d}_{role}.jpg"
            (tmp_path / name).write_bytes((folder / name).read_bytes())
    pq.write_table(pq.read_table(folder / "pairs.parquet").slice(0, 4), tmp_path / "pairs.parquet")
    done = run("evaluate", "editing", "--data", tmp_path, "--json", tmp_path / "numbers.json")
    assert done.exit_code == 0, done.output
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    promised = {"error_ratio", "error_ratio_frontal", "error_ratio_profile", "unchanged_error", "ssim", "psnr", "n"}
    assert promised <= numbers.keys()
    assert numbers["n"] == 4


@pytest.mark.parametrize("way", ["the same", "another spelling", "link", "hard link"])
@pytest.mark.parametrize("command", ["edit", "edit-video"])
def test_an_output_never_replaces_what_is_read(command, way, faces, tmp_path):
    ending = "png" if command == "edit" else "mp4"
    source, output = tmp_path / f"me.{ending}", tmp_path / f"out.{ending}"
    source.write_bytes(faces[0].read_bytes())
    if way == "the same":
        output = source
    elif way == "another spelling":
        output = tmp_path / ".." / tmp_path.name / source.name
    elif way == "link":
        output.symlink_to(source)
    else:
        output.hardlink_to(source)
    before = source.read_bytes()
    for pair in ((source, faces[1]), (faces[1], source)):
        done = run(command, *pair, "-o", output)
        assert done.exit_code == 2 and "is what is read; choose another name" in done.stderr
    assert source.read_bytes() == before


@pytest.mark.parametrize("read", ["me.png", "smile.png", "eyes.png", "eyes.json"])
@pytest.mark.parametrize("option", ["--output", "--save-expression"])
def test_an_edit_replaces_nothing_else_that_is_read(option, read, faces, tmp_path):
    for name in ("me.png", "smile.png", "eyes.png", "eyes.json"):
        (tmp_path / name).write_bytes(faces[0].read_bytes())
    (tmp_path / "link").symlink_to(read)
    eyes = tmp_path / (read if read.startswith("eyes") else "eyes.png")
    outputs = {"--output": tmp_path / "out.png", option: tmp_path / "link"}
    options = [part for pair in outputs.items() for part in pair]
    done = run("edit", tmp_path / "me.png", tmp_path / "smile.png", "--eyes-from", eyes, *options)
    assert done.exit_code == 2 and done.stderr == "Error: link is what is read; choose another name for the result.\n"
    assert (tmp_path / read).read_bytes() == faces[0].read_bytes() and (tmp_path / "link").is_symlink()
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("way", ["the same", "link", "hard link"])
@pytest.mark.parametrize("option", ["--output", "--plot"])
def test_a_table_and_a_plot_never_replace_the_video(option, way, tmp_path):
    import numpy as np
    from made_video import make_video

    film = make_video(tmp_path / "film.mp4", [np.zeros((64, 64, 3), np.uint8)])
    video = film.rename(tmp_path / ("film.csv" if option == "--output" else "film.png"))
    before, name = video.read_bytes(), tmp_path / f"other{video.suffix}"
    if way == "the same":
        name = video
    elif way == "link":
        name.symlink_to(video)
    else:
        name.hardlink_to(video)
    outputs = {"--output": tmp_path / "table.csv", option: name}
    done = run("classify-video", video, *[part for pair in outputs.items() for part in pair])
    assert done.exit_code == 2 and "is what is read; choose another name" in done.stderr
    assert video.read_bytes() == before and not (tmp_path / "table.csv").exists()


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)])
def test_an_edit_stopped_in_the_middle_leaves_the_old_file_as_it_was(stop, code, faces, tmp_path):
    import numpy as np
    from made_video import make_video

    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "out.mp4").write_text("old")
    source = make_video(tmp_path / "source.mp4", [np.asarray(Image.open(faces[0]).convert("RGB"))] * 500)
    command = [sys.executable, "-m", "leed_hub.cli", "edit-video", source, faces[1], "-o", folder / "out.mp4"]
    process = subprocess.Popen([str(part) for part in command], cwd=ROOT)
    while not any(path.stat().st_size for path in folder.glob(".leed-*")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(stop)
    assert process.wait(timeout=60) == code
    assert (folder / "out.mp4").read_text() == "old"
    if stop == signal.SIGTERM:  # who is killed cleans up no more
        assert list(folder.iterdir()) == [folder / "out.mp4"]


def test_version_is_the_packages():
    done = run("--version")
    assert (done.exit_code, done.output) == (0, f"leed_hub {__version__}\n")
    assert "Edit and classify facial expressions." in run("--help").output
