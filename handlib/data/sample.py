"""`HandSample`, the form in which every data set returns a hand, and its batches."""

import os
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from ..hand.joints import MANO16

# Codes of a part mask: background, other things in front (people, objects, another hand), and the bones of the hand,
# each named after the joint at its base; "wrist" is the palm.
PARTS = ("background", "other", *MANO16.joints)
OTHER = PARTS.index("other")  # greater codes are hand
WORKERS_A_CORE = 4  # more of them only take memory


@dataclass(frozen=True)
class HandSample:
    """A square crop of one right hand (left hands are mirrored) with its labels.

    Joints are in C21 order. `joints_px` has pixel centers at +0.5; `joints_cam` and `vertices_cam` are in meters in the
    camera frame. K is that of the crop, so `project(joints_cam, K)` gives `joints_px`. A joint without annotation is
    NaN and not visible. `crop.to_original_camera` and `crop.to_original_picture` convert back to the original picture.
    """

    image: Float[Tensor, "3 h w"]  # sRGB in [0, 1]
    mask: Float[Tensor, "h w"] | None  # 1 where the hand is visible, without the forearm; None if there is no mask
    joints_px: Float[Tensor, "21 2"]
    joints_cam: Float[Tensor, "21 3"]
    visible: Bool[Tensor, "21"]
    K: Float[Tensor, "3 3"]
    side: str  # of the hand in the original picture
    name: str
    vertices_cam: Float[Tensor, "778 3"] | None = None
    parts: Integer[Tensor, "h w"] | None = None  # codes of `PARTS`
    depth: Float[Tensor, "h w"] | None = None  # meters along z; 0 where unknown
    box: Float[Tensor, "3"] | None = None  # left, top, side of the crop in the picture, mirrored for a left hand
    tone: Float[Tensor, ""] | None = None  # of the skin, 0 … 9 on the Monk scale
    picture: tuple[int, int] | None = None  # width and height of the original picture


def collate(samples: list[HandSample]) -> dict[str, Tensor]:
    """Stacks the tensor fields of samples to a batch, by name.

    Fields that some samples lack are left out, except the mask: if only some samples have one, the others get NaN.
    """
    values = {field.name: [getattr(sample, field.name) for sample in samples] for field in fields(HandSample)}
    if any(mask is not None for mask in values["mask"]):
        unknown = torch.full_like(samples[0].image[0], torch.nan)
        values["mask"] = [unknown if mask is None else mask for mask in values["mask"]]
    return {name: torch.stack(column) for name, column in values.items() if all(isinstance(v, Tensor) for v in column)}


def spread(length: int, count: int) -> list[int]:
    """Returns up to `count` indices below `length`, spread evenly from the first to the last."""
    count = min(count, length)
    return [round(i * (length - 1) / max(count - 1, 1)) for i in range(count)]


def at_most_useful(workers: int) -> int:
    """Returns `workers`, or as many as this machine has a use for. What they make does not depend on their number."""
    return min(workers, WORKERS_A_CORE * (os.cpu_count() or 1))
