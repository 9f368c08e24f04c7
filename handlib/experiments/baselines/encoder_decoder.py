"""A plain encoder–decoder for segmentation: four strided convolutions down, four interpolations up, no shortcuts.

There is no original method: this is the simplest network for the task, with as many parameters as the evidence networks
of DHPE. Compared with lite, it gets images at half their side.
"""

import os

from torch import nn

from ...evidence import conv
from ...training.train import TrainConfig
from .interface import DEFAULTS, FitOptions
from .segmentation import Segmenter, equal_width, input_size
from .training import train_network

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


def fit(config: TrainConfig, out: str | os.PathLike[str], options: FitOptions = DEFAULTS) -> EncoderDecoder:
    """Trains it, with as many parameters as DHPE's evidence networks, on the images and epochs of this config."""
    size = input_size(config.model)
    width = equal_width(lambda w: EncoderDecoder(size, w), config.model)
    return train_network(lambda: EncoderDecoder(size, width), config, out, options)
