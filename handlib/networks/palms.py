"""The palm detector of MediaPipe Hands (Google, Apache-2.0) in torch: where in a picture palms are.

A palm is easier to find than a hand: it does not bend. Images are sRGB in [0, 1], 192×192. Each of 2,016 anchors says
how likely a palm is there, its box, and seven points of it, of which two give the turn of the hand (turned_crop.py).
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from .same_padding import SameConv2d, depthwise
from .turned_crop import TurnedCrop, towards, up

SCALE, SHIFT = 2.6, 0.5  # a hand's crop: times the palm's larger side, moved up by this part of its height
SAME_PALM = 0.3  # intersection over union from which on two boxes are of one palm


class Palm(NamedTuple):
    """One palm, in crop coordinates of the view that it was seen in."""

    score: float
    box: Float[Tensor, "2 2"]  # low and high corner
    wrist: Float[Tensor, "2"]
    middle: Float[Tensor, "2"]  # the base of the middle finger


def crop_around(palm: Palm) -> TurnedCrop:
    """The square of the hand that a palm belongs to, in the coordinates that the palm is in."""
    center, (width, height) = palm.box.mean(0)[None], (palm.box[1] - palm.box[0]).unbind()
    angle = towards(palm.wrist[None], palm.middle[None])
    return TurnedCrop(center + SHIFT * height * up(angle), SCALE * torch.maximum(width, height)[None], angle)


class BlazeBlock(nn.Module):
    """PReLU(x + 1×1(5×5 depthwise(x))); with a stride x is pooled, and its new channels are zero (BlazeFace)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__()
        self.filter = depthwise(inputs, 5, stride, bias=False)
        self.mix, self.activation = SameConv2d(inputs, outputs), nn.PReLU(outputs)
        self.stride, self.new_channels = stride, outputs - inputs

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h2 w2"]:
        y = self.mix(self.filter(x))
        if self.stride == 2:
            x = functional.max_pool2d(x, 2)
        if self.new_channels:
            x = functional.pad(x, (0, 0, 0, 0, 0, self.new_channels))
        return self.activation(x + y)


class Upsample(nn.Module):
    """A coarse level at twice its side, added to the finer one, and two blocks."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.mix, self.activation = SameConv2d(inputs, outputs), nn.PReLU(outputs)
        self.blocks = nn.Sequential(BlazeBlock(outputs, outputs), BlazeBlock(outputs, outputs))

    def forward(self, coarse: Float[Tensor, "b i h w"], fine: Float[Tensor, "b o h2 w2"]) -> Float[Tensor, "b o h2 w2"]:
        x = functional.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
        return self.blocks(fine + self.activation(self.mix(x)))


class PalmNetwork(nn.Module):
    """192×192 pictures to scores and boxes of the anchors; `palms` reads them."""

    SIZE = 192
    LEVELS = ((32, 4), (64, 4), (128, 4), (256, 4), (256, 4))  # channels; blocks behind the one that halves the side
    ANCHORS = ((24, 2), (12, 6))  # cells a side; anchors a cell

    def __init__(self):
        super().__init__()
        self.stem, self.activation = SameConv2d(3, 32, 5, 2), nn.PReLU(32)
        levels, inputs = [], 32
        for i, (channels, blocks) in enumerate(self.LEVELS):
            entry = [BlazeBlock(inputs, channels, 2)] if i else []
            levels.append(nn.Sequential(*entry, *(BlazeBlock(channels, channels) for _ in range(blocks))))
            inputs = channels
        self.levels = nn.ModuleList(levels)
        (_, fine), (_, coarse) = self.ANCHORS
        self.up16, self.score16, self.box16 = Upsample(256, 256), SameConv2d(256, coarse), SameConv2d(256, coarse * 18)
        self.up8, self.score8, self.box8 = Upsample(256, 128), SameConv2d(128, fine), SameConv2d(128, fine * 18)
        self.register_buffer("anchors", _anchors(self.ANCHORS), persistent=False)

    def forward(self, images: Float[Tensor, "b 3 192 192"]) -> tuple[Float[Tensor, "b a"], Float[Tensor, "b a 9 2"]]:
        """Scores 0 … 1, and of each box two corners and seven points in crop coordinates."""
        x, levels = self.activation(self.stem(images)), []
        for level in self.levels:
            x = level(x)
            levels.append(x)
        level16 = self.up16(levels[4], levels[3])
        level8 = self.up8(level16, levels[2])
        heads = ((self.score8, self.box8, level8), (self.score16, self.box16, level16))
        scores = torch.cat([score(x).movedim(1, -1).flatten(1) for score, _, x in heads], 1)
        raw = torch.cat([box(x).movedim(1, -1).reshape(len(x), -1, 9, 2) for _, box, x in heads], 1)
        # Rows: the box's middle and size, then points, all but the size relative to the anchor, in pixels.
        middle, half = raw[:, :, 0], raw[:, :, 1] / 2
        offsets = torch.cat([torch.stack([middle - half, middle + half], 2), raw[:, :, 2:]], 2)
        return scores.sigmoid(), offsets * (2 / self.SIZE) + self.anchors[:, None]

    def palms(self, images: Float[Tensor, "b 3 192 192"], threshold: float) -> list[list[Palm]]:
        """The palms in each picture, most certain first. Boxes of one palm are averaged by their scores."""
        return [
            _merged(score[score >= threshold], points[score >= threshold])
            for score, points in zip(*self(images), strict=True)
        ]


def _anchors(table: tuple[tuple[int, int], ...]) -> Float[Tensor, "a 2"]:
    """Middles of the anchors in crop coordinates, cell by cell and row by row."""
    grids = []
    for side, count in table:
        at = (torch.arange(side) + 0.5) / side * 2 - 1
        y, x = torch.meshgrid(at, at, indexing="ij")
        grids.append(torch.stack([x, y], -1).reshape(-1, 1, 2).expand(-1, count, 2).reshape(-1, 2))
    return torch.cat(grids)


def _merged(scores: Float[Tensor, " n"], points: Float[Tensor, "n 9 2"]) -> list[Palm]:
    palms, rest = [], scores.argsort(descending=True)
    while len(rest):
        best = rest[0]
        same = _overlap(points[best, :2], points[rest, :2]) > SAME_PALM
        same[0] = True  # even a box without area overlaps with itself
        group = rest[same]
        weight = scores[group] / scores[group].sum()
        mean = (points[group] * weight[:, None, None]).sum(0)
        palms.append(Palm(float(scores[best]), mean[:2], mean[2], mean[4]))
        rest = rest[~same]
    return palms


def _overlap(box: Float[Tensor, "2 2"], boxes: Float[Tensor, "n 2 2"]) -> Float[Tensor, " n"]:
    """Intersection over union."""
    common = (torch.minimum(box[1], boxes[:, 1]) - torch.maximum(box[0], boxes[:, 0])).clamp(min=0).prod(-1)
    return common / ((box[1] - box[0]).prod() + (boxes[:, 1] - boxes[:, 0]).prod(-1) - common).clamp(min=1e-12)
