"""The page as a visitor uses it, in headless Chromium, and as `gradio_client` calls it; real weights, real faces."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from conftest import missing, portrait
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

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


def test_a_visitor_edits_a_real_face_and_gets_a_marked_file(browser_page, photographs, tmp_path):
    source, reference = photographs
    view = browser_page
    view.locator("#edit-source input[type=file]").set_input_files(source)
    view.locator("#edit-reference input[type=file]").set_input_files(reference)
    view.locator("#edit-consent input").check()
    view.locator("#edit-run").click()
    view.locator("#edit-result img").first.wait_for(timeout=60_000)
    with view.expect_download() as download:
        view.locator("#edit-file a").first.click()
    download.value.save_as(tmp_path / "edited.png")
    assert is_marked_edited(tmp_path / "edited.png")
    before = np.asarray(Image.open(source).convert("RGB")).astype(int)
    after = np.asarray(Image.open(tmp_path / "edited.png")).astype(int)
    assert after.shape == before.shape
    change = np.abs(after - before).max(axis=2)
    assert change.max() > 30  # the mouth
    assert np.median(change) == 0  # most of the photograph is untouched


def test_a_visitor_classifies_a_real_face(browser_page, photographs):
    view = browser_page
    view.get_by_role("tab", name="Classify").click()
    view.locator("#classify-image input[type=file]").set_input_files(photographs[1])
    view.locator("#classify-run").click()
    view.locator("#classify-bars").get_by_text("happiness").first.wait_for(timeout=60_000)
    view.locator("#classify-boxes img").wait_for()


def test_the_examples_work_offline(browser_page):
    view = browser_page
    view.locator("table tbody tr").first.click()
    view.locator("#edit-source img").wait_for(timeout=30_000)
    view.locator("#edit-reference img").wait_for(timeout=30_000)
    view.locator("#edit-consent input").check()
    view.locator("#edit-run").click()
    view.locator("#edit-result img").first.wait_for(timeout=60_000)
    view.locator("#edit-file a").first.wait_for()
    if folder := os.environ.get("LEED_HUB_SCREENSHOTS"):  # how docs/page.png is made
        view.wait_for_timeout(1500)
        view.screenshot(path=Path(folder, "page.png"))


def test_the_endpoints_answer_a_client_and_need_its_consent(page, photographs):
    client = Client(page, verbose=False)
    source, reference = (handle_file(str(path)) for path in photographs)
    slider, file, note = client.predict(source, reference, 1.0, True, api_name="/edit")
    assert is_marked_edited(file)
    assert "yunet" in note
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
