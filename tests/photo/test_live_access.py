"""The live page for everybody: names, keys, spoken words, phones, dark themes."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from chromium import CHROMIUM
from live_pages import PHONE, choose, opened

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium fonts-dejavu-core")


def test_every_control_has_a_name_and_can_be_reached(page):
    nameless = page.evaluate("""[...document.querySelectorAll(
        '.handlib-live :is(input, select, button, summary, fieldset, [role=img], [role=group])')].filter(e => !(
            e.getAttribute("aria-label") || (e.labels ? [...e.labels].map(l => l.textContent).join("") : "") ||
            e.textContent || e.querySelector("img")?.alt || "").trim()).map(e => e.outerHTML)""")
    assert nameless == []
    ids = page.evaluate("[...document.querySelectorAll('.handlib-live [id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    reached = set()
    page.evaluate("document.activeElement.blur()")
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "document.activeElement.id || document.activeElement.className || "
                "document.activeElement.textContent || document.activeElement.tagName"
            )
        )
    assert {"turning", "start the camera", "OBJ", "play the steps"} <= reached
    assert {"file", "step", "refiner"} <= {one.rsplit("-", 1)[-1] for one in reached}


def test_arrow_keys_turn_the_mesh(page):
    pictures = set()
    page.locator(".turning").focus()
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp", "ArrowRight"):
        page.keyboard.press(key)
        page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        pictures.add(page.evaluate("document.querySelector('.turning canvas').toDataURL()"))
    assert len(pictures) == 4


def test_the_estimate_is_said_aloud_once(page):
    page.get_by_role("status").filter(has_text="hand, ").first.wait_for(state="attached")
    assert page.locator(".photograph canvas").first.get_attribute("aria-label").startswith("The picture, and drawn")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_both_themes(browser, site, scheme):
    page = opened(browser, (site / "one.html").as_uri(), viewport=PHONE, has_touch=True, color_scheme=scheme)
    choose(page, 3)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= PHONE["width"]
    assert page.locator(".photograph").bounding_box()["width"] > 300
    color = page.evaluate("getComputedStyle(document.querySelector('.words')).color")
    assert color == ("rgb(0, 0, 0)" if scheme == "light" else "rgb(255, 255, 255)")
    assert [violation["id"] for violation in Axe().run(page).response["violations"]] == []
    page.close()
