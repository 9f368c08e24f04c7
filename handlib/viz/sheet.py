"""Contact sheets of samples: the image, the skeleton on it, the parts in colors, the depth in gray.

A sheet leaves out those that some of its samples lack.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Integer
from PIL import Image, ImageColor, ImageDraw
from torch import Tensor

from ..data.sample import OTHER, PARTS, HandSample
from ..hand.joints import BONES, FINGERS
from .stills import FINGER_COLORS, contact_sheet, draw_skeleton, to_image

PALM = (0.87, 0.66, 0.56)
REST = (0.35, 0.35, 0.35)  # other things in the foreground
BRIGHTNESS = {"1": 0.6, "2": 0.8, "3": 1.0}  # of the three bones of a finger, base to tip


def _palette() -> Float[Tensor, "parts 3"]:
    rgb = [torch.tensor(ImageColor.getrgb(color)) / 255 for color in FINGER_COLORS]
    colors = dict(zip(FINGERS, rgb, strict=True))
    rows = [torch.zeros(3), torch.tensor(REST), torch.tensor(PALM)]
    rows += [colors[name[:-1]] * BRIGHTNESS[name[-1]] for name in PARTS[OTHER + 2 :]]
    return torch.stack(rows)


PALETTE = _palette()  # a color for each of `sample.PARTS`


def parts_image(parts: Integer[Tensor, "h w"]) -> Image.Image:
    """Shows codes of `PARTS` in color: fingers like their skeleton, brighter towards the tip."""
    return to_image(PALETTE[parts.long()].movedim(-1, 0))


def depth_image(depth: Float[Tensor, "h w"], mask: Float[Tensor, "h w"] | None = None) -> Image.Image:
    """Shows near as white, far as gray and unknown depth (0) as black. mask: the area whose depths span the grays."""
    valid = depth > 0
    range_of = depth[valid & (mask > 0)] if mask is not None else depth[valid]
    range_of = range_of if len(range_of) else depth[valid]
    if not len(range_of):
        return to_image(torch.zeros_like(depth))
    near, far = float(range_of.min()), float(range_of.max())
    part = ((far - depth) / max(far - near, 1e-6)).clamp(0, 1)
    return to_image(torch.where(valid, 0.2 + 0.8 * part, 0.0))


def skeleton_image(sample: HandSample) -> Image.Image:
    """Draws the skeleton on the image: bones if all joints are annotated, else a dot for each annotated joint."""
    picture = to_image(sample.image)
    valid = sample.joints_px.isfinite().all(-1)
    if valid.all():
        return draw_skeleton(picture, sample.joints_px)
    pen, radius = ImageDraw.Draw(picture), max(2, math.ceil(max(picture.size) / 60))
    for n, (_, child) in enumerate(BONES):
        if valid[child]:
            x, y = sample.joints_px[child].tolist()
            pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=FINGER_COLORS[n // 4])
    return picture


def sample_images(sample: HandSample) -> dict[str, Image.Image]:
    """Returns the images of a sample by name: image, skeleton, and parts (or mask) and depth if it has them."""
    pictures = {"image": to_image(sample.image), "skeleton": skeleton_image(sample)}
    if sample.parts is not None:
        pictures["parts"] = parts_image(sample.parts)
    elif sample.mask is not None:
        pictures["mask"] = to_image(sample.mask)
    if sample.depth is not None:
        pictures["depth"] = depth_image(sample.depth, sample.mask)
    return pictures


def sample_sheet(samples: Sequence[HandSample], across: int = 2, size: int = 160) -> Image.Image:
    """Makes a contact sheet: the images of each sample side by side, `across` samples per row."""
    if not samples:
        raise ValueError("a sheet needs at least one sample")
    rows = [sample_images(sample) for sample in samples]
    names = [name for name in rows[0] if all(name in row for row in rows)]
    pictures = [row[name] for row in rows for name in names]
    return contact_sheet(pictures, across * len(names), size, across * names)
