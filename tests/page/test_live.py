"""The Live tab, its webcam played by a film."""

from pathlib import Path

from browser import screenshot, shown, wait_for_another
from PIL import Image

from leed_hub.media.provenance import is_marked_edited


def started(view) -> None:
    view.get_by_role("tab", name="Live").click()
    view.locator("#live-camera").get_by_text("Click to Access Webcam").click()
    view.get_by_label("capture photo").click()


def picture(view) -> str:
    return view.locator("#live-shown img").get_attribute("src")


def test_the_webcam_wears_an_expression_or_is_read_once_the_visitor_agrees(browser_page, tmp_path):
    view = browser_page
    view.locator("#photo-result img").first.wait_for()
    started(view)
    view.locator("#live-note").get_by_text("Please confirm first").wait_for()
    placeholder = picture(view)
    view.locator("#live-consent input").check()
    for _ in range(3):  # frame after frame
        before = picture(view)
        view.wait_for_function("src => document.querySelector('#live-shown img').src != src", arg=before)
    assert picture(view) != placeholder and view.locator("#live-note").inner_text().strip(" 0123456789.s") == ""
    view.locator("#live-expression").get_by_label("What do I look like?").check()
    view.locator("#live-note").get_by_text("You look like: happiness").wait_for()
    view.locator("#live-expression").get_by_label("Surprise").check()
    view.locator("#live-note").get_by_text("You look like").wait_for(state="hidden")
    screenshot(view, "live")
    view.locator("#live-snapshot").click()
    with view.expect_download() as given:
        view.locator("#live-file a").first.click()
    given.value.save_as(Path(tmp_path, "snapshot.png"))
    assert is_marked_edited(tmp_path / "snapshot.png")
    with Image.open(tmp_path / "snapshot.png") as image:
        assert image.size == (640, 480)
    view.get_by_role("tab", name="Photo").click()
    view.wait_for_function("document.querySelector('#photo-consent input').checked")  # given once


def test_where_the_camera_is_denied_the_page_says_so_and_goes_on(browser_page, page):
    view = browser_page
    view.add_init_script(
        "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotAllowedError') }"
    )
    view.goto(page)
    shown(view)
    view.get_by_role("tab", name="Live").click()
    view.on("dialog", lambda dialog: dialog.accept())
    with view.expect_event("dialog") as said:
        view.locator("#live-camera").get_by_text("Click to Access Webcam").click()
    message = "The camera cannot be used: connect one, and allow it in the browser for this page."
    assert said.value.message == message
    view.get_by_role("tab", name="Photo").click()
    before = shown(view)
    view.locator("#photo-expression").get_by_label("Surprise").check()
    wait_for_another(view, before)
