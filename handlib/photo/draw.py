"""Meshes and skeletons over a photograph or a frame, each hand drawn in its own box, so that the rest costs nothing."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from ..viz.stills import overlay
from .estimate import HandEstimate

MARGIN = 0.1  # of a hand's box on each side: room for the pen


def draw_hands(
    image: UInt8[Tensor, "3 h w"], hands: Sequence[HandEstimate], scale: float = 1.0
) -> UInt8[Tensor, "3 h w"]:
    """Draws all hands over a copy of an image, the nearest on top. scale: of the image over the photograph's pixels."""
    image = image.clone()
    for hand in sorted(hands, key=lambda hand: -float(hand.joints_cam[:, 2].mean())):
        _draw(image, hand, scale)
    return image


def _draw(image: UInt8[Tensor, "3 h w"], hand: HandEstimate, scale: float) -> None:
    height, width = image.shape[1:]
    placed = hand.vertices_px * torch.tensor([scale, scale, 1.0])
    low, high = placed[:, :2].amin(0), placed[:, :2].amax(0)
    margin = MARGIN * (high - low).max()
    left, top = (max(0, int(value)) for value in (low - margin).tolist())
    right, bottom = (min(n, int(value) + 1) for n, value in zip((width, height), (high + margin).tolist(), strict=True))
    if left >= right or top >= bottom:
        return
    corner = torch.tensor([left, top, 0.0])
    # Depths in pixels as well, since shading needs a mesh in space.
    depth_px = scale * float(hand.K[0, 0] / hand.joints_cam[:, 2].mean())
    vertices = placed * torch.tensor([1.0, 1.0, depth_px]) - corner
    part = image[:, top:bottom, left:right]
    drawn = overlay(part.float() / 255, vertices, hand.faces, hand.joints_px * scale - corner[:2])
    part.copy_(torch.from_numpy(np.array(drawn)).movedim(-1, 0))
