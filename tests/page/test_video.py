"""The Video tab as a visitor and as a client use it; real weights, real faces, small films."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from browser import PATIENCE_MS, screenshot, upload
from conftest import portrait
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from made_video import make_video
from PIL import Image

from leed_hub.media.video import VideoFrames, is_marked_edited


def film(path: Path, name: str = "source", frames: int = 25) -> Path:
    return make_video(path, [np.asarray(portrait(name).resize((256, 256)))] * frames, rate=10, sound="aac")


@pytest.fixture
def video_tab(browser_page, tmp_path):
    """The tab, with a film of 2.5 s and a consent."""
    browser_page.get_by_role("tab", name="Video").click()
    choose(browser_page, "#video-source", film(tmp_path / "me.mp4"))
    browser_page.locator("#video-consent input").check()
    return browser_page


def choose(view, control: str, file: Path) -> None:
    upload(view, control, file)
    view.locator(f"{control} [aria-label='{file.name}']").wait_for()


def shown(view) -> str:
    return view.locator("#video-result video").first.get_attribute("src")


def wait_for_note(view, text: str) -> None:
    view.locator("#video-note").get_by_text(text).wait_for()


def test_a_trial_then_the_whole_named_after_the_video_and_marked(video_tab, tmp_path):
    view = video_tab
    view.locator("#video-trial").click()
    wait_for_note(view, "20 frames, with sound.")
    trial = shown(view)
    view.locator("#video-whole").click()
    wait_for_note(view, "25 frames, with sound.")
    assert shown(view) != trial
    screenshot(view, "video")
    with view.expect_download() as download:
        view.locator("#video-result a[download]").click()
    assert download.value.suggested_filename == "me_edited.mp4"
    download.value.save_as(tmp_path / "edited.mp4")
    assert is_marked_edited(tmp_path / "edited.mp4")
    before, after = (list(VideoFrames(tmp_path / name)) for name in ("me.mp4", "edited.mp4"))
    assert len(before) == len(after) == 25
    assert np.abs(before[9][1].astype(int) - after[9][1]).max() > 30  # the mouth


def test_without_a_result_a_note_says_why_and_the_last_result_stays(video_tab, tmp_path):
    view = video_tab
    view.locator("#video-trial").click()
    wait_for_note(view, "20 frames")
    result = shown(view)
    view.locator("#video-consent input").uncheck()
    view.locator("#video-trial").click()
    wait_for_note(view, "Please confirm first")
    view.locator("#video-consent input").check()
    view.get_by_label("My own picture or video").check()
    view.locator("#video-trial").click()
    wait_for_note(view, "Choose the picture or video whose expression shall be taken")
    view.locator("#video-expression").get_by_label("Smile").check()
    (tmp_path / "text.mp4").write_text("no film")
    picture = tmp_path / "me.png"
    portrait("source").save(picture)
    for file, reason in ((tmp_path / "text.mp4", "text.mp4 is damaged"), (picture, "at least one must be a video")):
        choose(view, "#video-source", file)
        view.locator("#video-trial").click()
        wait_for_note(view, reason)
    assert shown(view) == result


def test_cancel_ends_an_edit_and_the_next_one_begins_at_once(video_tab, tmp_path):
    view = video_tab
    choose(view, "#video-source", film(tmp_path / "long.mp4", frames=600))
    view.locator("#video-whole").click()
    view.locator("#video-result").get_by_text("600 frames").wait_for()
    view.locator("#video-cancel").click()
    wait_for_note(view, "Cancelled.")
    choose(view, "#video-source", film(tmp_path / "short.mp4", frames=3))
    view.locator("#video-whole").click()  # only one whole video is edited at a time
    wait_for_note(view, "3 frames")


def finished_videos(tmp_path_factory) -> list[str]:
    """The names of all that the page has made."""
    return [file.name for file in tmp_path_factory.getbasetemp().glob("page*/gradio/**/*_edited.mp4")]


@pytest.mark.parametrize("leaves", [True, False])
def test_a_visitor_who_leaves_or_reloads_frees_the_place(leaves, video_tab, browser, page, tmp_path, tmp_path_factory):
    choose(video_tab, "#video-source", film(tmp_path / "long.mp4", frames=900))
    video_tab.locator("#video-whole").click()
    video_tab.locator("#video-result").get_by_text("900 frames").wait_for()
    if leaves:
        video_tab.close()
        view = browser.new_page()
        view.set_default_timeout(PATIENCE_MS)
        view.goto(page)
    else:
        view = video_tab
        view.reload()
    view.get_by_role("tab", name="Video").click()
    choose(view, "#video-source", film(tmp_path / "short.mp4", frames=3))
    view.locator("#video-consent input").check()
    view.locator("#video-whole").click()  # only one whole video is edited at a time
    wait_for_note(view, "3 frames")
    finished = finished_videos(tmp_path_factory)
    assert "short_edited.mp4" in finished and "long_edited.mp4" not in finished  # the place was not waited for
    if leaves:
        view.close()


def test_a_client_that_dies_frees_the_place(page, tmp_path, tmp_path_factory):
    script = """
import sys, time
from gradio_client import Client, handle_file
job = Client(sys.argv[1], verbose=False).submit(
    handle_file(sys.argv[2]), None, 1.0, True, expression="smile", api_name="/edit_video"
)
while not job.status().progress_data:
    time.sleep(0.1)
print("under way", flush=True)
time.sleep(600)
"""
    long = film(tmp_path / "long.mp4", frames=900)
    with subprocess.Popen([sys.executable, "-c", script, page, str(long)], stdout=subprocess.PIPE) as client:
        assert client.stdout.readline() == b"under way\n"
        client.kill()
    short = handle_file(str(film(tmp_path / "short.mp4", frames=3)))
    _, note = Client(page, verbose=False).predict(
        short, None, 1.0, True, expression="smile", api_name="/edit_video"
    )  # only one is edited at a time
    assert note == "3 frames, with sound."
    assert "long_edited.mp4" not in finished_videos(tmp_path_factory)


def test_a_client_brings_a_picture_to_life_by_a_video_and_needs_consent(page, photographs, tmp_path):
    client = Client(page, verbose=False)
    picture, happy = (handle_file(str(path)) for path in photographs)
    video = handle_file(str(film(tmp_path / "glad.mp4", "happiness", 4)))
    edited, note = client.predict(picture, video, 1.0, True, api_name="/edit_video")
    edited = edited["video"] if isinstance(edited, dict) else edited
    assert Path(edited).name == "source_edited.mp4" and is_marked_edited(edited) and note == "4 frames, with sound."
    assert next(iter(VideoFrames(edited)))[1].shape == np.asarray(Image.open(photographs[0])).shape
    _, note = client.predict(video, None, 1.0, True, expression="surprise", mouth=0.5, api_name="/edit_video")
    assert note == "4 frames, with sound."
    with pytest.raises(AppError, match="at least one must be a video"):
        client.predict(picture, happy, 1.0, True, api_name="/edit_video")
    for consent in (False, "true"):
        with pytest.raises(AppError, match="confirm that you may use"):
            client.predict(video, happy, 1.0, consent, api_name="/edit_video")
