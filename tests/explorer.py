"""Pages with the hand explorer in headless Chromium: opened, asked, and what they have drawn."""

import pytest
import torch
from chromium import CHROMIUM

WIDE = {"width": 1000, "height": 700}
PHONE = {"width": 390, "height": 844}
TOLERANCE = 1e-4  # meters between the page's vertices and Python's
SHOWN = "Object.values(window.handlibExplorers)[0]"
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium fonts-dejavu-core")


def open_page(browser, path, body, wait=True, **options):
    """A page of HTML without a network; its `errors` hold what went wrong."""
    path.write_text(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A hand</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"</head><body>{body}</body></html>",
        "utf-8",
    )
    page = browser.new_page(**({"viewport": WIDE} | options))
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
    page.route("http*://**/*", lambda route: route.abort())
    page.goto(path.as_uri())
    if wait:
        ready(page)
    return page


def ready(frame):
    frame.wait_for_function(f"window.handlibExplorers && {SHOWN}", timeout=30_000)


def ask(page, what, pose, shape, correctives=True):
    """Rows of three numbers that the page computes."""
    call = f"([pose, shape, correctives]) => Array.from({SHOWN}.{what}(pose, shape, correctives))"
    return torch.tensor(page.evaluate(call, [pose.tolist(), shape.tolist(), correctives])).view(-1, 3)


def next_frame(page):
    """A change is drawn in the next frame; in the one after that it has been."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def drawn(page):
    """Vertices in the figure, back in the model's frame."""
    next_frame(page)
    x, y, z = torch.tensor(page.evaluate(f"Array.from({SHOWN}.view.scene.meshes.at(-1).vertices)")).view(-1, 3).T
    return torch.stack([-y, z, -x], 1)


def pose_of(page):
    return torch.tensor(page.evaluate(f"Array.from({SHOWN}.state.pose)"), dtype=torch.float32)


def shape_of(page):
    return torch.tensor(page.evaluate(f"Array.from({SHOWN}.state.shape)"), dtype=torch.float32)
