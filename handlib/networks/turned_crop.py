"""Turned crops: squares that are rotated so that the hand in them points up, as the landmark network needs.

A turned crop has crop coordinates like any other, −1 … 1 with y down (camera.py). Its angle is clockwise in the image:
the crop's up is the image's up rotated by it. Pixels are those of the image, with the first center at (0.5, 0.5).
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from ..hand.joints import C21, FINGERS

# The crop of a hand, from the box of its points without the last two of each finger: its side over the box's larger
# side, and its shift upwards over the box's height.
HAND_SCALE, HAND_SHIFT = 2.0, 0.1
_INNER = (0, *(C21.index(f"{finger}{n}") for finger in FINGERS for n in ((1, 2, 3) if finger == "thumb" else (1, 2))))
_WRIST, _PIP = 0, [C21.index(f"{finger}2") for finger in ("index", "middle", "ring")]


class HandEvidence(NamedTuple):
    """The outputs of the landmark network (landmarks.py) for a batch of turned crops."""

    points: Float[Tensor, "b 21 3"]  # crop coordinates (−1 … 1); z in the same unit, relative to the wrist
    presence: Float[Tensor, " b"]  # probability that there is a hand
    right: Float[Tensor, " b"]  # probability that it is a right hand
    points_3d: Float[Tensor, "b 21 3"]  # meters along the crop's axes, relative to the center of the hand
    features: Float[Tensor, "b 1152"]


class TurnedCrop(NamedTuple):
    """n turned squares in one image, or one square in each of n images."""

    center: Float[Tensor, "n 2"]  # pixels
    side: Float[Tensor, " n"]  # pixels
    angle: Float[Tensor, " n"]  # radians

    @classmethod
    def upright(cls, box: Float[Tensor, "n 3"]) -> "TurnedCrop":
        """Makes crops from upright squares (left, top, side) in pixels."""
        return cls(box[:, :2] + box[:, 2:] / 2, box[:, 2], torch.zeros_like(box[:, 2]))

    @classmethod
    def around_points(cls, points: Float[Tensor, "n 21 2"]) -> "TurnedCrop":
        """Returns the crop of a hand from its 21 points in pixels, to look again or in the next frame of a video."""
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

    def turned(self, angle: float | list[float], zoom: float = 1.0) -> "TurnedCrop":
        """Returns the crops rotated by a further angle (radians) and enlarged by a factor; one crop by each angle."""
        turned = self.angle + self.angle.new_tensor(angle)
        shape = turned.shape  # its length would be a constant of a model in ONNX
        return TurnedCrop(self.center.expand(*shape, 2), (self.side * zoom).expand(shape), turned)

    def inner(self, other: "TurnedCrop") -> "TurnedCrop":
        """Converts crops given in crop coordinates of these to pixels of the image."""
        center = self.to_px(other.center[:, None])[:, 0]
        return TurnedCrop(center, other.side * self.side / 2, self.angle + other.angle)

    def rotation(self) -> Float[Tensor, "n 2 2"]:
        """Returns the rotation from the crop's axes to the image's."""
        return _rotation(self.angle)

    def rotation_3d(self) -> Float[Tensor, "n 3 3"]:
        """Returns the same rotation in 3D, about the optical axis."""
        turn = torch.eye(3, dtype=self.side.dtype, device=self.side.device).repeat(self.side.shape[0], 1, 1)
        turn[:, :2, :2] = self.rotation()
        return turn

    def to_px(self, points: Float[Tensor, "n k 2"]) -> Float[Tensor, "n k 2"]:
        """Converts crop coordinates to pixels of the image."""
        return points @ self.rotation().mT * (self.side[:, None, None] / 2) + self.center[:, None]

    def from_px(self, points: Float[Tensor, "n k 2"]) -> Float[Tensor, "n k 2"]:
        """Inverts `to_px`."""
        return (points - self.center[:, None]) @ self.rotation() / (self.side[:, None, None] / 2)

    def sample(self, images: Float[Tensor, "#n 3 h w"], size: int, border: str = "border") -> Float[Tensor, "n 3 s s"]:
        """Samples the crops bilinearly as images of `size` pixels, all from one image or each from its own.

        border: "border" repeats the rim of the image beyond it, "zeros" is black. Pixels are not averaged, so take a
        crop that is much larger than `size` from a smaller copy of the image (photo/pyramid.py).
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
    """Returns the direction in the image that is up in the crop."""
    return torch.stack([angle.sin(), -angle.cos()], -1)


def towards(low: Float[Tensor, "n 2"], high: Float[Tensor, "n 2"]) -> Float[Tensor, " n"]:
    """Returns the angle of a crop in which `high` is above `low`."""
    across, up = (high - low).unbind(-1)
    return math.pi / 2 - torch.atan2(-up, across)
