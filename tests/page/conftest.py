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
from conftest import missing, portrait

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


@pytest.fixture(scope="session")
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
