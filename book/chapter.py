"""What the pages of the book share: what a page cost, and figures that leave plotly.js to the page.

Plotly's figures bring plotly.js, 4 MB, or ask a network for it. A built page loads it once (_ext/handbook.py), so there
a renderer without it is the default.
"""

import os
from pathlib import Path

import plotly.io as pio
from plotly.io.base_renderers import MimetypeRenderer

from handlib.evaluation.results import read, value
from handlib.viz.plots import ACCESS


class PageRenderer(MimetypeRenderer):
    """HTML without plotly.js and MathJax."""

    include_plotlyjs = False

    def to_mimebundle(self, fig_dict):
        html = pio.to_html(
            fig_dict, include_plotlyjs=False, include_mathjax=False, full_html=False, auto_play=False,
            default_width="100%", validate=False, post_script=ACCESS,
        )  # fmt: skip
        return {"text/html": html}


pio.renderers["page"] = PageRenderer()
if "HANDBOOK" in os.environ:  # set where the book is built
    pio.renderers.default = "page"


def chapter_cost(folder: str | os.PathLike[str], chapter: str) -> str:
    """What running a notebook of the book cost where it was last measured, as a sentence."""
    path = Path(folder) / "chapters-laptop.json"
    if not path.is_file():
        return f"The cost of this chapter was not measured: {path} is missing."
    measured = read(path)
    if f"{chapter}_minutes" not in {metric["name"] for metric in measured["metrics"]}:
        return f"The cost of this chapter was not measured yet: {path} does not name it."
    minutes, memory = value(measured, f"{chapter}_minutes"), value(measured, f"{chapter}_peak_memory_mb")
    return (
        f"Running this notebook at the {measured['profile']} profile took {minutes:.1f} min and {memory / 1000:.1f} GB "
        f"of memory on {measured['device']}."
    )
