"""The built site in headless Chromium with no network: what a reader sees, turns and slides.

Reads the site at $HANDLIB_SITE, which `make check-book` names. Without it there is none to trust.
"""

import gzip
import os
import time
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from axe_playwright_python.sync_playwright import Axe
from chromium import CHROMIUM

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / os.environ.get("HANDLIB_SITE", "")
PAGES = sorted((SITE / "book").glob("*.html"))
PHONE = {"width": 390, "height": 844}
SERIOUS = ("serious", "critical")  # of axe's four grades
TIMEOUT_MS = 120_000  # of a page on a busy machine


def why_not():
    if "HANDLIB_SITE" not in os.environ:
        return "needs the built site: `make book`, then `make check-book`"
    if not PAGES:
        return f"no pages at {SITE}/book: run `make book`"
    if CHROMIUM is None:
        return "no Chromium here: apt-get install chromium fonts-dejavu-core, then `make check-book`"


pytestmark = pytest.mark.skipif(why_not() is not None, reason=why_not() or "")


class Visit:
    """One page opened from disk; whatever goes wrong on it is in `errors`."""

    def __init__(self, browser, path):
        self.page = browser.new_page(viewport={"width": 1280, "height": 900})
        self.page.set_default_timeout(TIMEOUT_MS)
        self.errors, self.loaded = [], set()
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.route("**/*", self.only_files)
        self.page.goto(path.as_uri())

    def only_files(self, route):
        if route.request.url.startswith("file:"):
            self.loaded.add(Path(unquote(urlparse(route.request.url).path)))
            route.continue_()
        else:
            self.errors.append(f"asked the network for {route.request.url}")
            route.abort()

    def becomes(self, condition):
        """Whether a condition holds before the time of the page is up."""
        end = time.monotonic() + TIMEOUT_MS / 1000
        while not condition() and time.monotonic() < end:
            self.page.wait_for_timeout(100)
        return condition()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.page.close()


@pytest.fixture(scope="module", params=PAGES, ids=lambda path: path.stem)
def any_page(request, browser):
    with Visit(browser, request.param) as visit:
        visit.page.wait_for_timeout(500)
        yield visit


def test_page_loads_offline_without_errors(any_page):
    broken = any_page.page.evaluate("[...document.images].filter(i => !i.naturalWidth).map(i => i.src)")
    assert any_page.errors == []
    assert broken == []


def test_images_say_what_they_show(any_page):
    alts = any_page.page.evaluate(
        "[...document.querySelectorAll('article img')].map(i => [i.getAttribute('src'), i.alt])"
    )
    # Without an alt text Sphinx writes the file's name there, which says nothing.
    silent = [src for src, alt in alts if not alt.strip() or alt.endswith((".png", ".svg", ".jpg", ".jpeg"))]
    assert silent == [], "give the cell `mystnb: {image: {alt: …}}`, or the image an alt text"


def test_page_fits_a_phone(any_page):
    any_page.page.set_viewport_size(PHONE)
    width = lambda: any_page.page.evaluate("document.scrollingElement.scrollWidth")  # noqa: E731
    assert any_page.becomes(lambda: width() <= PHONE["width"]), "the page scrolls sideways"


def test_every_figure_has_a_number_and_a_caption(any_page):
    bare = any_page.page.evaluate(
        """[...document.querySelectorAll("article .cell_output :is(img, .plotly-graph-div)")]
        .filter(figure => !figure.closest("button"))  // a picture to press is no figure
        .filter(figure => !figure.closest("figure")?.querySelector("figcaption .caption-number"))
        .map(figure => figure.alt || figure.getAttribute("aria-label"))"""
    )
    assert bare == [], "give the cell `mystnb: {figure: {caption: …}}`"


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_axe_finds_nothing_serious(any_page, mode):
    any_page.page.emulate_media(color_scheme=mode)
    any_page.page.wait_for_function(f"document.documentElement.dataset.theme == '{mode}'")
    any_page.page.wait_for_timeout(1000)  # the theme waits after a change of width before it looks at what scrolls
    found = Axe().run(any_page.page).response["violations"]
    serious = {v["id"]: [node["html"][:200] for node in v["nodes"]] for v in found if v["impact"] in SERIOUS}
    assert serious == {}


def test_page_is_light(any_page):
    """3 MB a page on first load; what all pages share comes once, compressed, as servers send it.

    The live page's networks are its own matter: tests/photo/test_live_page.py limits them.
    """
    files = [path for path in any_page.loaded if path.is_file() and path.name != "live-pack.js"]
    shared = [path for path in files if "_static" in path.parts]
    own = sum(path.stat().st_size for path in files if path not in shared)
    assert own <= 3e6, f"the page alone has {own / 1e6:.1f} MB: fewer frames, or smaller pictures"
    assert sum(len(gzip.compress(path.read_bytes())) for path in shared) <= 3e6


@pytest.fixture
def hand(browser):
    """The hand chapter, scrolled to its first mesh with a slider."""
    with Visit(browser, SITE / "book" / "hand.html") as visit:
        figure = visit.page.locator(".js-plotly-plot:has(.slider-container):has(canvas)").first
        figure.scroll_into_view_if_needed()
        figure.locator("canvas").first.wait_for()
        visit.page.wait_for_timeout(1500)  # the first WebGL frame, in software
        yield visit, figure


def test_equations_are_typeset(browser):
    with Visit(browser, SITE / "book" / "hand.html") as visit:
        visit.page.locator("mjx-container").first.wait_for(state="attached")
        assert visit.page.locator(".math >> text=/\\\\\\(|\\$\\$/").count() == 0


def test_dragging_turns_the_mesh(hand):
    visit, figure = hand
    eye = "g => JSON.stringify(g._fullLayout.scene._scene.getCamera().eye)"
    eye_before, picture_before = figure.evaluate(eye), figure.screenshot()
    box = figure.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.4
    visit.page.mouse.move(x, y)
    visit.page.mouse.down()
    for step in range(8):
        visit.page.mouse.move(x + 6 * step, y + 2 * step)
    visit.page.mouse.up()
    assert visit.becomes(lambda: figure.evaluate(eye) != eye_before)
    assert visit.becomes(lambda: figure.screenshot() != picture_before)
    assert visit.errors == []


def test_slider_moves_the_vertices(hand):
    visit, figure = hand
    # numbers are typed arrays on the page, so they are copied out
    vertices = "g => Array.from(g._fullData.find(trace => trace.type == 'mesh3d').x)"
    vertices_before, picture_before = figure.evaluate(vertices), figure.screenshot()
    rail = figure.locator(".slider-rail-touch-rect").first.bounding_box()
    visit.page.mouse.click(rail["x"] + rail["width"] * 0.7, rail["y"] + rail["height"] / 2)
    assert visit.becomes(lambda: figure.evaluate(vertices) != vertices_before)
    assert visit.becomes(lambda: figure.screenshot() != picture_before)
    assert visit.errors == []


def test_arrow_keys_move_the_slider(hand):
    visit, figure = hand
    assert figure.get_attribute("aria-label")
    x = "g => g._fullData[0].x.slice(0, 778).join()"
    before = figure.evaluate(x)
    figure.focus()
    visit.page.keyboard.press("ArrowRight")
    assert visit.becomes(lambda: figure.evaluate(x) != before)


def test_explorer_moves_the_hand(browser):
    with Visit(browser, SITE / "book" / "hand.html") as visit:
        explorer = visit.page.locator(".handlib-explorer")
        explorer.locator("canvas").first.wait_for()
        vertices = "Object.values(handlibExplorers)[0].view.scene.meshes[0].vertices.join()"
        before = visit.page.evaluate(vertices)
        explorer.get_by_label("index curl").focus()
        visit.page.keyboard.press("End")
        assert visit.becomes(lambda: visit.page.evaluate(vertices) != before)
        assert visit.errors == []


def test_the_live_page_estimates_a_hand_and_asks_for_nothing_more(browser):
    with Visit(browser, SITE / "book" / "your_hand.html") as visit:
        requests = []
        visit.page.on("request", lambda request: requests.append(request.url))
        visit.page.wait_for_selector(".handlib-live.ready", timeout=60_000)
        visit.page.wait_for_load_state("networkidle")
        loaded = len(requests)
        visit.page.locator(".samples button").last.click()
        visit.page.locator(".words").filter(has_text="hand, ").wait_for(timeout=60_000)
        assert [url for url in requests[loaded:] if not url.startswith(("data:", "blob:"))] == []
        assert visit.errors == []


@pytest.mark.parametrize("path", sorted((SITE / "slides").glob("week*.html")), ids=lambda path: path.stem)
def test_slides_fit_and_ask_the_network_for_nothing(browser, path):
    """At 1280 × 720, which the projector of a room has: nothing is cut off, and every figure is drawn."""
    with Visit(browser, path) as visit:
        visit.page.set_viewport_size({"width": 1280, "height": 720})
        for number in range(1, visit.page.evaluate("slides.length") + 1):
            visit.page.evaluate("number => show(number - 1)", number)
            assert visit.becomes(lambda: visit.page.evaluate("document.body.dataset.shown") == str(number))  # noqa: B023
            cut = visit.page.evaluate(
                "[...stage.querySelectorAll('section, .body, .words, .shown')].filter("
                "box => box.scrollHeight > box.clientHeight + 2 || box.scrollWidth > box.clientWidth + 2).length"
            )
            undrawn = visit.page.evaluate(
                "[...stage.querySelectorAll('.figure')].filter("
                "box => [...box.children].every(child => child.clientHeight < 100)).length"
            )
            assert (cut, undrawn) == (0, 0), f"slide {number}"
        assert visit.errors == []


def test_a_teacher_turns_the_slides_with_the_arrow_keys(browser):
    with Visit(browser, SITE / "slides" / "week1.html") as visit:
        visit.page.keyboard.press("ArrowRight")
        visit.page.keyboard.press("ArrowRight")
        assert visit.becomes(lambda: visit.page.evaluate("location.hash") == "#3")
        visit.page.keyboard.press("ArrowLeft")
        assert visit.becomes(lambda: "The hand" in visit.page.locator("h1").inner_text())
