"""HandSegNet, the segmentation network of Zimmermann and Brox (ICCV 2017).

3×3 convolutions of 64, 128, 256 and 512 channels in groups of 2, 2, 4 and 4, with a maximum pool after each of the
first three, then 512, 128, 512 (1×1) and the scores of the two classes at an eighth of the side, interpolated to all
of it.

What differs from the original: all widths are divided by one number, so that it has as many parameters as the evidence
networks of DHPE; batch normalization, because it starts from random weights, not from a body-pose network's; it sees
crops, as everything here does, not whole pictures, and beside lite at half of their side. Two scores under a softmax
matter by their difference alone, which is the one that this network gives.
"""

import os

from torch import nn

from ...evidence import conv
from ...training.train import TrainConfig
from .interface import DEFAULTS, FitOptions
from .segmentation import Segmenter, equal_width, input_size
from .training import train_network

GROUPS = ((1, 2), (2, 2), (4, 4), (8, 4))  # channels over width, layers


class HandSegNet(Segmenter):
    """width: channels of the first layer; 64 in the original."""

    def __init__(self, size: int, width: int = 64):
        layers, inputs = [], 3
        for factor, count in GROUPS:
            if inputs > 3:
                layers.append(nn.MaxPool2d(2))
            for _ in range(count):
                layers.append(conv(inputs, factor * width))
                inputs = factor * width
        layers += [conv(inputs, inputs), conv(inputs, 2 * width), conv(2 * width, 8 * width, kernel=1)]
        super().__init__(size, nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 1)))


def fit(config: TrainConfig, out: str | os.PathLike[str], options: FitOptions = DEFAULTS) -> HandSegNet:
    """Trains it, at the size of DHPE's evidence networks, on the pictures and epochs of a DHPE of this config."""
    size = input_size(config.model)
    width = equal_width(lambda w: HandSegNet(size, w), config.model)
    return train_network(lambda: HandSegNet(size, width), config, out, options)
