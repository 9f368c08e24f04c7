"""Still images of hands: overlays, skeletons, arrows, contact sheets. Needs only Pillow and the renderer."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..hand.joints import BONES
from ..hand.mesh import vertex_normals
from ..renderer import Renderer

FINGER_COLORS = ("#e4572e", "#f3a712", "#3f8f5f", "#2e86ab", "#7b4b94")  # thumb … little


def to_image(tensor: Float[Tensor, "3 h w"] | Float[Tensor, "h w"] | UInt8[Tensor, "3 h w"]) -> Image.Image:
    """Converts values in [0, 1], or bytes, to an image."""
    rows = (tensor if tensor.ndim == 3 else tensor[None].expand(3, -1, -1)).movedim(0, -1)
    return Image.fromarray(rows.cpu().numpy() if rows.dtype == torch.uint8 else to_bytes(rows))


def overlay(
    image: Float[Tensor, "3 h w"],
    vertices_px: Float[Tensor, "v 3"],
    faces: Int[Tensor, "f 3"],
    joints_px: Float[Tensor, "21 2"] | None = None,
    opacity: float = 0.75,
) -> Image.Image:
    """Draws a mesh, lit from the front, and optionally a skeleton over the image they were estimated from."""
    _, height, width = image.shape
    with torch.no_grad():
        facing = vertex_normals(vertices_px, faces)[:, 2:].abs()  # z is the viewing direction
        colors = image.new_tensor([0.42, 0.68, 0.93]) * (0.35 + 0.65 * facing)
        rendered = Renderer((height, width)).rgb(vertices_px, faces, colors, image)
        picture = to_image(opacity * rendered + (1 - opacity) * image)
    return picture if joints_px is None else draw_skeleton(picture, joints_px)


def draw_skeleton(picture: Image.Image, joints_px: Float[Tensor, "21 2"]) -> Image.Image:
    """Draws bones in the colors of the fingers."""
    picture = picture.copy()
    pen = ImageDraw.Draw(picture)
    points = [tuple(p) for p in joints_px.detach().cpu().tolist()]
    width = max(1, round(max(picture.size) / 110))
    for n, (parent, child) in enumerate(BONES):
        pen.line([points[parent], points[child]], fill=FINGER_COLORS[n // 4], width=width)
    return picture


def draw_arrows(
    picture: Image.Image, points: Float[Tensor, "n 2"], moves: Float[Tensor, "n 2"], color: str = "#c1121f"
) -> Image.Image:
    """Draws arrows from points along moves, both in pixels; arrows shorter than a pixel are left out."""
    picture = picture.copy() if picture.mode == "RGBA" else picture.convert("RGB")
    pen = ImageDraw.Draw(picture)
    for (x, y), (dx, dy) in zip(points.tolist(), moves.tolist(), strict=True):
        if dx * dx + dy * dy < 1:
            continue
        tip, back = (x + dx, y + dy), 0.3
        pen.line([(x, y), tip], fill=color, width=1)
        for side in (-0.5, 0.5):  # two barbs, a third of the arrow's length
            barb = (tip[0] - back * (dx + side * dy), tip[1] - back * (dy - side * dx))
            pen.line([tip, barb], fill=color, width=1)
    return picture


def contact_sheet(
    pictures: Sequence[Image.Image], columns: int = 6, size: int = 160, titles: Sequence[str] = ()
) -> Image.Image:
    """Puts images side by side, each scaled to a square of `size` pixels. titles: of the columns.

    What lies between them is transparent and titles are gray, for a light page and for a dark one.
    """
    if titles and len(titles) != columns:
        raise ValueError(f"{len(titles)} titles for {columns} columns: give one each")
    rows, gap = -(-len(pictures) // columns), 4
    font = ImageFont.load_default(max(11, size // 11))
    head = 2 * max(11, size // 11) if titles else 0
    sheet = Image.new("RGBA", (columns * (size + gap) - gap, head + rows * (size + gap) - gap))
    pen = ImageDraw.Draw(sheet)
    for n, title in enumerate(titles):
        pen.text((n * (size + gap) + size / 2, head / 2), title, fill="#808080", font=font, anchor="mm")
    for n, picture in enumerate(pictures):
        corner = (n % columns * (size + gap), head + n // columns * (size + gap))
        sheet.paste(picture.resize((size, size), Image.Resampling.LANCZOS), corner)
    return sheet


def augmentation_sheet(
    seeds: Float[Tensor, "n 3 s s"],
    vertices_px: Float[Tensor, "n v 3"],
    faces: Int[Tensor, "f 3"],
    generated: dict[str, Tensor],
    size: int = 160,
) -> Image.Image:
    """Makes a row for each seed of `augmentation.augment`: its image, its mesh over it, and the generated instances.

    `generated` has the same number of instances for each seed, in the order of the seeds; skeleton and mask of the last
    instance are at the end of the row.
    """
    per_seed, pictures = len(generated["image"]) // len(seeds), []
    for n, (image, mesh) in enumerate(zip(seeds, vertices_px, strict=True)):
        rows = range(n * per_seed, (n + 1) * per_seed)
        last = to_image(generated["image"][rows[-1]])
        pictures += [to_image(image), overlay(image, mesh, faces), *(to_image(generated["image"][r]) for r in rows)]
        pictures += [draw_skeleton(last, generated["joints_px"][rows[-1]]), to_image(generated["mask"][rows[-1]])]
    titles = ["picture", "estimate", *(f"new {n + 1}" for n in range(per_seed)), "skeleton", "mask"]
    return contact_sheet(pictures, per_seed + 4, size, titles)


def to_bytes(values: Tensor) -> np.ndarray:
    """Converts values in [0, 1] to bytes."""
    return (values.detach().cpu().clamp(0, 1) * 255).round().byte().numpy()
