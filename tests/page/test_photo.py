"""The Photo tab as a visitor uses it, in headless Chromium; real weights, real faces."""

import os
from pathlib import Path

import numpy as np
from browser import shown, wait_for_another
from PIL import Image

from leed_hub.media.provenance import is_marked_edited


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
