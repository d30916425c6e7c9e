"""What the tests of the page ask of the browser."""


def shown(view) -> str:
    """Where the edited picture on the page comes from; another one after each edit."""
    view.locator("#photo-result img").first.wait_for(timeout=60_000)
    return view.evaluate("[...document.querySelectorAll('#photo-result img')].map(i => i.src).join()")


def wait_for_another(view, before: str) -> str:
    view.wait_for_function(
        "before => [...document.querySelectorAll('#photo-result img')].map(i => i.src).join() != before", arg=before
    )
    return shown(view)
