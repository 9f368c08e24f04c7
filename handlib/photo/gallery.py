"""The page of `handlib predict`: photographs with their hands' meshes, which turn; also shown under a notebook's cell.

Its script is the live page's own viewer (viz/static/live/gallery.js).
"""

import html
from collections.abc import Sequence
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from ..hand import HandModel
from ..viz.framed import FramedPage, document, script_json
from ..viz.packing import encoded, packed, vertex_colors
from ..viz.scripts import joined
from ..viz.stills import to_image
from .estimate import HandEstimate
from .read import ImageSource, Photo, read_photo

SIDE = 800  # pixels of a picture's longer side at most
_STYLE = "section{margin:2rem 0} h2{margin:0;overflow-wrap:anywhere} section>img{max-width:100%;height:auto}"


class Shown(NamedTuple):
    """A photograph of the page; `of_photo` makes it."""

    name: str
    jpeg: str  # the picture in base64; the pixels of a thousand would fill the memory
    reduced: float  # the picture over the photograph
    hands: list[HandEstimate]

    @classmethod
    def of_photo(cls, name: str, photo: Photo, hands: Sequence[HandEstimate]) -> "Shown":
        picture = to_image(photo.pixels)
        picture.thumbnail((SIDE, SIDE))
        return cls(name, encoded(picture, "jpeg", 88), picture.width / photo.size[0], list(hands))

    def described(self) -> dict:
        """What the script draws."""
        hands = [
            {
                "side": hand.side,
                "vertices_cam": packed(hand.vertices_cam),
                "joints_cam": packed(hand.joints_cam),
                "joints_px": packed(hand.joints_px),
            }
            for hand in self.hands
        ]
        return {"K": self.hands[0].K.flatten().tolist() if hands else [], "reduced": self.reduced, "hands": hands}

    def section(self) -> str:
        name = html.escape(self.name.encode("utf-8", "replace").decode())  # a file's name may hold bytes of no text
        sides = " and ".join(f"{hand.side} hand" for hand in self.hands)
        scores = ", ".join(f"{hand.side} hand (score {hand.score:.2f})" for hand in self.hands) or "no hand found"
        picture = f'<img src="data:image/jpeg;base64,{self.jpeg}" alt="{name}: {sides or "no hand"}">'
        return f"<section><h2>{name}</h2><p>{scores}</p>{picture}</section>"


class Gallery(FramedPage):
    """Photographs and their hands, each mesh over its picture and turning beside it."""

    title = "Photographs with the meshes of their hands"

    def __init__(self, photographs: Sequence[Shown], height: int = 640):
        super().__init__(height)
        self.photographs = list(photographs)

    def html(self) -> str:
        models = [hand.hand for one in self.photographs for hand in one.hands]
        data = {"model": models and _model(models[0]), "photographs": [one.described() for one in self.photographs]}
        sections = "".join(one.section() for one in self.photographs)
        script = f"(() => {{\n{joined('live/gallery.js')}\n"
        script += (
            f'window.handlibGallery = startGallery(document.getElementById("hands"), {script_json(data)});\n}})();'
        )
        style = (files("handlib.viz") / "static/live/live.css").read_text("utf-8") + _STYLE
        return document("Hands", style, f'<h1>Hands</h1><div id="hands" class="handlib-live">{sections}</div>', script)


def _model(hand: HandModel) -> dict:
    """A mirror turns triangles inside out."""
    faces = hand.faces.cpu().numpy().astype(np.uint16)
    return {"right": packed(faces), "left": packed(faces[:, ::-1]), "colors": packed(vertex_colors(hand))}


def view_hands(image: ImageSource | Photo, hands: Sequence[HandEstimate], name: str = "", height: int = 640) -> Gallery:
    """A photograph with its hands' meshes over it and turning beside it: the last line of a cell shows it.

    image: what `predict` was given. hands: what it returned. height: of the frame, in pixels.
    `view_hands(image, hands).save("hands.html")` makes a file of it, which needs no network.
    """
    photo = image if isinstance(image, Photo) else read_photo(image)
    return Gallery([Shown.of_photo(name or (photo.path.stem if photo.path else "photo"), photo, hands)], height)
