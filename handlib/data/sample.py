"""The one form in which every data set hands out a hand."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class HandSample:
    """A square crop around one right hand (a left one has been mirrored), with what is known about it.

    Joints are in C21 order. `joints_px` has pixel centres at +0.5; `joints_cam` and `vertices_cam` are metres in the
    camera frame; K is that of the crop, so `project(joints_cam, K)` gives `joints_px`.
    """

    image: Float[Tensor, "3 h w"]  # sRGB in [0, 1]
    mask: Float[Tensor, "h w"]  # 1 where the hand is seen; the forearm is not hand
    joints_px: Float[Tensor, "21 2"]
    joints_cam: Float[Tensor, "21 3"]
    visible: Bool[Tensor, "21"]
    K: Float[Tensor, "3 3"]
    side: str  # of the hand in the original picture
    name: str
    vertices_cam: Float[Tensor, "778 3"] | None = None


def collate(samples: list[HandSample]) -> dict[str, Tensor]:
    """A batch: every tensor field stacked, under its name. Fields that a sample lacks are left out."""
    fields = ("image", "mask", "joints_px", "joints_cam", "visible", "K", "vertices_cam")
    return {
        field: torch.stack([getattr(sample, field) for sample in samples])
        for field in fields
        if all(getattr(sample, field) is not None for sample in samples)
    }
