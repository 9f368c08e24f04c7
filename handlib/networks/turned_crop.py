"""The square through which the landmark network looks at a hand: turned so that the hand points up.

A turned crop has crop coordinates like any other, −1 … 1 with y down (camera.py); its angle is clockwise in the image,
so the crop's up is the image's up turned by it. Pixels are the image's, with the center of the first one at (0.5, 0.5).
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from ..hand.joints import C21, FINGERS

# A hand's crop: times the larger side of the box of its points without the two last of each finger, moved up by this
# part of the box's height.
HAND_SCALE, HAND_SHIFT = 2.0, 0.1
_INNER = (0, *(C21.index(f"{finger}{n}") for finger in FINGERS for n in ((1, 2, 3) if finger == "thumb" else (1, 2))))
_WRIST, _PIP = 0, [C21.index(f"{finger}2") for finger in ("index", "middle", "ring")]


class HandEvidence(NamedTuple):
    """What the landmark network (landmarks.py) says about a batch of turned crops."""

    points: Float[Tensor, "b 21 3"]  # crop coordinates (−1 … 1); z in the same unit, relative to the wrist
    presence: Float[Tensor, " b"]  # 0 … 1: that there is a hand
    right: Float[Tensor, " b"]  # 0 … 1: that it is a right hand
    points_3d: Float[Tensor, "b 21 3"]  # meters along the crop's axes, about the middle of the hand
    features: Float[Tensor, "b 1152"]


class TurnedCrop(NamedTuple):
    """n turned squares of one image, or one square of each of n images."""

    center: Float[Tensor, "n 2"]  # pixels
    side: Float[Tensor, " n"]  # pixels
    angle: Float[Tensor, " n"]  # radians

    @classmethod
    def upright(cls, box: Float[Tensor, "n 3"]) -> "TurnedCrop":
        """Squares (left, top, side) as they are."""
        return cls(box[:, :2] + box[:, 2:] / 2, box[:, 2], torch.zeros_like(box[:, 2]))

    @classmethod
    def around_points(cls, points: Float[Tensor, "n 21 2"]) -> "TurnedCrop":
        """The square of a hand whose 21 points are known: where to look once more, or in the next frame."""
        index, middle, ring = points[:, _PIP].unbind(1)
        angle = towards(points[:, _WRIST], (index + ring) / 4 + middle / 2)
        inner = points[:, list(_INNER)]
        first = (inner.amin(1) + inner.amax(1)) / 2
        turned = (inner - first[:, None]) @ _rotation(angle)  # row vectors: from image axes to the crop's
        low, high = turned.amin(1), turned.amax(1)
        center = first + ((low + high) / 2)[:, None].matmul(_rotation(angle).mT)[:, 0]
        shift = HAND_SHIFT * (high - low)[:, 1:] * up(angle)
        return cls(center + shift, HAND_SCALE * (high - low).amax(1), angle)

    def take(self, index) -> "TurnedCrop":
        return TurnedCrop(*(part[index] for part in self))

    def turned(self, angle: float, zoom: float = 1.0) -> "TurnedCrop":
        """The same squares turned further, or larger."""
        return TurnedCrop(self.center, self.side * zoom, self.angle + angle)

    def inner(self, other: "TurnedCrop") -> "TurnedCrop":
        """Squares given in crop coordinates of these, in the image."""
        center = self.to_px(other.center[:, None])[:, 0]
        return TurnedCrop(center, other.side * self.side / 2, self.angle + other.angle)

    def rotation(self) -> Float[Tensor, "n 2 2"]:
        """From the crop's axes to the image's."""
        return _rotation(self.angle)

    def rotation_3d(self) -> Float[Tensor, "n 3 3"]:
        """The same about the optical axis."""
        turn = torch.eye(3, dtype=self.side.dtype, device=self.side.device).repeat(self.side.shape[0], 1, 1)
        turn[:, :2, :2] = self.rotation()
        return turn

    def to_px(self, points: Float[Tensor, "n k 2"]) -> Float[Tensor, "n k 2"]:
        """Crop coordinates to pixels of the image."""
        return points @ self.rotation().mT * (self.side[:, None, None] / 2) + self.center[:, None]

    def from_px(self, points: Float[Tensor, "n k 2"]) -> Float[Tensor, "n k 2"]:
        """Inverse of `to_px`."""
        return (points - self.center[:, None]) @ self.rotation() / (self.side[:, None, None] / 2)

    def sample(self, images: Float[Tensor, "#n 3 h w"], size: int, border: str = "border") -> Float[Tensor, "n 3 s s"]:
        """The squares as pictures of `size` pixels, bilinear; of one image, or each of its own.

        border: what is beyond the image: "border" repeats its rim, "zeros" is black.

        A crop far larger than `size` should be taken from a smaller image (photo/pyramid.py): nothing is averaged here.
        """
        height, width = images.shape[-2:]
        at = (torch.arange(size).to(self.side) + 0.5) * (2 / size) - 1
        y, x = torch.meshgrid(at, at, indexing="ij")
        px = self.to_px(torch.stack([x, y], -1).view(1, -1, 2).expand(self.side.shape[0], -1, 2))
        grid = px.view(-1, size, size, 2) * (2 / px.new_tensor([width, height])) - 1
        images = images.expand(grid.shape[0], -1, -1, -1)
        return functional.grid_sample(images, grid.to(images), padding_mode=border, align_corners=False)


def _rotation(angle: Float[Tensor, " n"]) -> Float[Tensor, "n 2 2"]:
    c, s = angle.cos(), angle.sin()
    return torch.stack([c, -s, s, c], -1).unflatten(-1, (2, 2))


def up(angle: Float[Tensor, " n"]) -> Float[Tensor, "n 2"]:
    """The direction in the image that is up in the crop."""
    return torch.stack([angle.sin(), -angle.cos()], -1)


def towards(low: Float[Tensor, "n 2"], high: Float[Tensor, "n 2"]) -> Float[Tensor, " n"]:
    """The angle of a crop in which `high` is above `low`."""
    across, up = (high - low).unbind(-1)
    return math.pi / 2 - torch.atan2(-up, across)
