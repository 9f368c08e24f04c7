"""The paper's J2D: the convolutional pose machine of Wei et al. (CVPR 2016) as adapted by Zimmermann & Brox.

An encoder reduces the image to an eighth of its side. The first stage computes a heat map for each joint from the
encoding. Two more stages get the maps of the stage before and the encoding; their receptive fields are as wide as the
hand, so they can correct one joint by the others. 256² pixels give 32² maps. Layers are named as in the published
weights (`PoseNet2D` of ColorHandPose3D, read by pretrained.py); maps are in C21 order.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ..hand.joints import C21

JOINTS = len(C21)
SLOPE = 0.01  # of the leaky rectifiers below zero
# Widths of the encoder's 3×3 layers, block by block; the side is halved after each of the first three blocks.
ENCODER = ((64, 64), (128, 128), (256, 256, 256, 256), (512, 512, 256, 256, 256, 256, 128))
ENCODING, HIDDEN = 128, 512
LATER_STAGES = (6, 7)  # their numbers in the layers' names; each has five layers of 7×7 and two of 1×1


def layers() -> dict[str, tuple[int, int, int]]:
    """Returns (inputs, outputs, kernel) of every layer by name, in the order of computation."""
    table, inputs = {}, 3
    for block, widths in enumerate(ENCODER, 1):
        for number, width in enumerate(widths, 1):
            table[f"conv{block}_{number}"] = (inputs, width, 3)
            inputs = width
    table["conv5_1"], table["conv5_2"] = (ENCODING, HIDDEN, 1), (HIDDEN, JOINTS, 1)
    for stage in LATER_STAGES:
        for number in range(1, 6):
            table[f"conv{stage}_{number}"] = (JOINTS + ENCODING if number == 1 else ENCODING, ENCODING, 7)
        table[f"conv{stage}_6"], table[f"conv{stage}_7"] = (ENCODING, ENCODING, 1), (ENCODING, JOINTS, 1)
    return table


HEADS = ("conv5_2", *(f"conv{stage}_7" for stage in LATER_STAGES))  # their outputs are the maps of each stage
READERS = tuple(f"conv{stage}_1" for stage in LATER_STAGES)  # their inputs are the previous maps, then the encoding


class PoseMachine(nn.Module):
    """J2D at the paper's size. Images are sRGB in [0, 1], their side a multiple of 8; they are centered inside."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleDict(
            {name: nn.Conv2d(i, o, kernel, padding=kernel // 2) for name, (i, o, kernel) in layers().items()}
        )
        for name, layer in self.layers.items():
            if name in HEADS:
                nn.init.normal_(layer.weight, std=1e-3)  # heat maps are almost zero almost everywhere
            else:
                nn.init.kaiming_normal_(layer.weight, SLOPE)
            nn.init.zeros_(layer.bias)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 21 s s"]:
        """Computes the maps of the last stage: J2D(x) of the paper."""
        return self.stages(images)[-1]

    def stages(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b 21 s s"]]:
        """Computes the maps of all three stages."""
        encoding = images - 0.5
        for block, widths in enumerate(ENCODER, 1):
            for number in range(1, len(widths) + 1):
                encoding = self._rectified(f"conv{block}_{number}", encoding)
            if block < len(ENCODER):
                encoding = functional.max_pool2d(encoding, 2)
        maps = [self.layers["conv5_2"](self._rectified("conv5_1", encoding))]
        for stage in LATER_STAGES:
            x = torch.cat([maps[-1], encoding], 1)
            for number in range(1, 7):
                x = self._rectified(f"conv{stage}_{number}", x)
            maps.append(self.layers[f"conv{stage}_7"](x))
        return maps

    def _rectified(self, name: str, x: Tensor) -> Tensor:
        return functional.leaky_relu(self.layers[name](x), SLOPE, inplace=True)
