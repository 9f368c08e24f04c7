"""Draws a contact sheet of a hand model: every named pose from six sides, and every shape component at ±2.5."""

from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from handlib import HandModel, Renderer
from handlib.data.synthetic.appearance import REFLECTANCE, Light, relief, skin_tone, to_picture
from handlib.hand.mesh import vertex_normals
from handlib.viz.stills import to_image

SIZE, SPAN = 240, 0.24  # pixels and meters of a picture
SIDES = {
    "back": (0, 1, 0),
    "palm": (0, -1, 0),
    "thumb": (0, 0, 1),
    "little": (0, 0, -1),
    "tips": (-1, 0, 0),
    "slant": (-0.5, -0.6, 0.6),
}


def view(direction: tuple[float, float, float]) -> Tensor:
    """Returns the rotation to a camera (x right, y down, z away) that sees the hand from `direction`, fingers up."""
    away = -torch.nn.functional.normalize(torch.tensor(direction, dtype=torch.float32), dim=0)
    up = torch.tensor([0.0, 1, 0]) if direction[0] == -1 else torch.tensor([-1.0, 0, 0])
    right = torch.nn.functional.normalize(torch.linalg.cross(up, away), dim=0)
    right = -right if torch.linalg.det(torch.stack([right, -up, away])) < 0 else right
    return torch.stack([right, torch.linalg.cross(away, right), away])


def picture(hand: HandModel, vertices: Tensor, direction: tuple[float, float, float], tone: float = 3.6) -> Image.Image:
    """Renders a shaded picture of a mesh (778, 3)."""
    turned = (vertices - (vertices.amax(0) + vertices.amin(0)) / 2) @ view(direction).T
    lamp = torch.nn.functional.normalize(torch.tensor([[-0.5, -0.7, -0.9]]), dim=1)
    light = Light(lamp, torch.full((1, 3), 0.85), torch.full((1, 3), 0.35), torch.full((1, 3), 0.25))
    albedo = relief(hand.vertex_colors) * skin_tone(torch.tensor([tone])) * REFLECTANCE
    normals, full = vertex_normals(turned, hand.faces), torch.ones(1, 1)
    vertices_cam = turned + torch.tensor([0.0, 0, 0.6])
    colors = to_picture(light.shade(vertices_cam[None], normals[None], albedo[None], 0.05 * full, full, full)[0])
    pixels = torch.cat([turned[:, :2] / SPAN * SIZE + SIZE / 2, 0.6 + turned[:, 2:]], 1)
    return to_image(Renderer(SIZE).rgb(pixels, hand.faces, colors, torch.ones(3, SIZE, SIZE)))


def draw(model: str | Path, path: Path, names: tuple[str, ...] = ()) -> None:
    """Renders the sheet of a hand model; names: the poses to draw, all by default."""
    hand = HandModel.load(model)
    rows = []
    with torch.no_grad():
        for name, pose in hand.named_poses.items():
            if not names or name in names:
                vertices = hand(pose, torch.zeros(10)).vertices
                rows.append((name, [picture(hand, vertices, side) for side in SIDES.values()]))
        for k in range(10 if not names else 0):
            pictures = []
            for value in (-2.5, 2.5):
                vertices = hand(torch.zeros(45), value * torch.eye(10)[k]).vertices
                pictures += [picture(hand, vertices, SIDES[side]) for side in ("back", "palm", "thumb")]
            rows.append((f"shape {k}: −2.5, +2.5", pictures))
    sheet = Image.new("RGB", (SIZE * len(SIDES), SIZE * len(rows)), "white")
    pen = ImageDraw.Draw(sheet)
    for r, (name, pictures) in enumerate(rows):
        for c, image in enumerate(pictures):
            sheet.paste(image, (SIZE * c, SIZE * r))
        pen.text((4, SIZE * r + 4), name, fill="black")
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
