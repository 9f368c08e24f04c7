"""The hands of a photograph drawn over it."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from ..viz.stills import draw_skeleton, overlay
from .estimate import HandEstimate

MARGIN = 0.1  # of a mesh's box, drawn beyond it
OPACITY = 0.7


def draw_hands(
    image: UInt8[Tensor, "3 h w"], hands: Sequence[HandEstimate], scale: float = 1.0, skeleton: bool = True
) -> Image.Image:
    """An overlay of all hands, the nearest one on top. scale: pixels of `image` over those of the photograph.

    Only each hand's own box is rendered, so a large photograph costs no more than a small one.
    """
    picture = Image.fromarray(image.movedim(0, -1).contiguous().numpy())
    for hand in sorted(hands, key=lambda hand: -float(hand.joints_cam[:, 2].mean())):
        px = hand.vertices_px * torch.tensor([scale, scale, 1.0])
        low, high = px[:, :2].amin(0), px[:, :2].amax(0)
        margin = MARGIN * (high - low).max()
        left, top = (low - margin).floor().clamp(min=0).int().tolist()
        right, bottom = (int(min(v, n)) for v, n in zip((high + margin).ceil().tolist(), picture.size, strict=True))
        if right - left < 2 or bottom - top < 2:  # out of the picture
            continue
        part = torch.from_numpy(np.array(picture.crop((left, top, right, bottom)))).movedim(-1, 0).float() / 255
        shift = px.new_tensor([left, top, 0])
        picture.paste(overlay(part, px - shift, hand.hand.faces, None, OPACITY), (left, top))
        if skeleton:
            picture = draw_skeleton(picture, hand.joints_px * scale)
    return picture

