"""ResNet-50 (He et al., CVPR 2016) without its classifier: the paper's F, which maps an image to 2,048 features.

Parameters have torchvision's names and shapes, so that the published ImageNet weights fit (pretrained.py). As in
torchvision, the stride of a bottleneck is in its 3×3 convolution; in the article it is in the first 1×1 convolution.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

FEATURES = 2048
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's red, green and blue, as sRGB in [0, 1]
STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))  # width inside the bottlenecks, their number, first stride
EXPANSION = 4  # the width outside a bottleneck over the width inside


class Bottleneck(nn.Module):
    """A residual block: 1×1 to `width` channels, 3×3 with the stride, 1×1 to four times as many, plus a shortcut."""

    def __init__(self, inputs: int, width: int, stride: int = 1):
        super().__init__()
        outputs = EXPANSION * width
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h2 w2"]:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        x = functional.relu(self.bn2(self.conv2(x)), inplace=True)
        return functional.relu(self.bn3(self.conv3(x)) + shortcut, inplace=True)


class ResNet50(nn.Module):
    """F at the paper's size. Images are sRGB in [0, 1]; they are normalized inside as for ImageNet."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        inputs = 64
        for number, (width, blocks, stride) in enumerate(STAGES, 1):
            stage = []
            for block in range(blocks):
                stage.append(Bottleneck(inputs, width, stride if block == 0 else 1))
                inputs = EXPANSION * width
            self.add_module(f"layer{number}", nn.Sequential(*stage))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        # Not saved, since they are not among the published weights.
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 2048"]:
        x = (images - self.mean) / self.deviation
        x = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        x = functional.max_pool2d(x, 3, stride=2, padding=1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.mean((2, 3))
