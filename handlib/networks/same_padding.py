"""Convolutions with TensorFlow's SAME padding, with which the published hand networks were trained."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class SameConv2d(nn.Conv2d):
    """A convolution whose output has ⌈input / stride⌉ rows; odd padding has its larger half below and to the right.

    Torch pads both sides equally, which shifts the image by half a pixel at every stride of 2.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, bias: bool = True):
        total = kernel - stride
        super().__init__(inputs, outputs, kernel, stride, total // 2 if stride == 1 else 0, groups=groups, bias=bias)
        self.uneven = (total // 2, total - total // 2) * 2 if stride > 1 else None

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h2 w2"]:
        return super().forward(x if self.uneven is None else functional.pad(x, self.uneven))


def depthwise(channels: int, kernel: int, stride: int = 1, bias: bool = True) -> SameConv2d:
    """Makes a convolution that filters each channel separately."""
    return SameConv2d(channels, channels, kernel, stride, groups=channels, bias=bias)
