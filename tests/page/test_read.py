"""The Classify tab as a visitor uses it."""


def test_a_visitor_classifies_a_real_face(browser_page, photographs):
    view = browser_page
    view.get_by_role("tab", name="Classify").click()
    view.locator("#classify-image input[type=file]").set_input_files(photographs[1])
    view.locator("#classify-run").click()
    view.locator("#classify-bars").get_by_text("happiness").first.wait_for(timeout=60_000)
    view.locator("#classify-boxes img").wait_for()
