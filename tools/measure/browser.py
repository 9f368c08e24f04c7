"""Measures the live page in headless Chromium: size, times, memory, and how far it is from Python; writes
results/browser.json.

    .venv/bin/python tools/measure/browser.py [--frames 2000]

Ten pictures of rendered hands are estimated by the page and by `predict`; then the fake camera of Chromium shows a hand
that moves, for so many frames.
"""

import argparse
import io
import json
import shutil
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from operator import itemgetter
from pathlib import Path

import psutil
import torch
from common import LIVE, differences, write
from PIL import Image

from handlib.data import SyntheticHands
from handlib.evaluation.results import Metric
from handlib.photo.find import Finder, views
from handlib.photo.live_page import SCRIPTS, live_page, write_scripts
from handlib.photo.live_samples import Gradient, samples
from handlib.photo.predict import Predictor
from handlib.photo.pyramid import Pyramid
from handlib.photo.read import read_photo
from handlib.viz.stills import to_image

CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader", "--no-first-run"]
CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
PATIENCE = 600_000  # ms
SETTLED = 30  # frames before the clock starts
LARGE, RUNS = (4000, 3000), 7  # pixels of a photo of 12 megapixels; another program may have the core in some runs
# A rendered hand in it, by the view in which its palm is seen: row, and side of the square in which it is.
SEEN = {"whole": (18, 1800), "finer": (12, 1800), "tiles": (18, 600)}
ROWS = (0, 3, 12, 18, 40, 77, 120, 200, 310, 420)  # of the studio's hands


def write_film(path: Path) -> Path:
    """A rendered hand that wanders through the picture, as Chromium's fake camera shows it."""
    hand = samples()[0].picture.resize((300, 300))
    with open(path, "wb") as file:
        for n in range(24):
            frame = Image.new("RGB", (480, 360), (150, 155, 165))
            frame.paste(hand, (20 + 5 * min(n, 24 - n), 30))
            frame.save(file, "JPEG", quality=90)
    return path


def camera_run(url: str, frames: int, film: Path) -> dict:
    """What the page did while the camera ran: frames, seconds, words, errors, and megabytes by which it grew."""
    with ThreadPoolExecutor(1) as pool:  # playwright allows one browser a thread, and a test may have its own
        return pool.submit(_camera_run, url, frames, film).result()


def _camera_run(url: str, frames: int, film: Path) -> dict:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags, others = [*FLAGS, *CAMERA, f"--use-file-for-fake-video-capture={film}"], _renderers()
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        page, errors = browser.new_page(), []
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        page.wait_for_selector(".handlib-live.ready")
        page.get_by_role("button", name="start the camera").click()
        page.wait_for_function(f"{LIVE}.camera.running")
        reached = f"n => {LIVE}.camera.frames >= n || !{LIVE}.camera.running"
        page.wait_for_function(reached, arg=SETTLED)
        started = time.perf_counter()
        page.wait_for_function(reached, arg=SETTLED + frames // 2, timeout=PATIENCE + 2000 * frames)
        before = _memory_mb(page, others)
        page.wait_for_function(reached, arg=SETTLED + frames, timeout=PATIENCE + 2000 * frames)
        seconds, counted = time.perf_counter() - started, page.evaluate(f"{LIVE}.camera.frames") - SETTLED
        grown, words = _memory_mb(page, others) - before, page.locator(".words").inner_text()
        paused = _paused(page)
        times = page.evaluate(f"{LIVE}.estimate.times")
        browser.close()
    return {
        "frames": counted, "seconds": seconds, "words": words, "paused": paused, "errors": errors, "grown_mb": grown,
        "times": times,
    }  # fmt: skip


def _paused(page) -> str:
    """What is said while the page is hidden; it goes on afterwards."""
    page.evaluate("""() => {
        window.out = true;
        Object.defineProperty(document, "hidden", {get: () => window.out, configurable: true});
    }""")
    page.wait_for_function("document.querySelector('.words').textContent.startsWith('Paused')")
    said, frames = page.locator(".words").inner_text(), page.evaluate(f"{LIVE}.camera.frames")
    page.wait_for_timeout(300)
    assert page.evaluate(f"{LIVE}.camera.frames") == frames, "a hidden page goes on estimating"
    page.evaluate("() => { window.out = false; document.dispatchEvent(new Event('visibilitychange')) }")
    page.wait_for_function(f"n => {LIVE}.camera.frames > n", arg=frames)
    return said


def _renderers() -> set[psutil.Process]:
    """The page processes of this process's browsers."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        try:
            if "--type=renderer" in process.cmdline():
                found.add(process)
        except psutil.NoSuchProcess:
            continue
    return found


def _memory_mb(page, others: set[psutil.Process]) -> float:
    """Private memory of page processes but for `others`: those of a browser that was open before.

    Chromium, where it draws without a GPU, keeps the frames of a video up to half a gigabyte, until memory is short.
    """
    page.context.new_cdp_session(page).send("Memory.simulatePressureNotification", {"level": "critical"})
    page.wait_for_timeout(500)
    total = 0
    for process in _renderers() - others:
        try:
            total += process.memory_full_info().uss
        except psutil.NoSuchProcess:
            continue
    return total / 1e6


def parity(url: str) -> list[Metric]:
    """Ten pictures by the page and by Python; the page is given PNGs, so that both see the same pixels."""
    from playwright.sync_api import sync_playwright

    data = SyntheticHands("studio", 448, 600, backgrounds=Gradient(), crop_factor=2.0)
    pictures = [to_image(data[row].image) for row in ROWS]
    predictor, apart, times, found = Predictor(), [], [], 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(url)
        page.wait_for_selector(".handlib-live.ready")
        for n, picture in enumerate(pictures):
            one = _estimated(page, picture, f"{n}.png")
            expected = predictor(picture)
            assert len(expected) == len(one["hands"]), f"picture {n}: {len(expected)} hands in Python, not in the page"
            found += len(expected)
            apart.append(differences(one["hands"], expected))
            times.append(one["times"])
        large = {}
        for view, (row, side) in SEEN.items():
            picture = pasted(pictures[ROWS.index(row)], side)
            assert seen_in(predictor.finder, picture) == view
            runs = [_first_hand(page, picture, f"{view}-{n}.png") for n in range(RUNS)]
            large[view] = min(runs, key=itemgetter("first"))
        browser.close()
    parts = [
        Metric(f"milliseconds_{part}", statistics.median(one[part] for one in times), "ms", n=len(times))
        for part in times[0]
    ]
    h, millimeters = map(max, zip(*apart, strict=True))
    return [
        Metric("largest_difference_of_h", h, "", n=found),
        Metric("largest_difference_of_a_vertex", millimeters, "mm", n=found),
        *parts,
        *(
            Metric(f"milliseconds_{part}_of_12_megapixels_seen_in_{view}", value, "ms", "the fastest of n", n=RUNS)
            for view, times in large.items()
            for part, value in times.items()
        ),
    ]


def pasted(hand: Image.Image, side: int) -> Image.Image:
    """A photo of 12 megapixels with a rendered hand."""
    picture = Image.new("RGB", LARGE, (150, 155, 165))
    picture.paste(hand.resize((side, side)), (900, 700))
    return picture


def seen_in(finder: Finder, picture: Image.Image) -> str:
    """The first view that shows a palm."""
    image = Pyramid(read_photo(picture).pixels)
    with torch.no_grad():
        return next(view.name for view in views(image.height, image.width) if finder.palm_crops(image, view))


def _first_hand(page, picture: Image.Image, name: str) -> dict[str, float]:
    """Milliseconds of the parts until the first hand's mesh was there, `first`; and of the whole estimate, `total`."""
    page.evaluate(f"""(live => {{
        const ask = Object.getPrototypeOf(live.client).ask.bind(live.client);
        live.client.ask = (kind, message, transfer, onFirst) => ask(kind, message, transfer, one => {{
            window.firstHand = one.times;
            onFirst(one);
        }});
    }})({LIVE})""")
    whole = _estimated(page, picture, name)["times"]
    return {**page.evaluate("window.firstHand"), "total": whole["total"]}


def _estimated(page, picture: Image.Image, name: str) -> dict:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    page.evaluate(f"window.before = {LIVE}.estimate")
    page.locator("input[type=file]").first.set_input_files(
        {"name": name, "mimeType": "image/png", "buffer": buffer.getvalue()}
    )
    done = "!document.querySelector('.words').textContent.includes('Looking')"
    page.wait_for_function(f"{LIVE}.estimate && {LIVE}.estimate !== window.before && {done}")
    return page.evaluate(f"""(({{hands, times}}) => ({{times, hands: hands.map(
        one => ({{h: Array.from(one.h), vertices: Array.from(one.vertices_cam)}}))}}))({LIVE}.estimate)""")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=2000, help="of the camera")
    frames = parser.parse_args().frames
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        page = live_page().save(Path(folder) / "one.html")
        write_scripts(Path(folder) / "live")
        size = sum((Path(folder) / "live" / name).stat().st_size for name in SCRIPTS)
        with ThreadPoolExecutor(1) as pool:
            metrics = [Metric("first_load", size / 1e6, "MB"), *pool.submit(parity, page.as_uri()).result()]
        run = camera_run(page.as_uri(), frames, write_film(Path(folder) / "hand.mjpeg"))
    print(json.dumps({key: value for key, value in run.items() if key != "errors"}, indent=1))
    assert not run["errors"], run["errors"]
    metrics += [
        Metric("camera_hands_per_second", run["frames"] / run["seconds"], "1/s", n=run["frames"]),
        Metric("camera_memory_growth", run["grown_mb"], "MB", "over the second half of the frames", n=run["frames"]),
    ]
    claim = "the live page does in a browser what predict does in Python"
    config = {"frames": frames, "rows": list(ROWS), "browser": "headless Chromium"}
    data = {"name": "SyntheticHands studio 448 before a gradient", "n": len(ROWS)}
    write("browser", claim, metrics, Predictor().model, data, started, f"browser.py --frames {frames}", config)


if __name__ == "__main__":
    main()
