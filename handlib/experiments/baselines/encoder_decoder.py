"""A plain encoder–decoder for segmentation: four strided convolutions down, four interpolations up, no shortcuts.

There is no original method: this is the simplest network for the task, with as many parameters as the evidence networks
of DHPE. Compared with lite, it gets images at half their side.
"""

from torch import nn

from ...evidence import conv
from .segmentation import Segmenter

FACTORS = (1, 2, 4, 8)  # channels over width at a half, a quarter, an eighth and a sixteenth of the side


class EncoderDecoder(Segmenter):
    """An encoder–decoder for images of `size` pixels. width: channels at half the side."""

    def __init__(self, size: int, width: int):
        layers, inputs = [], 3
        for factor in FACTORS:
            layers += [conv(inputs, factor * width, stride=2), conv(factor * width, factor * width)]
            inputs = factor * width
        for factor in reversed((1, *FACTORS[:-1])):
            layers += [nn.Upsample(scale_factor=2, mode="bilinear"), conv(inputs, factor * width)]
            inputs = factor * width
        super().__init__(size, nn.Sequential(*layers, nn.Conv2d(width, 1, 1)))
