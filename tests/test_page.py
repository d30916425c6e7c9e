"""The page as a visitor uses it, in headless Chromium, and as `gradio_client` calls it; real weights, real faces."""

import asyncio
import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from functools import partial
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from conftest import missing, portrait
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from app import FaceImage
from leed_hub.media.provenance import is_marked_edited

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """`python app.py` on a free port of this machine; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = tmp_path_factory.mktemp("page")
    settings = {"GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": str(home / "gradio"), "TMPDIR": str(home)}
    with open(home / "log.txt", "w") as log:
        server = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=os.environ | settings, stdout=log, stderr=subprocess.STDOUT
        )
    address = f"http://127.0.0.1:{port}"
    for _ in range(240):
        try:
            urllib.request.urlopen(address, timeout=1).close()
            break
        except OSError:
            assert server.poll() is None, (home / "log.txt").read_text()
            time.sleep(0.5)
    yield address
    server.terminate()
    server.wait(timeout=30)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> tuple[Path, Path]:
    """A neutral face and another person's smile."""
    folder = tmp_path_factory.mktemp("photographs")
    for name in ("source", "happiness"):
        portrait(name).save(folder / f"{name}.png")
    return folder / "source.png", folder / "happiness.png"


@pytest.fixture
def browser_page(page):
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        missing("Chromium")
    with playwright.sync_playwright() as driver:
        quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking",
                 "--disable-component-update", "--disable-sync", "--no-first-run"]  # fmt: skip
        browser = driver.chromium.launch(executable_path=chromium, args=quiet)
        view = browser.new_page(viewport={"width": 1280, "height": 1400})
        view.goto(page)
        yield view
        browser.close()


def shown(view) -> str:
    """Where the edited picture on the page comes from; another one after each edit."""
    view.locator("#photo-result img").first.wait_for(timeout=60_000)
    return view.evaluate("[...document.querySelectorAll('#photo-result img')].map(i => i.src).join()")


def wait_for_another(view, before: str) -> str:
    view.wait_for_function(
        "before => [...document.querySelectorAll('#photo-result img')].map(i => i.src).join() != before", arg=before
    )
    return shown(view)


def test_on_opening_one_sees_a_finished_edit(browser_page):
    picture = shown(browser_page)
    if folder := os.environ.get("LEED_HUB_SCREENSHOTS"):  # how docs/page.png is made
        browser_page.get_by_label("Surprise").check()
        wait_for_another(browser_page, picture)
        browser_page.wait_for_timeout(1500)
        browser_page.screenshot(path=Path(folder, "page.png"))


def test_a_visitor_with_one_photo_smiles_after_two_clicks_and_gets_a_marked_file(browser_page, photographs, tmp_path):
    source, view = photographs[0], browser_page
    example = shown(view)
    view.locator("#photo-source input[type=file]").set_input_files(source)
    view.locator("#photo-note").get_by_text("Please confirm first").wait_for(timeout=60_000)
    assert shown(view) == example  # nothing is edited before the visitor has agreed, and nothing is lost
    view.locator("#photo-consent input").check()
    wait_for_another(view, example)
    view.locator("#photo-save").click()
    with view.expect_download() as download:
        view.locator("#photo-file a").first.click()
    assert download.value.suggested_filename == "source_edited.png"
    download.value.save_as(tmp_path / "edited.png")
    assert is_marked_edited(tmp_path / "edited.png")
    before = np.asarray(Image.open(source).convert("RGB")).astype(int)
    after = np.asarray(Image.open(tmp_path / "edited.png")).astype(int)
    assert after.shape == before.shape
    change = np.abs(after - before).max(axis=2)
    assert change.max() > 30  # the mouth
    assert np.median(change) == 0  # most of the photograph is untouched


def test_every_control_draws_anew(browser_page):
    view = browser_page
    picture = shown(view)
    view.get_by_label("Laugh").check()
    picture = wait_for_another(view, picture)
    for control in ("#photo-strength", "#photo-mouth", "#photo-eyes"):
        view.locator(f"{control} input[type=number]").fill("0.5")
        view.locator(f"{control} input[type=number]").press("Enter")
        picture = wait_for_another(view, picture)
    view.get_by_text("Fine control").click()
    view.locator("input[type=number]").last.fill("1")
    view.locator("input[type=number]").last.press("Enter")
    wait_for_another(view, picture)


def test_the_visitors_own_reference_is_worn(browser_page, photographs):
    view = browser_page
    picture = shown(view)
    view.get_by_text("The expression of another picture").click()
    view.locator("#photo-reference input[type=file]").set_input_files(photographs[1])
    view.locator("#photo-note").get_by_text("Please confirm first").wait_for(timeout=60_000)
    assert shown(view) == picture
    view.locator("#photo-consent input").check()
    wait_for_another(view, picture)
    assert view.get_by_label("My own picture").is_checked()


def test_a_visitor_classifies_a_real_face(browser_page, photographs):
    view = browser_page
    view.get_by_role("tab", name="Classify").click()
    view.locator("#classify-image input[type=file]").set_input_files(photographs[1])
    view.locator("#classify-run").click()
    view.locator("#classify-bars").get_by_text("happiness").first.wait_for(timeout=60_000)
    view.locator("#classify-boxes img").wait_for()


def test_the_endpoints_answer_a_client_and_need_its_consent(page, photographs):
    client = Client(page, verbose=False)
    source, reference = (handle_file(str(path)) for path in photographs)
    file, note = client.predict(source, reference, 1.0, True, api_name="/edit")
    assert is_marked_edited(file)
    assert "yunet" in note
    smile, _ = client.predict(source, None, 1.0, True, expression="smile", api_name="/edit")
    mouth, _ = client.predict(source, None, 1.0, True, expression="smile", eyes=0.0, api_name="/edit")
    both, _ = client.predict(source, reference, 1.0, True, expression="anger", api_name="/edit")
    assert np.array_equal(np.asarray(Image.open(both)), np.asarray(Image.open(file)))  # a reference goes before a name
    pictures = [np.asarray(Image.open(path)) for path in (file, smile, mouth)]
    assert not np.array_equal(pictures[0], pictures[1]) and not np.array_equal(pictures[1], pictures[2])
    boxes, bars, faces = client.predict(reference, api_name="/classify")
    assert bars["label"] == faces[0]["label"] == max(faces[0]["scores"], key=faces[0]["scores"].get)
    with pytest.raises(AppError, match="confirm that you may use"):
        client.predict(source, reference, 1.0, False, api_name="/edit")


@pytest.mark.parametrize("kind", ["text", "truncated", "no face"])
def test_a_bad_picture_gets_a_sentence_and_no_traceback(kind, page, photographs, tmp_path):
    bad = tmp_path / "bad.jpg"
    if kind == "text":
        bad.write_text("this is not a picture")
    elif kind == "truncated":
        bad.write_bytes(photographs[0].read_bytes()[:2000])
    else:
        Image.new("RGB", (300, 300), (90, 120, 90)).save(bad)
    with pytest.raises(AppError) as error:
        Client(page, verbose=False).predict(handle_file(str(bad)), api_name="/classify")
    text = str(error.value)
    assert text.endswith(".") and "Traceback" not in text and str(tmp_path) not in text


def test_no_picture_is_kept_or_offered_for_sharing(page):
    with urllib.request.urlopen(f"{page}/config") as answer:
        config = json.load(answer)
    drawn = {part["props"].get("elem_id"): part["props"] for part in config["components"]}
    assert drawn["classify-boxes"]["buttons"] == ["download"]  # gradio's default uploads to the Hub at a click
    assert config["run_history"] is False


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/face.png", "https://example.org/face.png"])
def test_an_address_in_place_of_an_upload_is_not_fetched(url, page, monkeypatch):
    fetched = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.5)
        address = url.format(port=listener.getsockname()[1])
        picture = {"path": address, "url": address, "meta": {"_type": "gradio.FileData"}}
        with pytest.raises(AppError, match="addresses are not read"):
            Client(page, verbose=False).predict(picture, api_name="/classify")
        with pytest.raises(TimeoutError):
            fetched.append(listener.accept())

    async def fetch(url, cache_dir):
        fetched.append(url)

    monkeypatch.setattr("gradio.processing_utils.async_ssrf_protected_download", fetch)
    with pytest.raises(gr.Error, match="addresses are not read"):
        asyncio.run(FaceImage().async_move_resource_to_block_cache(address))
    assert fetched == []


def test_a_picture_within_an_address_is_not_read(page, photographs):
    text = "data:image/png;base64," + base64.b64encode(photographs[0].read_bytes()).decode()
    with pytest.raises(gr.Error, match="addresses are not read"):
        FaceImage().preprocess(gr.data_classes.ImageData(url=text))


@pytest.mark.parametrize("consent", ["false", "true", 1, [False], None])
def test_only_a_plain_yes_is_a_consent(consent, page, photographs):
    source, reference = (handle_file(str(path)) for path in photographs)
    with pytest.raises(AppError, match="confirm that you may use"):
        Client(page, verbose=False).predict(source, reference, 1.0, consent, api_name="/edit")


def test_uploads_go_when_the_page_ends_or_at_the_latest_when_the_next_one_starts(tmp_path):
    script = "import app; app.keep_files_for_the_session(); import os, time; print(os.environ['GRADIO_TEMP_DIR'], "
    script += "flush=True); time.sleep(600)"
    settings = os.environ | {"GRADIO_TEMP_DIR": str(tmp_path)}

    def start():
        process = subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env=settings,
            stdout=subprocess.PIPE,
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # jobs in the background ignore it
        )
        folder = Path(process.stdout.readline().decode().strip())
        (folder / "upload.png").write_text("somebody's face")
        return process, folder

    other, kept = start()
    for end in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        process, folder = start()
        process.send_signal(end)
        process.wait(timeout=60)
        assert folder.exists() == (end == signal.SIGKILL)
    next_one, _ = start()
    assert not folder.exists() and (kept / "upload.png").exists()
    for one in (other, next_one):
        one.terminate()
        one.wait(timeout=60)
    assert list(tmp_path.iterdir()) == []
