"""The live page: the hand estimator in the reader's browser, for a site, a file, Jupyter and Colab.

The page's scripts are viz/static/live, joined; what they compute with is the file of live.py, as text: a page that was
opened from a disk may load scripts, and nothing else. Once loaded it asks no network for anything.
"""

import base64
import html
import os
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from uuid import uuid4

from ..hand import HandModel
from ..support.files import write_file
from ..viz.framed import FramedPage, document, script_json
from ..viz.scripts import joined
from ..viz.widgets import hand_explorer
from .live import live_file
from .live_samples import samples

SCRIPTS = ("live.js", "live-pack.js", "live.css")  # of `write_scripts`
_NEEDS = "The live page needs JavaScript; in Jupyter, trust the notebook or run the cell."
# Whichever of the two scripts comes first: the page waits for the event, or finds what is there already.
_ARRIVED = 'window.dispatchEvent(new Event("handlib-live-pack"));'
_PACK = """new Promise((resolve, reject) => {
  const look = () => {
    const text = window.handlibLivePack;
    if (text === undefined) return;
    if (text) resolve(text);
    else reject(new Error("live-pack.js is missing"));
  };
  addEventListener("handlib-live-pack", look);
  look();
})"""


class LivePage(FramedPage):
    """What `live_page` makes: shown by Jupyter and Colab as a frame of its own, or saved as one file."""

    title, allowed = "Your hand, estimated in this page", "camera"

    def html(self) -> str:
        """The page as one document of about 10 MB, which needs nothing else."""
        return document("Your hand", _style(), f"<h1>Your hand</h1>{_element()}", _script(), _pack_script())


def live_page(height: int = 900) -> LivePage:
    """A page that estimates hands in photographs and from the webcam, in the browser alone; the last line of a cell
    shows it.

    height: of its frame, in pixels. The output holds the networks, 10 MB: `live_page().save("hand.html")` makes a file
    of it instead, which works without Python and without a network.
    """
    return LivePage(height)


def write_scripts(folder: str | os.PathLike[str]) -> None:
    """Writes `SCRIPTS` for the pages of a site, which hold `embedded`."""
    for name, text in zip(SCRIPTS, (_script(), _pack_script(), _style()), strict=True):
        write_file(Path(folder) / name, text)


def embedded(folder: str) -> str:
    """The live page as a piece of HTML; `folder`, as the page names it, holds what `write_scripts` wrote."""
    script, pack, style = (html.escape(f"{folder}/{name}", quote=True) for name in SCRIPTS)
    missing = html.escape(f'handlibLivePack = ""; {_ARRIVED}', quote=True)
    return (
        f'<link rel="stylesheet" href="{style}">{_element()}<script src="{script}"></script>'
        f'<script async src="{pack}" onerror="{missing}"></script>'
    )


def _element() -> str:
    return f'<div id="live-{uuid4().hex[:8]}" class="handlib-live">{_NEEDS}</div>'


def _style() -> str:
    static = files("handlib.viz") / "static"
    return (static / "explorer.css").read_text("utf-8") + (static / "live/live.css").read_text("utf-8")


@lru_cache(maxsize=1)
def _script() -> str:
    explorer = hand_explorer(HandModel.load(), height=360)
    data = {
        "worker": joined("live/worker.js"),
        "explorer": explorer.data,
        "samples": [sample.packed() for sample in samples()],
    }
    return (
        f"(() => {{\n{joined('live/page.js')}\nconst data = {script_json(data)};\nconst pack = {_PACK};\n"
        'for (const root of document.querySelectorAll(".handlib-live:not([data-started])")) {\n'
        '  root.dataset.started = "";\n'
        "  (window.handlibLive ||= {})[root.id] = startLive(root, data, pack);\n}\n})();\n"
    )


@lru_cache(maxsize=1)
def _pack_script() -> str:
    return f'handlibLivePack = "{base64.b64encode(live_file()).decode()}";\n{_ARRIVED}\n'
