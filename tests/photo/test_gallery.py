"""The page of `handlib predict` in headless Chromium: pictures, their meshes, and what a reader does with them."""

import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from chromium import CHROMIUM

from handlib.photo.gallery import Gallery, Shown, view_hands
from handlib.photo.live_samples import samples
from handlib.photo.predict import Predictor
from handlib.photo.read import read_photo

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium fonts-dejavu-core")
PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def shown():
    """The rendered hand that points, two hands, a picture without one, and the first again and again."""
    predictor, picture = Predictor(), [sample.picture for sample in samples()]
    one, two = (
        Shown.of_photo(name, read_photo(p), predictor(p)) for name, p in (("one", picture[1]), ("two", picture[3]))
    )
    none = Shown.of_photo("<b>none", read_photo(torch.zeros(3, 90, 160)), [])
    return [one, two, none, *[one] * 30]


@pytest.fixture(scope="module")
def path(shown, tmp_path_factory):
    return Gallery(shown).save(tmp_path_factory.mktemp("page") / "index.html")


@pytest.fixture
def visit(browser, path):
    pages = []

    def visit(url=None, **options):
        page = browser.new_page(**options)
        pages.append(page)
        page.errors, page.requests = [], []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.on("request", lambda request: page.requests.append(request.url))
        page.goto(url or path.as_uri())
        return page

    yield visit
    for page in pages:
        page.close()


def picture_of(canvas):
    canvas.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return canvas.evaluate("canvas => canvas.toDataURL()")


def test_meshes_lie_over_their_pictures_and_turn(visit):
    page = visit()
    first = page.locator("section").first
    first.locator("canvas.mesh").wait_for()
    covered = first.locator("canvas.mesh").evaluate("""c =>
        c.getContext("2d").getImageData(0, 0, c.width, c.height).data.filter((v, n) => n % 4 == 3 && v > 0).length
        / (c.width * c.height)""")
    assert 0.03 < covered < 0.5
    label = first.locator(".photograph canvas").first.get_attribute("aria-label")
    assert "left hand, index finger extended" in label
    turning = first.locator(".turning")
    turning.focus()
    seen = set()
    for key in ("ArrowLeft", "ArrowUp", "+"):
        page.keyboard.press(key)
        seen.add(picture_of(turning.locator("canvas")))
    assert len(seen) == 3
    first.get_by_label("mesh", exact=True).uncheck()
    assert not first.locator("canvas.mesh").evaluate(
        """c => c.getContext("2d").getImageData(0, 0, c.width, c.height).data.some(v => v)"""
    )
    assert page.errors == [] and [url for url in page.requests if not url.startswith("data:")] == [page.url]


def test_each_hand_of_a_picture_can_be_the_one_that_turns(visit):
    page = visit()
    second = page.locator("section").nth(1)
    second.scroll_into_view_if_needed()
    buttons = second.locator(".which button")
    buttons.nth(1).wait_for()
    seen = set()
    for button in buttons.all():
        button.click()
        assert button.get_attribute("aria-pressed") == "true"
        seen.add(picture_of(second.locator(".turning canvas")))
    assert len(seen) == 2


def test_only_what_is_near_is_drawn(visit):
    page = visit(viewport={"width": 900, "height": 700})
    assert page.locator("section").nth(2).locator("canvas").count() == 0  # no hand: the picture is all there is
    for n in (10, 32, 0):
        section = page.locator("section").nth(n)
        section.scroll_into_view_if_needed()
        section.locator("canvas.mesh").wait_for()
        page.wait_for_function("handlibGallery.stages.size < 8")
    assert page.errors == []


@pytest.mark.parametrize("scheme, color", [("light", "rgb(0, 0, 0)"), ("dark", "rgb(255, 255, 255)")])
def test_it_fits_a_phone_in_both_themes(visit, scheme, color):
    page = visit(viewport=PHONE, color_scheme=scheme, has_touch=True)
    page.locator("canvas.mesh").first.wait_for()
    assert page.evaluate("document.scrollingElement.scrollWidth") <= PHONE["width"]
    assert page.evaluate("getComputedStyle(document.querySelector('h2')).color") == color
    assert [violation["id"] for violation in Axe().run(page).response["violations"]] == []


def test_without_a_script_pictures_and_words_are_there(browser, path):
    page = browser.new_page(java_script_enabled=False)
    page.goto(path.as_uri())
    assert page.locator("section img:visible").count() == 33
    assert page.locator("h2").nth(2).inner_text() == "<b>none"
    page.close()


def test_a_notebook_shows_it_in_a_frame(visit, shown, tmp_path):
    picture, (_, two, *_) = samples()[3].picture, shown
    (tmp_path / "notebook.html").write_text(f"<!doctype html>{view_hands(picture, two.hands)._repr_html_()}", "utf-8")
    page = visit((tmp_path / "notebook.html").as_uri())
    page.frame_locator("iframe").locator("canvas.mesh").wait_for()
    assert page.errors == []
