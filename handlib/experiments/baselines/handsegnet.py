"""HandSegNet, the segmentation network of Zimmermann and Brox (ICCV 2017).

3×3 convolutions of 64, 128, 256 and 512 channels in groups of 2, 2, 4 and 4, with a maximum pool after each of the
first three, then 512, 128, 512 (1×1) and the scores of the two classes at an eighth of the side, interpolated to the
full side.

Differences from the original: all widths are divided by the same number, so that it has as many parameters as the
evidence networks of DHPE. It has batch normalization, because it starts from random weights and not from those of a
body-pose network. It gets crops, like all methods here, instead of whole images, and compared with lite at half their
side. It computes the difference of the two class scores, on which alone a softmax depends.
"""

from torch import nn

from ...evidence import conv
from .segmentation import Segmenter

GROUPS = ((1, 2), (2, 2), (4, 4), (8, 4))  # channels over width, layers


class HandSegNet(Segmenter):
    """HandSegNet for images of `size` pixels. width: channels of the first layer; 64 in the original."""

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
