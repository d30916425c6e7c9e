"""The Read tab as a visitor and as a client use it; real weights, real faces."""

import csv
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from browser import screenshot, upload
from conftest import portrait
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from made_video import make_video
from PIL import Image

from leed_hub.pipelines.plot import SIZE


@pytest.fixture
def files(photographs, tmp_path) -> list[Path]:
    """Two pictures with a face, one without, and none."""
    Image.new("RGB", (300, 300), (90, 120, 90)).save(tmp_path / "grey.png")
    (tmp_path / "text.jpg").write_text("no picture")
    return [*photographs, tmp_path / "grey.png", tmp_path / "text.jpg"]


@pytest.fixture
def glad(tmp_path) -> Path:
    """From neutral to happiness in 2 s."""
    calm, happy = (np.asarray(portrait(name).resize((256, 256))).astype(float) for name in ("source", "happiness"))
    frames = [(calm * (1 - k) + happy * k).astype(np.uint8) for k in np.linspace(0, 1, 40)]
    return make_video(tmp_path / "glad.mp4", frames, rate=20)


@pytest.fixture
def read_tab(browser_page):
    browser_page.get_by_role("tab", name="Read").click()
    browser_page.locator("#read-files").get_by_text("Click to Upload").wait_for()
    return browser_page


def wait_for_note(view, text: str) -> None:
    view.locator("#read-note").get_by_text(text).wait_for()


def bars(view) -> str:
    return view.locator("#read-bars h2").inner_text()


def test_many_pictures_give_a_row_a_face_and_a_note_names_the_rest(read_tab, files):
    view = read_tab
    upload(view, "#read-files", files)
    wait_for_note(view, "4 pictures, 2 faces.")
    wait_for_note(view, "No face was found in grey.png")
    wait_for_note(view, "text.jpg is not")
    screenshot(view, "read")
    assert bars(view) == "neutral"
    picture = view.locator("#read-picture img").get_attribute("src")
    view.locator("#read-table [data-testid^=cell]").get_by_text("happiness.png").click()
    view.locator("#read-bars h2").get_by_text("happiness").wait_for()
    assert view.locator("#read-picture img").get_attribute("src") != picture
    with view.expect_download() as download:
        view.locator("#read-csv").click()
    with open(download.value.path(), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == ["source.png", "happiness.png", "grey.png", "text.jpg"]
    assert [bool(row["error"]) for row in rows] == [False, False, True, True]


def test_a_folder_is_read_whole_and_what_is_no_picture_left_out(read_tab, files, tmp_path):
    view = read_tab
    folder = tmp_path / "folder"
    (folder / "deeper").mkdir(parents=True)
    shutil.copy(files[0], folder / "calm.png")
    shutil.copy(files[1], folder / "deeper" / "glad.PNG")
    (folder / "notes.txt").write_text("no picture")
    view.get_by_text("A whole folder").click()
    upload(view, "#read-folder", folder)
    wait_for_note(view, "2 pictures, 2 faces.")
    names = view.locator("#read-table [data-testid^=cell]")
    for name in ("calm.png", "glad.PNG"):
        names.get_by_text(name).first.wait_for()
    (empty := tmp_path / "empty").mkdir()
    (empty / "notes.txt").write_text("no picture")
    upload(view, "#read-folder", empty)
    wait_for_note(view, "The folder holds no picture")


def test_an_example_is_read_at_a_click(read_tab):
    for name in ("surprise", "anger"):
        read_tab.get_by_role("button", name=f"{name}.png").click()
        read_tab.locator("#read-bars h2").get_by_text(name).wait_for()
        wait_for_note(read_tab, "1 picture, 1 face.")


def test_a_picture_without_a_face_leaves_the_last_result(read_tab, files):
    view = read_tab
    upload(view, "#read-files", files[1])
    wait_for_note(view, "1 picture, 1 face.")
    picture = view.locator("#read-picture img").get_attribute("src")
    upload(view, "#read-files", files[2])
    wait_for_note(view, "No face was found in grey.png")
    assert view.locator("#read-picture img").get_attribute("src") == picture and bars(view) == "happiness"


def test_a_video_gives_a_plot_and_a_row_a_frame(read_tab, glad):
    view = read_tab
    upload(view, "#read-files", glad)
    wait_for_note(view, "20 frames")
    assert bars(view) == "neutral"
    view.locator("#read-picture img").wait_for()
    assert view.evaluate("document.querySelector('#read-picture img').naturalWidth") == SIZE[0]
    with view.expect_download() as download:
        view.locator("#read-csv").click()
    assert download.value.suggested_filename == "glad_expressions.csv"


@pytest.mark.parametrize("tab", ["Video", "Live", "Read"])
def test_a_phone_needs_no_sideways_scroll(tab, browser_page):
    browser_page.set_viewport_size({"width": 390, "height": 844})
    browser_page.get_by_role("tab", name=tab).click()
    browser_page.wait_for_timeout(500)
    assert browser_page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_client_reads_pictures_and_a_video(page, files, glad):
    client = Client(page, verbose=False)
    faces, table, note = client.predict([handle_file(str(file)) for file in files], api_name="/read")
    assert [(face["file"], face["face"], face["label"]) for face in faces] == [
        ("source.png", 0, "neutral"),
        ("happiness.png", 0, "happiness"),
    ]
    assert "4 pictures, 2 faces." in note and "text.jpg is not" in note
    assert Path(table).read_text(encoding="utf-8").count("\n") == 5
    table, plot, note = client.predict(handle_file(str(glad)), api_name="/read_video")
    with open(table, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20 and (rows[0]["expression"], rows[-1]["expression"]) == ("neutral", "happiness")
    assert Image.open(plot).size == SIZE and note.startswith("20 frames")
    with pytest.raises(AppError, match="is a picture that does not move"):
        client.predict(handle_file(str(files[0])), api_name="/read_video")


def test_of_a_film_that_is_cut_off_a_client_is_told_by_both_endpoints(page, glad, tmp_path):
    cut = tmp_path / "cut.avi"
    with av.open(str(glad)) as source, av.open(str(tmp_path / "whole.avi"), "w") as output:
        stream = output.add_stream("mpeg4", rate=20, width=256, height=256, bit_rate=2_000_000)
        for number, frame in enumerate(source.decode(video=0)):
            picture = av.VideoFrame.from_ndarray(frame.to_ndarray(format="rgb24"))
            picture.pts = number
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    whole = (tmp_path / "whole.avi").read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    client = Client(page, verbose=False)
    *_, read = client.predict(handle_file(str(cut)), api_name="/read_video")
    *_, edited = client.predict(handle_file(str(cut)), None, 1.0, True, expression="smile", api_name="/edit_video")
    assert "cut off" in read and "cut off" in edited and str(tmp_path) not in read + edited
