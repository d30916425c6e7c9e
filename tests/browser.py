"""What the tests of the page ask of the browser."""

import os
from pathlib import Path

PATIENCE_MS = 120_000  # a busy machine may be six times slower than an idle one


def screenshot(view, name: str) -> None:
    """How the docs' pictures are made: LEED_HUB_SCREENSHOTS=docs python -m pytest tests/page."""
    if folder := os.environ.get("LEED_HUB_SCREENSHOTS"):
        view.set_viewport_size({"width": 1280, "height": 900})
        view.wait_for_timeout(1500)
        view.screenshot(path=Path(folder, f"page_{name}.jpg"), quality=80, type="jpeg")


def upload(view, zone: str, files) -> None:
    """Put files into a drop zone, emptied before; a new one is deaf for a moment, so again until it shows them."""
    from playwright.sync_api import TimeoutError

    clear = view.locator(f"{zone} button[aria-label=Clear]")
    if clear.count():
        clear.click()
        clear.wait_for(state="hidden")
    given = view.locator(f"{zone} input[type=file]").first
    for _ in range(6):
        given.set_input_files(files)
        try:
            return clear.wait_for(timeout=10_000)
        except TimeoutError:
            continue
    raise AssertionError(f"{zone} takes no files")


def shown(view) -> str:
    """Where the edited picture on the page comes from; another one after each edit."""
    view.locator("#photo-result img").first.wait_for()
    return view.evaluate("[...document.querySelectorAll('#photo-result img')].map(i => i.src).join()")


def wait_for_another(view, before: str) -> str:
    view.wait_for_function(
        "before => [...document.querySelectorAll('#photo-result img')].map(i => i.src).join() != before", arg=before
    )
    return shown(view)
