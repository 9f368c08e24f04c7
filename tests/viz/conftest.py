"""Pages with the hand explorer."""

import pytest
from explorer import WIDE, drawn, open_page

from handlib.viz.widgets import hand_explorer


@pytest.fixture
def visit(browser, tmp_path):
    """`open_page` for pages that close with the test: each of them keeps drawing."""
    pages = []

    def visit(*args, **options):
        pages.append(open_page(browser, tmp_path / f"{len(pages)}.html", *args, **options))
        return pages[-1]

    yield visit
    for page in pages:
        page.close()


@pytest.fixture(scope="module")
def opened(browser, hand, tmp_path_factory):
    """The explorer of the open hand, where nothing waits for animations."""
    path = tmp_path_factory.mktemp("explorer") / "page.html"
    html = hand_explorer(hand).html()
    page = open_page(browser, path, html, reduced_motion="reduce")
    yield page
    page.close()


@pytest.fixture
def page(opened):
    """The same page for all tests, as if just opened."""
    opened.errors.clear()
    opened.set_viewport_size(WIDE)
    opened.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    opened.get_by_role("button", name="reset shape").click()
    opened.get_by_label("named pose").select_option("mean")
    opened.get_by_role("button", name="back").click()
    opened.get_by_label("pose correctives").check()
    opened.get_by_label("skeleton").uncheck()
    drawn(opened)
    return opened
