"""The hand landmark network of MediaPipe Hands (Google, Apache-2.0) in torch: 21 points of one hand in an upright crop.

Its authors trained it on photographs, and tools/tune_landmarks.py trained it further on rendered hands. In the trunk
`photo` it is both J2D and F (Sec. 3.1): its points are j2D, and the 1,152 numbers from which linear layers compute all
its outputs are F(x). Images are sRGB in [0, 1], 224×224; the hand points up and fills half the side of the crop
(turned_crop.py). Points are in C21 order but are not handlib's joints: hand/landmark_sets.py says where they lie on the
mesh.
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from .same_padding import SameConv2d, depthwise
from .turned_crop import HandEvidence

Z_SCALE = 0.4  # ratio of the network's z to its x and y


class InvertedResidual(nn.Module):
    """Widens, filters each channel and narrows again; adds the result to the input if shapes allow (MobileNet v2)."""

    def __init__(self, inputs: int, wide: int, outputs: int | None, kernel: int, stride: int):
        super().__init__()
        self.widen = SameConv2d(inputs, wide) if wide > inputs else None
        self.filter = depthwise(wide, kernel, stride)
        self.narrow = SameConv2d(wide, outputs) if outputs else None
        self.residual = inputs == outputs and stride == 1

    def forward(self, x: Float[Tensor, "b i h w"]) -> Float[Tensor, "b o h2 w2"]:
        y = x if self.widen is None else functional.relu6(self.widen(x))
        y = functional.relu6(self.filter(y))
        y = y if self.narrow is None else self.narrow(y)
        return x + y if self.residual else y


class LandmarkNetwork(nn.Module):
    """Maps 224×224 crops to `HandEvidence` by one 3×3 convolution and the inverted residual blocks of the table."""

    SIZE, FEATURES = 224, 1152
    #         wide  out  kernel stride
    BLOCKS = ((24, 16, 3, 1),
              (64, 24, 3, 2), (144, 24, 3, 1),
              (144, 40, 5, 2), (240, 40, 5, 1),
              (240, 80, 3, 2), (480, 80, 3, 1), (480, 80, 3, 1),
              (480, 112, 5, 1), (672, 112, 5, 1), (672, 112, 5, 1),
              (672, 192, 5, 2), (1152, 192, 5, 1), (1152, 192, 5, 1), (1152, 192, 5, 1),
              (1152, None, 3, 1))  # fmt: skip

    def __init__(self):
        super().__init__()
        self.stem = SameConv2d(3, 24, 3, 2)
        widths = [24, *(out for _, out, _, _ in self.BLOCKS)]
        self.blocks = nn.Sequential(
            *(InvertedResidual(inputs, *row) for inputs, row in zip(widths, self.BLOCKS, strict=False))
        )
        self.handedness, self.presence = nn.Linear(self.FEATURES, 1), nn.Linear(self.FEATURES, 1)
        self.points, self.points_3d = nn.Linear(self.FEATURES, 63), nn.Linear(self.FEATURES, 63)

    def features(self, images: Float[Tensor, "b 3 224 224"]) -> Float[Tensor, "b 1152"]:
        """Computes F(x)."""
        return self.blocks(functional.relu6(self.stem(images))).mean((2, 3))

    def forward(self, images: Float[Tensor, "b 3 224 224"]) -> HandEvidence:
        return self.heads(self.features(images))

    def heads(self, features: Float[Tensor, "b 1152"]) -> HandEvidence:
        """Computes the outputs, which are linear in F before the sigmoids."""
        points = self.points(features).unflatten(1, (21, 3))
        # The network's pixels start at the center of the first pixel, crop coordinates at its edge; its z is scaled.
        points = points * points.new_tensor([1, 1, 1 / Z_SCALE]) + points.new_tensor([0.5, 0.5, 0])
        points = points * (2 / self.SIZE) - points.new_tensor([1.0, 1, 0])
        return HandEvidence(
            points,
            self.presence(features)[:, 0].sigmoid(),
            self.handedness(features)[:, 0].sigmoid(),
            self.points_3d(features).unflatten(1, (21, 3)),
            features,
        )
