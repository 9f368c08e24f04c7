"""The one form in which every data set hands out a hand."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from ..hand.joints import MANO16

# Codes of a part mask: nothing, what else is in front (people, things, another hand), and the bones of the hand, each
# named after the joint at its base; the wrist's is the palm.
PARTS = ("background", "other", *MANO16.joints)
OTHER = PARTS.index("other")  # what is greater is hand


@dataclass(frozen=True)
class HandSample:
    """A square crop around one right hand (a left one has been mirrored), with what is known about it.

    Joints are in C21 order. `joints_px` has pixel centers at +0.5; `joints_cam` and `vertices_cam` are meters in the
    camera frame; K is that of the crop, so `project(joints_cam, K)` gives `joints_px`. A joint that is not annotated
    is NaN, and not visible. `crop.to_original_camera` and `crop.to_original_picture` lead back from here.
    """

    image: Float[Tensor, "3 h w"]  # sRGB in [0, 1]
    mask: Float[Tensor, "h w"] | None  # 1 where the hand is seen; the forearm is not hand; None where none is given
    joints_px: Float[Tensor, "21 2"]
    joints_cam: Float[Tensor, "21 3"]
    visible: Bool[Tensor, "21"]
    K: Float[Tensor, "3 3"]
    side: str  # of the hand in the original picture
    name: str
    vertices_cam: Float[Tensor, "778 3"] | None = None
    parts: Integer[Tensor, "h w"] | None = None  # codes of `PARTS`
    depth: Float[Tensor, "h w"] | None = None  # meters along z; 0 where it is not known
    box: Float[Tensor, "3"] | None = None  # left, top, side of the crop in the picture, mirrored for a left hand
    tone: Float[Tensor, ""] | None = None  # of the skin, 0 … 9 along the Monk scale
    picture: tuple[int, int] | None = None  # width and height of the original picture


def collate(samples: list[HandSample]) -> dict[str, Tensor]:
    """A batch: every tensor field stacked, under its name. Fields that a sample lacks are left out, but for the mask:
    where some samples have one, that of the others is NaN, unknown."""
    fields = (
        "image",
        "mask",
        "joints_px",
        "joints_cam",
        "visible",
        "K",
        "vertices_cam",
        "parts",
        "depth",
        "box",
        "tone",
    )
    values = {field: [getattr(sample, field) for sample in samples] for field in fields}
    if any(mask is not None for mask in values["mask"]):
        unknown = torch.full_like(samples[0].image[0], torch.nan)
        values["mask"] = [unknown if mask is None else mask for mask in values["mask"]]
    return {field: torch.stack(found) for field, found in values.items() if all(value is not None for value in found)}
