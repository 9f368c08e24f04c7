"""The live page before its networks are there, and pictures and keys that belong to the browser."""

import base64
import io

import pytest
from chromium import CHROMIUM

from handlib.photo.live_page import SCRIPTS, embedded, write_scripts
from handlib.photo.live_samples import samples

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium fonts-dejavu-core")
LIVE = "Object.values(window.handlibLive)[0]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A site's page whose networks have not come yet: without the script that brings them."""
    folder = tmp_path_factory.mktemp("early")
    write_scripts(folder / "live")
    page = f"<!doctype html><title>Your hand</title>{embedded('live').split('<script async')[0]}"
    (folder / "early.html").write_text(page, "utf-8")
    return folder


@pytest.fixture
def page(browser, folder):
    page = browser.new_page(reduced_motion="reduce")
    page.set_default_timeout(120_000)  # ms; a busy machine
    page.goto((folder / "early.html").as_uri())
    yield page
    page.close()


def arrive(page, folder):
    page.add_script_tag(path=folder / "live" / SCRIPTS[1])
    page.wait_for_selector(".handlib-live.ready")


def words(page, pattern):
    page.wait_for_function("p => new RegExp(p).test(document.querySelector('.words').textContent)", arg=pattern)


def test_whatever_is_asked_of_missing_networks_the_mend_is_said(page):
    page.evaluate("""handlibLivePack = ""; dispatchEvent(new Event("handlib-live-pack"))""")
    words(page, "could not be loaded.* Reload the page")
    page.evaluate("document.querySelector('.words').textContent = ''")
    page.locator(".samples button").first.click()
    words(page, "could not be loaded.* Reload the page")


def test_of_photos_chosen_before_the_networks_came_the_last_is_estimated(page, folder):
    page.evaluate(f"""() => {{
        const client = {LIVE}.client, ask = client.ask;
        window.asked = [];
        client.ask = (kind, ...more) => {{ asked.push(kind); return ask.call(client, kind, ...more); }};
    }}""")
    for n in (0, 1):
        page.locator(".samples button").nth(n).click()
        words(page, "^Looking for hands")
    arrive(page, folder)
    words(page, "^Left hand, .*extended")
    assert page.evaluate("asked") == ["load", "photo"]


def test_a_photo_is_pasted_and_its_pixels_are_kept_once(page, folder):
    arrive(page, folder)
    worker, jpeg = page.workers[0], io.BytesIO()
    worker.evaluate("""() => {
        const close = ImageBitmap.prototype.close;
        self.closed = 0;
        ImageBitmap.prototype.close = function () { self.closed++; close.call(this); };
    }""")
    assert page.get_by_role("button", name="OBJ", disabled=True).count() == 1  # nothing to save yet
    samples()[1].picture.save(jpeg, "JPEG")
    page.evaluate(
        """text => {
            const clipboardData = new DataTransfer(), bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
            clipboardData.items.add(new File([bytes], "image.jpg", {type: "image/jpeg"}));
            document.body.dispatchEvent(new ClipboardEvent("paste", {clipboardData, bubbles: true}));
        }""",
        base64.b64encode(jpeg.getvalue()).decode(),
    )
    words(page, "^Left hand, .*extended")
    assert worker.evaluate("self.closed") == 1
    assert page.get_by_role("button", name="OBJ", disabled=False).count() == 1


def test_keys_of_the_browser_do_not_turn_the_mesh(page):
    taken = page.locator(".turning").evaluate("""figure => ["altKey", "ctrlKey", "metaKey", "shiftKey"].map(held =>
        !figure.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowLeft", [held]: true, cancelable: true})))""")
    assert taken == [False, False, False, True]
