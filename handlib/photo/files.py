"""What `handlib predict` writes for a photograph: numbers, a mesh, an overlay, and a page for all photographs."""

import html
import io
import json
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..support.files import atomic_path
from .draw import draw_hands
from .estimate import HandEstimate, describe_photo
from .meshes import write_meshes
from .read import Photo

OVERLAY = 1600  # pixels of an overlay's longer side at most
THUMBNAIL = 640  # … of the page's pictures


class Written(NamedTuple):
    """A photograph that was predicted, for the page."""

    name: str
    hands: list[HandEstimate]
    overlay: Image.Image
    paths: list[Path]


def write_prediction(
    photo: Photo, hands: Sequence[HandEstimate], K: Tensor, stem: Path, mesh: str = ".obj", assumed: bool = True
) -> Written:
    """Writes `stem`.json, the mesh of all hands, and `stem`_overlay.jpg; without a hand the JSON has an empty list.

    assumed: whether K is, where no hand says so.
    """
    assumed = hands[0].K_assumed if hands else assumed
    text = json.dumps(describe_photo(hands, photo.size, K, assumed), indent=1) + "\n"
    paths = [stem.with_name(f"{stem.name}.json"), stem.with_name(f"{stem.name}_overlay.jpg")]
    with atomic_path(paths[0]) as temporary:
        temporary.write_text(text, encoding="utf-8")
    pixels, scale = photo.pixels, 1 / photo.reduction
    if max(pixels.shape) > OVERLAY:
        small = Image.fromarray(pixels.movedim(0, -1).contiguous().numpy())
        small.thumbnail((OVERLAY, OVERLAY))
        scale = small.width / photo.size[0]
        pixels = torch.from_numpy(np.array(small)).movedim(-1, 0)
    picture = Image.fromarray(draw_hands(pixels, hands, scale).movedim(0, -1).contiguous().numpy())
    with atomic_path(paths[1]) as temporary:
        picture.save(temporary, format="JPEG", quality=92)
    if hands:
        paths.append(write_meshes(stem.with_name(stem.name + mesh), [hand.mesh() for hand in hands]))
    return Written(stem.name, list(hands), picture, paths)


# ---- the page

_STYLE = """
:root{color-scheme:light dark} body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:1rem auto;padding:0 1rem}
section{display:grid;grid-template-columns:repeat(auto-fit,minmax(18rem,1fr));gap:1rem;align-items:start;margin:2rem 0}
h2{grid-column:1/-1;margin:0;overflow-wrap:anywhere} img{max-width:100%;height:auto} figure{margin:0}
"""


def write_page(written: Sequence[Written], path: Path) -> Path:
    """One page that shows every photograph beside its meshes, which turn. It needs no network."""
    try:
        from ..viz.plots import ACCESS, mesh_figure, upright
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{error.name} draws the page's meshes: pip install 'handlib[photo]'") from error
    parts, first = [], True
    for one in written:
        figures = []
        for n, hand in enumerate(one.hands):
            label = f"{hand.side} hand, score {hand.score:.2f}"
            vertices = upright(hand.vertices_cam - hand.joints_cam[9])
            figure = mesh_figure(
                vertices, hand.faces, hand.hand.vertex_colors, title=label, alt=f"Mesh of the {label}."
            )
            figures.append(figure.to_html(
                include_plotlyjs=first, full_html=False, post_script=ACCESS, config={"displaylogo": False},
                div_id=f"hand-{len(parts)}-{n}",
            ))  # fmt: skip
            first = False
        found = ", ".join(f"{hand.side} hand" for hand in one.hands) or "no hand found"
        picture = f'<figure><img src="{_data(one.overlay)}" alt="{html.escape(one.name)} with: {found}"></figure>'
        parts.append(f"<section><h2>{html.escape(one.name)}: {found}</h2>{picture}{''.join(figures)}</section>")
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Hands</title>'
    head = f"{meta}<style>{_STYLE}</style>"
    with atomic_path(path) as temporary:
        temporary.write_text(
            f'<!doctype html><html lang="en">{head}<h1>Hands</h1>{"".join(parts)}</html>', encoding="utf-8"
        )
    return path


def _data(picture: Image.Image) -> str:
    small, buffer = picture.copy(), io.BytesIO()
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    small.save(buffer, "JPEG", quality=88)
    return "data:image/jpeg;base64," + b64encode(buffer.getvalue()).decode()
