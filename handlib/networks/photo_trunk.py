"""The trunk `photo`: J2D and F that were trained on photographs, and the inputs that E3D gets from them.

One frozen network (landmarks.py) gives both. It needs an upright hand, so the trunk also finds the turned crop of the
hand in an image. E3D and Ref get the first principal components of F, because 1,152 strongly correlated features would
dominate the 21 points. They also get the network's depths and 3D points.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .landmarks import LandmarkNetwork
from .turned_crop import HandEvidence, TurnedCrop

TURNS = 8  # rotations of the whole image that are tried first
LOOKS = 2  # further tries, each with the crop around the points of the one before
SPREAD = 20.0  # per meter; scales 3D points to about 1, like the other inputs
CLIP = 6.0  # standard deviations; training has no values beyond
FLOOR = 0.02  # added to standard deviations, since some features hardly vary


class PhotoTrunk(nn.Module):
    """J2D and F of the trunk `photo`. principal: the number of principal components of F that E3D gets; 0: none.

    `learn_directions` computes the principal directions from cached rows. They are saved with the regressor; the
    network's own weights are not, since they ship with handlib (published.py).
    """

    def __init__(self, principal: int = 128):
        super().__init__()
        self.network = LandmarkNetwork()
        self.register_buffer("mean", torch.zeros(LandmarkNetwork.FEATURES))
        self.register_buffer("directions", torch.zeros(LandmarkNetwork.FEATURES, principal))

    @property
    def inputs(self) -> int:
        """The number of inputs of E3D and Ref besides j2D: principal components of F, 21 depths, 21 3D points."""
        return self.directions.shape[1] + 21 + 63

    def forward(self, images: Float[Tensor, "b 3 224 224"]) -> HandEvidence:
        return self.network(images.contiguous(memory_format=torch.channels_last))

    def conditions(self, evidence: HandEvidence) -> Float[Tensor, "b c"]:
        """Computes the inputs of E3D and Ref besides j2D."""
        principal = ((evidence.features - self.mean) @ self.directions).clamp(-CLIP, CLIP)
        return torch.cat([principal, evidence.points[..., 2], spread(evidence.points_3d)], 1)

    @torch.no_grad()
    def learn_directions(self, features: Float[Tensor, "n 1152"]) -> None:
        """Sets the principal directions of features, each scaled to unit standard deviation.

        Raises `ValueError` if there are not more rows than directions.
        """
        k = self.directions.shape[1]
        if len(features) <= k:
            raise ValueError(f"{len(features)} rows are too few for {k} directions: use more, or a smaller principal")
        self.mean.copy_(features.mean(0))
        deviation = features.std(0) + FLOOR
        _, values, axes = torch.linalg.svd((features - self.mean) / deviation, full_matrices=False)
        self.directions.copy_(axes[:k].T / (values[:k] / len(features) ** 0.5) / deviation[:, None])

    @torch.no_grad()
    def upright(self, images: Float[Tensor, "b 3 h h"]) -> TurnedCrop:
        """Finds the turned crop of the one hand in each image: the most certain of eight rotations, then refined."""
        n, size = images.shape[0], images.shape[-1]
        whole = TurnedCrop.upright(images.new_tensor([0, 0, size]).expand(n, 3))
        best, surest = whole, images.new_full((n,), -1)
        for turn in range(TURNS):
            best, surest = self._better(images, whole.turned(turn * 2 * math.pi / TURNS), best, surest)
        for _ in range(LOOKS):
            points = best.to_px(self.seen(images, best).points[..., :2])
            best, surest = self._better(images, TurnedCrop.around_points(points), best, surest - 0.1)
        return best

    def seen(self, images: Float[Tensor, "b 3 h w"], crop: TurnedCrop) -> HandEvidence:
        """Computes the evidence in one crop of each image."""
        return self(crop.sample(images, self.network.SIZE))

    def _better(self, images: Tensor, crop: TurnedCrop, best: TurnedCrop, surest: Tensor) -> tuple[TurnedCrop, Tensor]:
        presence = self.seen(images, crop).presence
        wins = presence > surest
        chosen = (torch.where(wins.view(-1, *[1] * (a.ndim - 1)), a, b) for a, b in zip(crop, best, strict=True))
        return TurnedCrop(*chosen), torch.where(wins, presence, surest)


def spread(points_3d: Float[Tensor, "b 21 3"]) -> Float[Tensor, "b 63"]:
    """Centers and scales 3D points in meters, as inputs of E3D."""
    return (points_3d - points_3d.mean(1, keepdim=True)).flatten(1) * SPREAD
