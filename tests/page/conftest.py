"""The page, served once for all its tests, and a browser that looks at it."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from browser import PATIENCE_MS
from conftest import missing, portrait
from PIL import Image

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
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
    for _ in range(600):
        try:
            urllib.request.urlopen(address, timeout=1).close()
            break
        except OSError:
            assert server.poll() is None, (home / "log.txt").read_text()
            time.sleep(0.5)
    yield address
    server.terminate()
    server.wait(timeout=30)


@pytest.fixture(scope="session")
def photographs(tmp_path_factory) -> tuple[Path, Path]:
    """A neutral face and another person's smile."""
    folder = tmp_path_factory.mktemp("photographs")
    for name in ("source", "happiness"):
        portrait(name).save(folder / f"{name}.png")
    return folder / "source.png", folder / "happiness.png"


@pytest.fixture(scope="session")
def camera(tmp_path_factory) -> Path:
    """What the browser's webcam films: a smile, 640x480, going to and fro."""
    path = tmp_path_factory.mktemp("camera") / "film.mjpeg"
    with open(path, "wb") as file:
        for number in range(30):
            frame = Image.new("RGB", (640, 480), (90, 110, 90))
            frame.paste(portrait("happiness").resize((380, 380)), (130 + 4 * abs(number - 15), 60))
            frame.save(file, "JPEG")
    return path


@pytest.fixture(scope="module")  # not for the session: while it runs, no test can run an event loop of its own
def browser(camera):
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        missing("Chromium")
    with playwright.sync_playwright() as driver:
        quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking",
                 "--disable-component-update", "--disable-sync", "--no-first-run"]  # fmt: skip
        filmed = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
                  f"--use-file-for-fake-video-capture={camera}"]  # fmt: skip
        browser = driver.chromium.launch(executable_path=chromium, args=quiet + filmed)
        yield browser
        browser.close()


def opened(browser, page: str, **size):
    """The page in a window of its own; what goes wrong in its scripts fails the test."""
    context = browser.new_context(viewport=size, permissions=["camera"])
    context.set_default_timeout(PATIENCE_MS)
    view, errors = context.new_page(), []
    view.on("pageerror", lambda error: errors.append(error))
    view.goto(page)
    view.locator("#photo-result img").first.wait_for()  # before, it does not listen
    yield view
    context.close()
    assert not errors


@pytest.fixture
def browser_page(browser, page):
    yield from opened(browser, page, width=1280, height=1400)


@pytest.fixture
def phone(browser, page):
    yield from opened(browser, page, width=390, height=844)
