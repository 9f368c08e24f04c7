"""2D evidence (Sec. 3.1): the feature extractor F and the 2D pose network J2D, at the size named lite; heat maps.

Images are sRGB in [0, 1], square; both networks center them themselves. Lite's heat maps have a quarter of the image's
side, and joints read off them are in crop coordinates. The paper's own F and J2D: networks/resnet.py and
networks/pose_machine.py.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from .camera import px_to_crop
from .support.arguments import at_least, checked

# Standard deviation of a true heat map's peak, in its pixels. Narrower ones are learned much more slowly; the published
# weights of the paper's J2D were trained with 2.2 of its pixels.
SIGMA = 2.5


class Block(nn.Module):
    """Two 3×3 convolutions around a shortcut, after an optional strided one that changes the width."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__()
        same = inputs == outputs and stride == 1
        self.entry = nn.Identity() if same else conv(inputs, outputs, stride)
        self.first, self.second = conv(outputs, outputs), conv(outputs, outputs, activation=False)

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h2 w2"]:
        x = self.entry(x)
        return functional.relu(x + self.second(self.first(x)))


def conv(inputs: int, outputs: int, stride: int = 1, kernel: int = 3, activation: bool = True) -> nn.Sequential:
    """Convolution, batch normalization and, usually, ReLU."""
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([nn.ReLU()] if activation else []))


def stem(outputs: int) -> nn.Sequential:
    """Image to a quarter of its side in one step: on a CPU, layers at higher resolutions cost more than they give."""
    return conv(3, outputs, stride=4, kernel=7)


@contextmanager
def keeping_statistics(module: nn.Module) -> Iterator[None]:
    """Inside, batch normalization does not add to its running statistics, which stay those of whole images."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d | nn.SyncBatchNorm)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


class FeatureExtractor(nn.Module):
    """F: image to one feature vector, by five halvings of the side and a mean over what is left.

    Its layers are J2D's up to a sixteenth of the side, under the same names, so that F can start from a trained J2D.
    """

    def __init__(self, width: int = 16, features: int = 256):
        super().__init__()
        w = width
        self.stem = nn.Sequential(stem(2 * w), Block(2 * w, 2 * w))
        self.down = nn.ModuleList([Block(2 * w, 4 * w, 2), Block(4 * w, 8 * w, 2), Block(8 * w, features, 2)])

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b features"]:
        x = self.stem(images - 0.5)
        for block in self.down:
            x = block(x)
        return x.mean((2, 3))


class PoseNetwork(nn.Module):
    """J2D: image to 21 heat maps, by an hourglass that looks at a half, a quarter and an eighth of their resolution."""

    def __init__(self, width: int = 16, joints: int = 21):
        super().__init__()
        w = width
        self.stem = nn.Sequential(stem(2 * w), Block(2 * w, 2 * w))
        self.down = nn.ModuleList([Block(2 * w, 4 * w, 2), Block(4 * w, 8 * w, 2), Block(8 * w, 8 * w, 2)])
        self.up = nn.ModuleList([conv(8 * w, 8 * w), conv(8 * w, 4 * w), conv(4 * w, 2 * w)])
        self.head = nn.Sequential(conv(2 * w, 2 * w), nn.Conv2d(2 * w, joints, 1))
        nn.init.normal_(self.head[-1].weight, std=1e-3)  # heat maps are nearly zero nearly everywhere

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b joints s s"]:
        levels = [self.stem(images - 0.5)]
        for block in self.down:
            levels.append(block(levels[-1]))
        x = levels.pop()
        for block in self.up:
            skip = levels.pop()
            x = skip + functional.interpolate(block(x), size=skip.shape[-2:], mode="bilinear")
        return self.head(x)

    def stages(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b joints s s"]]:
        """The maps of all stages, of which this network has one; see `PoseMachine.stages`."""
        return [self(images)]


@checked
def target_heatmaps(joints_crop: Float[Tensor, "*batch 21 2"], size: int) -> Float[Tensor, "*batch 21 size size"]:
    """y_Heat: a Gaussian of height 1 around each joint, `SIGMA` wide. A joint outside the crop leaves only its tail.

    The map of a joint that is NaN, an unknown one, is NaN.
    """
    at_least(1, 4096, size=size)
    centers = torch.arange(size, device=joints_crop.device) + 0.5
    peak = (joints_crop + 1) * (size / 2)
    x = torch.exp(-((centers - peak[..., :1]) ** 2) / (2 * SIGMA**2))  # separable: (..., 21, size) along each axis
    y = torch.exp(-((centers - peak[..., 1:]) ** 2) / (2 * SIGMA**2))
    return y[..., :, None] * x[..., None, :]


@checked
def heatmap_peaks(heatmaps: Float[Tensor, "*batch j s s"], subpixel: bool = True) -> Float[Tensor, "*batch j 2"]:
    """j2D: where each heat map is highest, in crop coordinates; without a gradient, as in the paper.

    The paper takes the highest pixel. A pixel of a heat map is four of the image, so `subpixel` goes on from there to
    the top of the parabola through the logarithms of its value and its two neighbors' in x, and likewise in y: exact
    for a Gaussian, and never further than half a pixel. Maps in half precision have peaks in single.
    """
    with torch.no_grad():
        *lead, s, _ = heatmaps.shape
        maps = heatmaps.reshape(-1, s, s)
        maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
        best = maps.flatten(1).argmax(-1)
        row, column = torch.div(best, s, rounding_mode="floor"), best % s
        map_ = torch.arange(maps.shape[0], device=best.device)
        centers = torch.stack([column, row], -1) + 0.5
        if subpixel and s > 2:  # a peak has neighbors
            log = maps.clamp(min=1e-6).log()
            for axis, line in enumerate((log[map_, row], log[map_, :, column])):  # the peak's row, and its column
                middle = torch.stack([column, row], -1)[:, axis].clamp(1, s - 2)  # the rim has but one neighbor
                before, center, after = (line[map_, middle + step] for step in (-1, 0, 1))
                curvature = (2 * center - after - before).clamp(min=1e-6)
                top = middle + 0.5 + (after - before) / (2 * curvature)
                centers[:, axis] = torch.minimum(torch.maximum(top, centers[:, axis] - 0.5), centers[:, axis] + 0.5)
        return px_to_crop(centers.to(maps.dtype), s).view(*lead, 2)
