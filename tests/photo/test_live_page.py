"""The live page in headless Chromium: a picture in, a mesh out, taken along, nothing sent."""

import json

import pytest
import torch
from chromium import CHROMIUM
from exif_tags import tagged
from live_pages import LIVE, choose, covered, give, jpeg, opened, words
from PIL import Image

from handlib.photo.live_page import SCRIPTS, live_page
from handlib.photo.live_samples import samples
from handlib.photo.mano_parameters import from_mano_parameters

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium fonts-dejavu-core")


def asked_for(page):
    return [url for url in page.requests if not url.startswith(("data:", "blob:"))]


@pytest.mark.parametrize("name", ["one.html", "site.html"])
@pytest.mark.parametrize("over", ["file", "http"])
def test_a_hand_is_estimated_and_nothing_is_asked_for(browser, site, served, over, name):
    url = (site / name).as_uri() if over == "file" else f"{served}/{name}"
    page = opened(browser, url)
    page.wait_for_timeout(300)
    loaded = len(page.requests)
    scripts = SCRIPTS if name == "site.html" else ()
    assert {url.rsplit("/", 1)[1] for url in asked_for(page)} == {name, *scripts}
    choose(page, 3)
    assert page.locator(".words").inner_text().count("hand,") == 2
    page.locator(".handlib-live > details > summary").click()
    assert asked_for(page)[loaded:] == [] and page.errors == []
    page.close()


def test_first_load_is_small(site):
    assert sum((site / "live" / name).stat().st_size for name in SCRIPTS) < 14_000_000
    assert (site / "one.html").stat().st_size < 14_000_000


def test_missing_networks_are_said(browser, site):
    (site / "half.html").write_text((site / "site.html").read_text().replace("live-pack.js", "none.js"))
    page = opened(browser, (site / "half.html").as_uri(), ready=False)
    assert "Reload the page" in words(page, "could not be loaded")
    page.close()


def test_samples_are_found_and_drawn(page):
    for n, sides in enumerate((["right"], ["left"], ["right"], ["right", "left"])):
        choose(page, n)
        assert sorted(page.evaluate(f"{LIVE}.estimate.hands.map(h => h.side)")) == sorted(sides)
        assert covered(page) > 0.02
    assert page.errors == []


def test_a_turned_photograph_is_upright(page):
    picture = samples()[0].picture.crop((0, 0, 440, 300)).transpose(Image.Transpose.ROTATE_90)  # as the sensor saw it
    give(page, "turned.jpg", jpeg(picture, exif=tagged(Orientation=6, FocalLengthIn35mmFilm=30)))
    words(page, "right hand|No hand|Right hand")
    assert page.evaluate("(c => [c.width, c.height])(document.querySelector('.photograph canvas'))") == [440, 300]
    assert page.evaluate(f"{LIVE}.estimate.K[0]") == pytest.approx(30 * 532.54 / 43.267, rel=1e-3)


def test_downloads_are_the_estimate(page, hand):
    choose(page, 3)
    files = {}
    for kind in ("OBJ", "GLB", "JSON"):
        with page.expect_download() as download:
            page.get_by_role("button", name=kind, exact=True).click()
        files[kind] = download.value.path().read_bytes()
        assert download.value.suggested_filename == f"hand.{kind.lower()}"
    assert files["GLB"][:4] == b"glTF" and files["OBJ"].count(b"\nv ") == 2 * 778
    described = json.loads(files["JSON"])
    assert described["image_size"] == [896, 448] and len(described["hands"]) == 2
    shown = page.evaluate(f"{LIVE}.estimate.hands.map(h => Array.from(h.vertices_cam))")
    for one, vertices in zip(described["hands"], shown, strict=True):
        placed = from_mano_parameters(hand, one["mano"])
        mesh = hand(placed.pose, placed.shape).vertices @ placed.rotation.mT + placed.translation
        mesh = mesh * torch.tensor([-1.0, 1, 1]) if placed.side == "left" else mesh
        assert (mesh - torch.tensor(vertices).view(-1, 3)).norm(dim=1).max() < 1e-4


def test_the_estimate_goes_to_the_sliders(page):
    details = page.locator(".handlib-live > details")
    details.evaluate("d => { d.open = true }")
    pose = page.evaluate(f"Array.from({LIVE}.estimate.hands[0].h.slice(0, 45))")
    page.wait_for_function(
        f"pose => {LIVE}.explorer.state.pose.every((value, n) => Math.abs(value - pose[n]) < 1e-6)", arg=pose
    )
    page.get_by_label("index curl").fill("90")
    assert page.evaluate(f"{LIVE}.explorer.state.pose") != pose
    details.evaluate("d => { d.open = false }")


def test_a_notebook_shows_it_in_a_frame(browser, site, tmp_path):
    path = tmp_path / "notebook.html"
    path.write_text(f"<!doctype html><title>notebook</title>{live_page()._repr_html_()}", "utf-8")
    page = opened(browser, path.as_uri(), ready=False)
    frame = page.frame_locator("iframe")
    frame.locator(".handlib-live.ready").wait_for()
    frame.locator(".samples button").first.click()
    frame.locator(".words").filter(has_text="hand, ").wait_for()
    assert page.errors == []
    page.close()
