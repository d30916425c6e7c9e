"""How quick the page is, what it needs, and whether it holds out: `python app.py` in a browser and under many clients.

    python benchmarks/page.py --output benchmarks/page.json

Times are those a visitor sees, from the browser; run it on an idle machine. Needs Chromium and the extra `[test]`.
"""

import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import numpy as np
import psutil
import typer
from gradio_client import Client, handle_file
from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "docs" / "examples"
WATCH = """selector => {
  const seen = window.seen = [];
  window.last = '';
  const look = () => {
    if (window.seen !== seen) return; // another one is watched by now
    const now = [...document.querySelectorAll(selector)].map(i => i.src).join();
    if (now !== window.last) { window.last = now; seen.push(performance.now()); }
    requestAnimationFrame(look);
  };
  look();
}"""


def wait_for_server(address: str, server: subprocess.Popen) -> float:
    """Seconds until the page answers."""
    started = time.monotonic()
    while True:
        try:
            urllib.request.urlopen(address, timeout=1).close()
            return time.monotonic() - started
        except OSError:
            assert server.poll() is None, "the page has ended"
            time.sleep(0.2)


def megabytes(server: subprocess.Popen) -> float:
    """Resident memory of the page."""
    return psutil.Process(server.pid).memory_info().rss / 2**20


def first_edit_s(view: Page, photo: Path) -> float:
    """From choosing a photograph to seeing it smile, consent given before."""
    view.locator("#photo-result img").first.wait_for(timeout=60_000)
    view.locator("#photo-consent input").check()
    view.wait_for_timeout(1000)
    sources = "[...document.querySelectorAll('#photo-result img')].map(i => i.src).join()"
    before = view.evaluate(sources)
    started = time.monotonic()
    view.locator("#photo-source input[type=file]").set_input_files(photo)
    view.wait_for_function(f"before => {sources} != before", arg=before, timeout=60_000)
    return time.monotonic() - started


def drag(view: Page, seconds: float = 3.0) -> dict[str, float]:
    """Pictures shown while the strength is dragged to and fro, and how long after its end the last one comes."""
    view.evaluate(WATCH, "#photo-result img")
    place = view.locator("#photo-strength input[type=range]").bounding_box()
    y = place["y"] + place["height"] / 2
    view.mouse.move(place["x"] + place["width"] / 2, y)
    view.mouse.down()
    started = view.evaluate("performance.now()")
    while (now := view.evaluate("performance.now()") - started) < 1000 * seconds:
        view.mouse.move(place["x"] + place["width"] * (0.5 + 0.45 * np.sin(now / 400)), y)
    view.mouse.up()
    ended = view.evaluate("performance.now()")
    view.wait_for_timeout(2000)
    seen = view.evaluate("window.seen.slice(1)")
    during = [at for at in seen if at <= ended]
    return {"pictures": len(during), "last_after_ms": max(0.0, max(seen, default=ended) - ended)}


def live(view: Page, server: subprocess.Popen, seconds: float = 10.0) -> dict[str, float]:
    """New pictures a second of a 640x480 webcam that smiles, and what each costs the page without the browser."""
    view.get_by_role("tab", name="Live").click()
    view.locator("#live-camera").get_by_text("Click to Access Webcam").click()
    view.get_by_label("capture photo").click()
    view.wait_for_timeout(3000)
    view.evaluate(WATCH, "#live-shown img")
    before = psutil.Process(server.pid).cpu_times()
    view.wait_for_timeout(1000 * seconds)
    after = psutil.Process(server.pid).cpu_times()
    pictures = len(view.evaluate("window.seen"))
    cpu_s = after.user + after.system - before.user - before.system
    return {"pictures_a_second": pictures / seconds, "cpu_ms_each": 1000 * cpu_s / max(1, pictures)}


def many_clients(address: str, folder: Path, count: int, threads: int) -> dict[str, float]:
    """Edits and readings at once, each with a picture of its own size: how many got theirs, another's, or none."""
    source = Image.open(EXAMPLES / "happiness.png").convert("RGB")
    clients = [Client(address, verbose=False, httpx_kwargs={"timeout": 600}) for _ in range(8)]  # sessions

    def one(number: int) -> str:
        photo = folder / f"{number}.png"
        size = (256 + number % 40, 256 + number // 40)  # its own, and a face that is hardly stretched
        source.resize(size).save(photo)
        client = clients[number % len(clients)]
        try:
            if number % 2:
                file, _ = client.predict(handle_file(str(photo)), None, 1.0, True, expression="smile", api_name="/edit")
                return "own" if Image.open(file).size == size else "another's"
            faces, _, _ = client.predict([handle_file(str(photo))], api_name="/read")
            return "own" if faces[0]["file"] == photo.name else "another's"
        except Exception as error:
            return "told that the queue is full" if "full" in str(error).lower() else f"lost: {type(error).__name__}"

    started = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        answers = Counter(pool.map(one, range(count)))
    return dict(answers) | {"a_second": count / (time.monotonic() - started)}


def main(
    output: Annotated[Path | None, typer.Option(help="A JSON file for the figures.")] = None,
    clients: Annotated[int, typer.Option(help="At once.")] = 200,
    requests: Annotated[int, typer.Option(help="In all.")] = 1000,
) -> None:
    """Measure and print."""
    folder = Path(tempfile.mkdtemp())
    photo = folder / "photo.jpg"
    Image.open(EXAMPLES / "source.png").convert("RGB").resize((3464, 3464), Image.Resampling.BICUBIC).save(photo)
    with open(folder / "film.mjpeg", "wb") as film:
        for number in range(60):
            frame = Image.new("RGB", (640, 480), (90, 110, 90))
            x = 130 + round(60 * np.sin(number / 60 * 2 * np.pi))
            frame.paste(Image.open(EXAMPLES / "source.png").convert("RGB").resize((380, 380)), (x, 60))
            frame.save(film, "JPEG")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"GRADIO_SERVER_PORT": str(port), "TMPDIR": str(folder), "GRADIO_TEMP_DIR": str(folder / "gradio")}
    server = subprocess.Popen(
        [sys.executable, "app.py"], cwd=ROOT, env=os.environ | settings, stdout=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{port}"
    figures: dict[str, object] = {"machine": f"{os.cpu_count()} cores, {platform.machine()}"}
    try:
        figures["start_s"] = wait_for_server(address, server)
        with sync_playwright() as driver:
            browser = driver.chromium.launch(
                executable_path=shutil.which("chromium"),
                args=["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
                      f"--use-file-for-fake-video-capture={folder / 'film.mjpeg'}"],
            )  # fmt: skip
            view = browser.new_context(viewport={"width": 1280, "height": 1400}, permissions=["camera"]).new_page()
            view.goto(address)
            figures["first_edit_of_12_megapixels_s"] = first_edit_s(view, photo)
            figures["drag_of_3_s"] = drag(view)
            figures["live"] = live(view, server)
            browser.close()
        figures["memory_mb_after_one_visitor"] = megabytes(server)
        figures[f"{clients} requests at once"] = many_clients(address, folder, clients, clients)
        figures[f"memory_mb_after_{clients}"] = megabytes(server)
        figures[f"{requests} requests by 16 clients"] = many_clients(address, folder, requests, 16)
        figures[f"memory_mb_after_{clients + requests}"] = megabytes(server)
    finally:
        server.terminate()
        server.wait(timeout=60)
        shutil.rmtree(folder)
    print(json.dumps(figures, indent=2))
    if output:
        output.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    typer.run(main)
