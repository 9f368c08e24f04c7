"""The camera of the live page."""

import pytest
from browser import camera_run, write_film
from chromium import CHROMIUM
from live_pages import LIVE, choose, words

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium fonts-dejavu-core")


def test_camera_frames_come_and_memory_stays(site, tmp_path):
    run = camera_run((site / "one.html").as_uri(), frames=60, film=write_film(tmp_path / "hand.mjpeg"))
    assert run["frames"] >= 60 and run["errors"] == []
    assert "ight hand" in run["words"] and run["paused"].startswith("Paused")
    assert run["grown_mb"] < 30


@pytest.fixture
def asked(page):
    """A browser that asks before it gives a camera; `allow()` answers all that is asked."""
    page.evaluate("""() => {
        const canvas = Object.assign(document.createElement("canvas"), {width: 64, height: 48});
        setInterval(() => canvas.getContext("2d").fillRect(0, 0, 64, 48), 50);
        const streams = window.streams = [], asked = window.asked = [];
        window.allow = () => {
            for (const resolve of asked.splice(0)) resolve(streams[streams.push(canvas.captureStream()) - 1]);
        };
        navigator.mediaDevices.getUserMedia = () => new Promise((resolve) => asked.push(resolve));
    }""")
    yield page
    page.evaluate("delete navigator.mediaDevices.getUserMedia")


def on(page):
    return page.evaluate("streams.filter(s => s.getTracks().some(t => t.readyState === 'live')).length")


def test_the_camera_is_asked_for_once_and_is_off_when_it_is_stopped(asked):
    start = asked.get_by_role("button", name="start the camera")
    start.click()
    start.click()
    words(asked, "^Asking")
    asked.get_by_label("the refinement (Eq").uncheck()  # and the camera comes nevertheless
    asked.evaluate("allow()")
    asked.get_by_role("button", name="stop the camera").click()
    words(asked, "The camera is off")
    assert on(asked) == 0


def test_a_photo_that_is_chosen_while_the_camera_is_asked_for_stays(asked):
    asked.get_by_role("button", name="start the camera").click()
    choose(asked, 1)
    asked.evaluate("allow()")
    asked.wait_for_function("streams.length && !streams.some(s => s.getTracks().some(t => t.readyState === 'live'))")
    assert asked.evaluate(f"{LIVE}.estimate.hands[0].side") == "left"
    assert asked.get_by_role("button", name="start the camera").is_visible()


def test_a_refused_camera_is_said(page):
    page.get_by_role("button", name="start the camera").click()
    words(page, "refused|No camera was found")
    choose(page, 0)
