"""Makes the picture of the README, book/_static/teaser.png: the results of `handlib predict` on a photograph.

It shows a photograph of two hands, their meshes over it, and the meshes from the side. The photograph is a stand-in
with rendered hands, since the project ships no photographs of people.
"""

import math
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from handlib import predict
from handlib.hand.mesh import vertex_normals
from handlib.photo.draw import draw_hands
from handlib.photo.estimate import HandEstimate
from handlib.photo.read import read_photo
from handlib.renderer import Renderer
from handlib.support import roma
from handlib.viz.stills import to_image

BOOK = Path(__file__).resolve().parents[1] / "book"
WIDTH, GAP = 420, 6  # pixels; of a panel, between panels
TURN = math.radians(-60)  # rotation of the meshes about the vertical
PAPER = 0.96  # gray level of the background


def main() -> None:
    sys.path.insert(0, str(BOOK))
    from chapter import stand_in

    photograph = stand_in(width=2 * WIDTH)
    hands = predict(photograph)
    drawn = draw_hands(read_photo(photograph).pixels, hands)
    size = (WIDTH, WIDTH * photograph.height // photograph.width)
    meshes = [from_the_side(hand, size) for hand in sorted(hands, key=lambda hand: float(hand.joints_cam[0, 0]))]
    panels = [photograph, Image.fromarray(drawn.movedim(0, -1).numpy()), beside(meshes)]
    sheet = Image.new("RGB", (3 * WIDTH + 2 * GAP, size[1]), "white")
    for n, panel in enumerate(panels):
        sheet.paste(panel.resize(size, Image.Resampling.LANCZOS), (n * (WIDTH + GAP), 0))
    path = BOOK / "_static" / "teaser.png"
    sheet.save(path, optimize=True)
    print("wrote", path, *hands, sep="\n")


def from_the_side(hand: HandEstimate, size: tuple[int, int]) -> Tensor:
    """Renders the mesh rotated about the vertical, as bytes (2 h, w, 3) for a panel of (w, h)."""
    width, height = size
    turn = roma.rotvec_to_rotmat(torch.tensor([0.0, TURN if hand.side == "right" else -TURN, 0.0]))
    vertices = (hand.vertices_cam - hand.vertices_cam.mean(0)) @ turn.mT
    middle = (vertices.amin(0) + vertices.amax(0)) / 2
    scale = 1.7 * height / float((vertices.amax(0) - vertices.amin(0))[:2].max())
    pixels = (vertices - middle) * scale + torch.tensor([width / 2, height, 2 * scale])
    facing = vertex_normals(pixels, hand.faces)[:, 2:].abs()
    colors = hand.hand.vertex_colors * (0.45 + 0.55 * facing)
    picture = Renderer((2 * height, width)).rgb(pixels, hand.faces, colors, torch.full((3, 2 * height, width), PAPER))
    return torch.from_numpy(np.array(to_image(picture)))


def beside(pictures: list[Tensor]) -> Image.Image:
    return Image.fromarray(torch.cat(pictures, 1).numpy())


if __name__ == "__main__":
    main()
