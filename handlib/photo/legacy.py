"""Photographs in, pictures and meshes out: what `handlib predict` does for each file."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional

from ..camera import crop_to_px
from ..dhpe import DHPE
from ..files import atomic_path
from ..hand import HandModel
from ..joints import C21
from ..output import DHPEOutput
from ..refinement import refine

MAX_PIXELS = 80_000_000  # below the size at which Pillow warns


@dataclass(frozen=True)
class Photo:
    """A square crop around one hand, turned into a right hand."""

    image: Float[Tensor, "3 s s"]
    box: tuple[float, float, float]  # left, top, side in pixels of the file
    side: str  # of the hand in the file; a left one was mirrored


def read_image(path: str | os.PathLike[str]) -> Float[Tensor, "3 h w"]:
    """An image file as sRGB in [0, 1]. Errors name the file and the mend."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no image at {path}")
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{path}: {image.width}×{image.height} pixels; scale it below {MAX_PIXELS:,} first")
            # A phone stores the sensor's picture and, beside it, which way was up.
            array = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path}: too many pixels; scale it below {MAX_PIXELS:,} first") from error
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path}: not a readable image ({error}); save it as PNG or JPEG") from error
    return torch.from_numpy(array).movedim(-1, 0).float() / 255


def crop_photo(
    image: Float[Tensor, "3 h w"], box: tuple[float, float, float] | None = None, side: str = "right"
) -> Photo:
    """The square `box` (left, top, side) of an image, or its largest central square; outside the image it is grey."""
    if side not in ("right", "left"):
        raise ValueError(f"side must be right or left, not '{side}'")
    _, height, width = image.shape
    if box is None:
        length = min(height, width)
        box = ((width - length) / 2, (height - length) / 2, length)
    left, top, length = (round(v) for v in box)
    if length < 8:
        raise ValueError(f"a box of {length} pixels is too small to show a hand: give LEFT TOP SIDE in pixels")
    padding = (max(0, -left), max(0, left + length - width), max(0, -top), max(0, top + length - height))
    canvas = functional.pad(image, padding, value=0.5)
    crop = canvas[:, top + padding[2] :, left + padding[0] :][:, :length, :length]
    if side == "left":
        crop = crop.flip(-1)
    return Photo(crop.contiguous(), (float(left), float(top), float(length)), side)


def predict(model: DHPE, photo: Photo, iterations: int = 50) -> DHPEOutput:
    """One hand from one crop; `iterations` of test-time refinement, 0 for none. Leading dimension 1."""
    images = photo.image[None]
    with torch.no_grad():
        output = model(images)
    return refine(model, images, output, iterations) if iterations else output


def write_prediction(photo: Photo, output: DHPEOutput, hand: HandModel, stem: Path) -> list[Path]:
    """Writes `stem`.obj (mesh), .json (joints), .png (overlay) and .html (the mesh to turn); returns the paths.

    The mesh and the 3D joints are metres relative to the middle MCP, x right, y up, z towards the viewer; a left hand
    is mirrored back. 2D joints are pixels of the upright picture.
    """
    try:
        import plotly  # noqa: F401
        import trimesh
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{error.name} writes the mesh and its page: pip install 'handlib[photo]'") from error
    from ..plots import ACCESS, mesh_figure, overlay, upright

    left = photo.side == "left"
    mirror = torch.tensor([-1.0 if left else 1.0, 1.0, 1.0])
    vertices, joints = upright(output.vertices[0]) * mirror, upright(output.joints_3d[0]) * mirror
    faces = hand.faces.flip(1) if left else hand.faces  # a mirror turns triangles inside out
    size = photo.image.shape[-1]
    joints_2d = output.joints_2d[0].clone()

    picture = overlay(photo.image, crop_to_px(output.mesh_crop.vertices[0], size), hand.faces, joints_2d)
    if left:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        joints_2d[:, 0] = size - joints_2d[:, 0]
    joints_2d = joints_2d + torch.tensor(photo.box[:2])  # a crop is cut, not scaled

    paths = [stem.with_name(stem.name + suffix) for suffix in (".obj", ".json", "_overlay.png", ".html")]
    mesh = trimesh.Trimesh(vertices.numpy(), faces.numpy(), process=False)
    described = {
        "side": photo.side,
        "crop_left_top_side_px": list(photo.box),
        "joint_names": list(C21.joints),
        "joints_m": [[round(v, 6) for v in row] for row in joints.tolist()],
        "joints_px": [[round(v, 3) for v in row] for row in joints_2d.tolist()],
        "frame": "metres relative to the middle MCP; x right, y up, z towards the viewer",
        "h": [round(v, 6) for v in output.h[0].tolist()],
        "h_is_of": "the right hand seen in the mirrored crop" if left else "the right hand in the crop",
        "hand": hand.name,
        "fingertips": hand.fingertips.name,
    }
    page = mesh_figure(vertices, faces, hand.vertex_colors, title=f"{stem.name}: {photo.side} hand", height=640)
    contents = (
        mesh.export(file_type="obj", header="metres; x right, y up, z towards the viewer"),
        json.dumps(described, indent=1) + "\n",
        picture,
        page.to_html(include_plotlyjs=True, full_html=True, post_script=ACCESS),
    )
    for path, content in zip(paths, contents, strict=True):
        with atomic_path(path) as temporary:
            if isinstance(content, Image.Image):
                content.save(temporary, format="PNG")
            else:
                temporary.write_text(content, encoding="utf-8")
    return paths
