"""The Photo tab as a visitor uses it, in headless Chromium; real weights, real faces."""

import filecmp
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import screenshot, shown, wait_for_another
from gradio_client import Client, handle_file
from PIL import Image

from leed_hub import ExpressionEditor
from leed_hub.media import video
from leed_hub.media.provenance import is_marked_edited
from leed_hub.pipelines.expressions import Expression


def test_on_opening_one_sees_a_finished_edit(browser_page):
    picture = shown(browser_page)
    browser_page.get_by_label("Surprise").check()
    wait_for_another(browser_page, picture)
    screenshot(browser_page, "photo")


def test_a_visitor_with_one_photo_smiles_after_two_clicks_and_gets_a_marked_file(browser_page, photographs, tmp_path):
    source, view = photographs[0], browser_page
    example = shown(view)
    view.locator("#photo-source input[type=file]").set_input_files(source)
    view.locator("#photo-note").get_by_text("Please confirm first").wait_for()
    assert shown(view) == example  # nothing is edited before the visitor has agreed, and nothing is lost
    view.locator("#photo-consent input").check()
    wait_for_another(view, example)
    assert download(view, "#photo-save", tmp_path / "edited.png") == "source_edited.png"
    assert is_marked_edited(tmp_path / "edited.png")
    before = np.asarray(Image.open(source).convert("RGB")).astype(int)
    after = np.asarray(Image.open(tmp_path / "edited.png")).astype(int)
    assert after.shape == before.shape
    change = np.abs(after - before).max(axis=2)
    assert change.max() > 30  # the mouth
    assert np.median(change) == 0  # most of the photograph is untouched


def test_a_client_gets_the_same_bytes_as_a_visitor(browser_page, page, photographs, tmp_path):
    view = browser_page
    example = shown(view)
    view.locator("#photo-source input[type=file]").set_input_files(photographs[0])
    view.locator("#photo-note").get_by_text("Please confirm first").wait_for()
    view.locator("#photo-consent input").check()
    wait_for_another(view, example)
    download(view, "#photo-save", tmp_path / "edited.png")
    photo = handle_file(str(photographs[0]))
    file, _ = Client(page, verbose=False).predict(photo, None, 1.0, True, expression="smile", api_name="/edit")
    assert filecmp.cmp(file, tmp_path / "edited.png", shallow=False)


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


def test_an_expression_is_mixed_and_eyes_are_taken_from_another(browser_page):
    view = browser_page
    picture = shown(view)
    view.get_by_text("Mix", exact=True).click()
    for box in ("Mix with", "Eyes and brows from"):
        view.get_by_label(box).click()
        view.get_by_role("option", name="Surprise").click()
        picture = wait_for_another(view, picture)
        view.get_by_role("option").first.wait_for(state="hidden")  # the first box's list fades out


def test_the_visitors_own_reference_is_worn(browser_page, photographs):
    view = browser_page
    picture = shown(view)
    view.get_by_text("My own expression").click()
    view.locator("#photo-reference input[type=file]").set_input_files(photographs[1])
    view.locator("#photo-note").get_by_text("Please confirm first").wait_for()
    assert shown(view) == picture
    view.locator("#photo-consent input").check()
    wait_for_another(view, picture)
    assert view.get_by_label("My own", exact=True).is_checked()


def download(view, button: str, path: Path) -> str:
    """Save what a button makes; returns the name it is given."""
    view.locator(button).click()
    link = view.locator("#photo-file a").first
    link.wait_for()
    with view.expect_download() as given:
        link.click()
    given.value.save_as(path)
    return given.value.suggested_filename


def test_an_expression_is_saved_and_opened_again(browser_page, tmp_path):
    view = browser_page
    picture = shown(view)
    view.get_by_label("Surprise").check()
    surprise = wait_for_another(view, picture)
    view.get_by_text("My own expression").click()
    assert download(view, "#photo-keep", tmp_path / "mine.json") == "expression.json"
    editor = ExpressionEditor.from_pretrained()
    assert torch.allclose(Expression.load(tmp_path / "mine.json").mouth, editor.expression("surprise").mouth)
    view.locator("#photo-consent input").check()
    view.get_by_label("Neutral").check()
    neutral = wait_for_another(view, surprise)
    with view.expect_file_chooser() as chooser:
        view.locator("#photo-load").click()
    chooser.value.set_files(tmp_path / "mine.json")
    wait_for_another(view, neutral)
    view.wait_for_function("document.querySelector('#photo-expression input[value=own]').checked")


def test_all_expressions_at_once_and_a_gif_and_a_video_are_made(browser_page, tmp_path):
    view = browser_page
    shown(view)
    assert download(view, "#photo-strip", tmp_path / "strip.png") == "source_expressions.png"
    assert is_marked_edited(tmp_path / "strip.png")
    with Image.open(tmp_path / "strip.png") as strip:
        assert strip.width == 9 * 192
    view.reload()
    shown(view)
    assert download(view, "#photo-gif", tmp_path / "smile.gif") == "source_edited.gif"
    assert is_marked_edited(tmp_path / "smile.gif")
    view.reload()
    shown(view)
    assert download(view, "#photo-video", tmp_path / "smile.mp4") == "source_edited.mp4"
    assert video.is_marked_edited(tmp_path / "smile.mp4")


def test_of_several_faces_the_visitor_chooses(browser_page, photographs, tmp_path):
    both = Image.new("RGB", (1024, 512))
    for place, photo in zip((0, 512), photographs, strict=True):
        both.paste(Image.open(photo), (place, 0))
    both.save(tmp_path / "both.png")
    view = browser_page
    picture = shown(view)
    view.locator("#photo-source input[type=file]").set_input_files(tmp_path / "both.png")
    view.locator("#photo-note").get_by_text("Please confirm first").wait_for()
    view.locator("#photo-consent input").check()
    view.get_by_label("Surprise").check()
    wait_for_another(view, picture)

    def halves_changed() -> tuple[bool, bool]:
        """Whether the left and the right face are edited."""
        before, after = (
            np.asarray(Image.open(io.BytesIO(view.request.get(url).body())).convert("RGB")).astype(int)
            for url in shown(view).split(",")
        )
        strong = (np.abs(after - before).max(axis=2) > 40)[:, : 2 * (after.shape[1] // 2)]
        return tuple(bool(half.sum() > 50) for half in np.hsplit(strong, 2))

    quickly = """numbers => numbers.forEach((number, i) => setTimeout(
        () => document.querySelectorAll('#photo-faces button.thumbnail-item')[number].click(), 40 * i))"""

    def wait_for_halves(wanted: Callable[[tuple[bool, bool]], bool]) -> tuple[bool, bool]:
        for _ in range(120):
            if wanted(halves := halves_changed()):
                break
            view.wait_for_timeout(500)
        return halves

    view.evaluate(quickly, [1])
    first = wait_for_halves(lambda halves: sum(halves) == 1)
    assert sum(first) == 1
    other, both = first[::-1], (True, True)
    for numbers, last in (([1, 2], other), ([2, 1], first), ([2, 0], both), ([0, 1], first)):  # the last one wins
        view.evaluate(quickly, numbers)
        assert wait_for_halves(last.__eq__) == last
        view.wait_for_timeout(3000)
        assert halves_changed() == last  # and nothing comes after it


def test_the_handle_between_before_and_after_is_moved_by_keys(browser_page):
    view = browser_page
    shown(view)
    handle = view.get_by_role("slider", name="Before and after")
    before = handle.bounding_box()["x"]
    view.keyboard.press("Tab")  # from now on, focus is drawn
    handle.focus()
    assert handle.evaluate("e => getComputedStyle(e).outlineWidth") == "3px"
    frame = handle.locator("..").bounding_box()
    for key, way in (("ArrowRight", 0.05), ("ArrowRight", 0.05), ("ArrowLeft", -0.05)):
        view.keyboard.press(key)
        before += way * frame["width"]
        view.wait_for_function(f"Math.abs(document.activeElement.getBoundingClientRect().x - {before}) < 2")
    share = 100 * handle.evaluate("e => new DOMMatrix(getComputedStyle(e).transform).m41") / frame["width"]
    assert abs(int(handle.get_attribute("aria-valuenow")) - share) <= 1
    edge = 50 * (1 - frame["height"] / frame["width"])  # the picture, a square, lies in the middle
    for key, value in (("End", 100 - edge), ("Home", edge)):
        view.keyboard.press(key)
        view.wait_for_function(f"Math.abs(document.activeElement.ariaValueNow - {value}) <= 1")


def test_on_a_phone_the_picture_stays_in_view_and_nothing_is_cut_off(phone):
    shown(phone)
    phone.mouse.wheel(0, 900)
    phone.wait_for_function("window.scrollY > 500")
    place = phone.locator("#photo-result").bounding_box()
    assert -5 <= place["y"] <= 20 and place["height"] < 0.45 * 844
    assert phone.evaluate("document.documentElement.scrollWidth") == 390
    targets = [
        place["height"]
        for target in phone.locator("button:not(footer *), label:has(input)").all()
        if target.is_visible() and (place := target.bounding_box())
    ]
    assert min(targets) >= 43


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_keeps_people_with_impairments_out(theme, phone, page):
    Axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe
    phone.goto(f"{page}/?__theme={theme}")
    shown(phone)
    for name in ("Fine control", "Mix", "My own expression"):
        phone.get_by_text(name, exact=True).click()
    faults = []
    for tab in phone.get_by_role("tab").all():
        tab.click()
        phone.wait_for_timeout(500)
        faults += [
            (tab.inner_text(), fault["id"], [node["html"] for node in fault["nodes"]])
            for fault in Axe().run(phone).response["violations"]
            if fault["impact"] in ("critical", "serious")
        ]
    assert not faults
