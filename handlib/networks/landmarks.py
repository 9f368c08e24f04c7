"""The hand landmark network of MediaPipe Hands (Google, Apache-2.0) in torch: 21 points of one hand in an upright crop.

It was trained by its authors on photographs, and is J2D and F of the trunk `photo` (Sec. 3.1): its points are j2D, the
1,152 numbers that all its outputs are linear in are F. Images are sRGB in [0, 1], 224×224, the hand pointing up and
filling half of the crop's side (turned_crop.py). Points are in C21 order, but they are not handlib's joints: where they
lie in the mesh is calibrated in hand/landmark_sets.py.
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from .same_padding import SameConv2d, depthwise
from .turned_crop import HandEvidence

Z_SCALE = 0.4  # of the network's z over its x and y


class InvertedResidual(nn.Module):
    """Widen, filter each channel, narrow again; added to the input where the shape stays (MobileNet v2)."""

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
    """224×224 crops to `HandEvidence`, by one 3×3 convolution and the table of inverted residual blocks."""

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
        """F(x)."""
        return self.blocks(functional.relu6(self.stem(images))).mean((2, 3))

    def forward(self, images: Float[Tensor, "b 3 224 224"]) -> HandEvidence:
        return self.heads(self.features(images))

    def heads(self, features: Float[Tensor, "b 1152"]) -> HandEvidence:
        """Everything else, which is linear in F."""
        points = self.points(features).unflatten(1, (21, 3))
        # The network counts pixels from the middle of the first one, crop coordinates from its edge; its z is scaled.
        points = points * points.new_tensor([1, 1, 1 / Z_SCALE]) + points.new_tensor([0.5, 0.5, 0])
        points = points * (2 / self.SIZE) - points.new_tensor([1.0, 1, 0])
        return HandEvidence(
            points,
            self.presence(features)[:, 0].sigmoid(),
            self.handedness(features)[:, 0].sigmoid(),
            self.points_3d(features).unflatten(1, (21, 3)),
            features,
        )
