"""What the pages of the book share: what a page cost, figures that leave plotly.js to the page, a photograph to show.

Plotly's figures bring plotly.js, 4 MB, or ask a network for it. A built page loads it once (_ext/handbook.py), so there
a renderer without it is the default.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import plotly.io as pio
from PIL import Image, ImageFilter
from plotly.io.base_renderers import MimetypeRenderer

from handlib.data import BuiltinBackgrounds, SyntheticHands
from handlib.evaluation.results import device_of, present, read, value
from handlib.photo.live_page import LivePage, embedded, live_page
from handlib.viz.plots import ACCESS
from handlib.viz.stills import to_image


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
# For a light page and a dark one: nothing is painted behind a plot; handbook.css turns its letters with the theme.
_GRID = dict(
    automargin=True,
    title_standoff=12,
    gridcolor="rgba(128,128,128,0.3)",
    zerolinecolor="rgba(128,128,128,0.6)",
    linecolor="rgba(128,128,128,0.6)",
)
pio.templates["page"] = dict(
    layout=dict(
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", font=dict(color="#333a44", size=13),
        colorway=["#2e7ebf", "#e4572e", "#3f9f5f", "#b0741a", "#9a5fb8", "#7a7a7a"], xaxis=_GRID, yaxis=_GRID,
        colorscale=dict(sequential=[[0, "#e8e8e8"], [1, "#2e5d8c"]]),
    )
)  # fmt: skip
if "HANDBOOK" in os.environ:  # set where the book is built
    pio.renderers.default = pio.templates.default = "page"


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
        f"of memory on {device_of(measured)}."
    )


class Embedded(NamedTuple):
    """A piece of HTML, which a cell shows."""

    html: str

    def _repr_html_(self) -> str:
        return self.html


def your_hand() -> "Embedded | LivePage":
    """The live page: on a built page by the scripts that _ext/handbook.py writes, in a notebook in a frame."""
    return Embedded(embedded("../_static/live")) if "HANDBOOK" in os.environ else live_page()


PARTS = {
    "detect": "finding palms",
    "landmarks": "looks at the hand",
    "e3d": "E3D and Ref",
    "refine": "refinement",
    "first": "**until the first hand**",
    "total": "in all",
}  # of an estimate, by their names in the results
PICTURES = {
    "": "a picture of 448 × 448 pixels",
    "_of_12_megapixels_seen_in_whole": "12 megapixels, palm seen at once",
    "_of_12_megapixels_seen_in_finer": "12 megapixels, seen in the third view",
    "_of_12_megapixels_seen_in_tiles": "12 megapixels, seen in tiles alone",
}


def browser_table(folder: str | os.PathLike[str]) -> str:
    """What the live page costs and how far it is from Python, as tools/measure has measured it in several browsers."""
    found, missing = present(folder, ("browser",))
    if missing:
        return missing
    found |= present(folder, ("other-browsers",))[0]  # measured where they are installed
    metrics = {metric["name"]: metric for record in found.values() for metric in record["metrics"]}
    times = {
        picture: {part: metrics.pop(f"milliseconds_{part}{suffix}", None) for part in PARTS}
        for suffix, picture in PICTURES.items()
    }
    times = {picture: own for picture, own in times.items() if any(own.values())}
    lines = ["| milliseconds | " + " | ".join(times) + " |", "|---|" + "---:|" * len(times)]
    for part, label in PARTS.items():
        values = (own[part] for own in times.values())
        lines.append(f"| {label} | " + " | ".join(f"{one['value']:.3g}" if one else "–" for one in values) + " |")
    lines += ["", "| measured | value |", "|---|---:|"]
    lines += [f"| {one['name'].replace('_', ' ')} | {one['value']:.3g} {one['unit']} |" for one in metrics.values()]
    devices = " and ".join(sorted({device_of(record) for record in found.values()}))
    return "\n".join([*lines, "", f"On {devices}."])


class Pasted(NamedTuple):
    """A rendered hand in a stand-in photograph."""

    sample: int  # of SyntheticHands("studio")
    x: float  # of its center, from 0 to 1
    y: float
    side: float  # of the square that it comes in, over the width
    degrees: float = 0.0  # counterclockwise
    mirrored: bool = False  # a left hand


TWO_HANDS = (Pasted(121, 0.24, 0.62, 0.81, 4), Pasted(529, 0.76, 0.62, 0.75, -4, mirrored=True))
CREDIT = "Photograph behind the hands: a rocket by SpaceX, CC0, as scikit-image ships it; the hands are rendered ones."
_ROCKET = 3  # of the built-in backgrounds for training


def stand_in(hands: Sequence[Pasted] = TWO_HANDS, width: int = 960) -> Image.Image:
    """A picture to show where a photograph of somebody's hands would be: rendered hands before a photograph."""
    picture = to_image(BuiltinBackgrounds("train").photograph(_ROCKET) / 255)
    picture = picture.resize((width, width * picture.height // picture.width), Image.Resampling.LANCZOS)
    for hand in hands:
        cut = _cut_out(hand.sample, round(hand.side * width))
        cut = cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if hand.mirrored else cut
        cut = cut.rotate(hand.degrees, Image.Resampling.BICUBIC, expand=True)
        corner = (round(hand.x * picture.width - cut.width / 2), round(hand.y * picture.height - cut.height / 2))
        picture.paste(cut, corner, cut)
    return picture


def _cut_out(sample: int, side: int) -> Image.Image:
    """A rendered hand with its arm; the rest is transparent."""
    rendered = SyntheticHands("studio", size=2 * side, crop_factor=2.6)[sample]
    cover = to_image((rendered.parts > 0).float()).convert("L")
    cover = cover.filter(ImageFilter.MinFilter(5))  # a rim of the backdrop would show
    picture = to_image(rendered.image)
    picture.putalpha(cover)
    return picture.resize((side, side), Image.Resampling.LANCZOS)
