"""The palm detector of MediaPipe Hands (Google, Apache-2.0) in torch: finds the palms in an image.

A palm is easier to find than a hand, because it does not bend. Images are sRGB in [0, 1], 192×192, for which the
network was trained; it is convolutional and takes larger ones too, in which it finds palms of the same size in pixels.
For each anchor, 2,016 in an image of 192×192, it gives the probability of a palm, its box, and seven points of it, two
of which give the rotation of the hand (turned_crop.py).
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from .same_padding import SameConv2d, depthwise
from .turned_crop import TurnedCrop, towards, up

SCALE, SHIFT = 2.6, 0.5  # the crop's side over the palm's larger side; its shift upwards over the palm's height
SAME_PALM = 0.3  # intersection over union above which two boxes are of the same palm


class Palm(NamedTuple):
    """One palm, in crop coordinates of the view in which it was found."""

    score: float
    box: Float[Tensor, "2 2"]  # low and high corner
    wrist: Float[Tensor, "2"]
    middle: Float[Tensor, "2"]  # the base of the middle finger


def crop_around(palm: Palm) -> TurnedCrop:
    """Returns the crop of the hand that a palm belongs to, in the coordinates of the palm."""
    center, (width, height) = palm.box.mean(0)[None], (palm.box[1] - palm.box[0]).unbind()
    angle = towards(palm.wrist[None], palm.middle[None])
    return TurnedCrop(center + SHIFT * height * up(angle), SCALE * torch.maximum(width, height)[None], angle)


class BlazeBlock(nn.Module):
    """Computes PReLU(x + 1×1(5×5 depthwise(x))); at stride 2, x is pooled; new channels of x are zero (BlazeFace)."""

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
    """Adds a coarse level, upsampled to twice its side, to the finer one, and applies two blocks."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.mix, self.activation = SameConv2d(inputs, outputs), nn.PReLU(outputs)
        self.blocks = nn.Sequential(BlazeBlock(outputs, outputs), BlazeBlock(outputs, outputs))

    def forward(self, coarse: Float[Tensor, "b i h w"], fine: Float[Tensor, "b o h2 w2"]) -> Float[Tensor, "b o h2 w2"]:
        x = functional.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
        return self.blocks(fine + self.activation(self.mix(x)))


class PalmNetwork(nn.Module):
    """Maps 192×192 images to scores and boxes of the anchors; `palms` turns them into palms."""

    SIZE = 192
    LEVELS = ((32, 4), (64, 4), (128, 4), (256, 4), (256, 4))  # channels; blocks after the one that halves the side
    ANCHORS = ((24, 2), (12, 6))  # cells per side; anchors per cell

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

    def forward(self, images: Float[Tensor, "b 3 s s"]) -> tuple[Float[Tensor, "b a"], Float[Tensor, "b a 9 2"]]:
        """Returns scores 0 … 1, and for each box two corners and seven points in crop coordinates. s: times of 192."""
        x, levels = self.activation(self.stem(images)), []
        for level in self.levels:
            x = level(x)
            levels.append(x)
        level16 = self.up16(levels[4], levels[3])
        level8 = self.up8(level16, levels[2])
        heads = ((self.score8, self.box8, level8), (self.score16, self.box16, level16))
        scores = torch.cat([score(x).movedim(1, -1).flatten(1) for score, _, x in heads], 1)
        raw = torch.cat([box(x).movedim(1, -1).reshape(len(x), -1, 9, 2) for _, box, x in heads], 1)
        # Rows: center and size of the box, then points. All are in pixels and, except the size, relative to the anchor.
        middle, half = raw[:, :, 0], raw[:, :, 1] / 2
        offsets = torch.cat([torch.stack([middle - half, middle + half], 2), raw[:, :, 2:]], 2)
        size = images.shape[-1]
        anchors = _anchors([(side * size // self.SIZE, count) for side, count in self.ANCHORS]).to(offsets)
        return scores.sigmoid(), offsets * (2 / size) + anchors[:, None]

    def palms(self, images: Float[Tensor, "b 3 s s"], threshold: float) -> list[list[Palm]]:
        """Finds the palms in each image, most certain first. Boxes of the same palm are averaged by their scores."""
        return [
            _merged(score[score >= threshold], points[score >= threshold])
            for score, points in zip(*self(images), strict=True)
        ]


def _anchors(table: Iterable[tuple[int, int]]) -> Float[Tensor, "a 2"]:
    """Returns the centers of the anchors in crop coordinates, cell by cell and row by row."""
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
        same[0] = True  # also for a box without area
        group = rest[same]
        weight = scores[group] / scores[group].sum()
        mean = (points[group] * weight[:, None, None]).sum(0)
        palms.append(Palm(float(scores[best]), mean[:2], mean[2], mean[4]))
        rest = rest[~same]
    return palms


def _overlap(box: Float[Tensor, "2 2"], boxes: Float[Tensor, "n 2 2"]) -> Float[Tensor, " n"]:
    """Computes the intersection over union of one box with others."""
    common = (torch.minimum(box[1], boxes[:, 1]) - torch.maximum(box[0], boxes[:, 0])).clamp(min=0).prod(-1)
    return common / ((box[1] - box[0]).prod() + (boxes[:, 1] - boxes[:, 0]).prod(-1) - common).clamp(min=1e-12)
