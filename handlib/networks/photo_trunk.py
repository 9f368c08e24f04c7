"""The trunk `photo`: J2D and F that were trained on photographs, and what of them E3D sees.

One frozen network (landmarks.py) gives both. It wants the hand upright, so the trunk also finds the turned crop of a
hand in a picture that shows one. E3D and Ref see F through its first principal directions, because 1,152 numbers that
are all linear in one another's causes would drown 21 points; beside it the network's own depths and 3D points.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .landmarks import LandmarkNetwork
from .turned_crop import HandEvidence, TurnedCrop

TURNS = 8  # in which a picture is looked at first
LOOKS = 2  # further ones, each through the crop around the points of the one before
SPREAD = 20.0  # 3D points in units of 5 cm are near 1, as the other inputs are
CLIP = 6.0  # standard deviations; what is farther out was never learned from
FLOOR = 0.02  # added to the standard deviation of features that hardly vary


class PhotoTrunk(nn.Module):
    """J2D and F of the trunk `photo`. principal: how many principal directions of F E3D sees; 0: none.

    The directions are learned from cached rows by `learn_directions` and saved with the regressor; the network's own
    weights are published ones (experiments/published.py) and are not.
    """

    def __init__(self, principal: int = 128):
        super().__init__()
        self.network = LandmarkNetwork()
        self.register_buffer("mean", torch.zeros(LandmarkNetwork.FEATURES))
        self.register_buffer("directions", torch.zeros(LandmarkNetwork.FEATURES, principal))

    @property
    def inputs(self) -> int:
        """How many numbers E3D and Ref see beside j2D: F's directions, 21 depths, 21 points in space."""
        return self.directions.shape[1] + 21 + 63

    def forward(self, images: Float[Tensor, "b 3 224 224"]) -> HandEvidence:
        return self.network(images.contiguous(memory_format=torch.channels_last))

    def conditions(self, evidence: HandEvidence) -> Float[Tensor, "b c"]:
        """What E3D and Ref see of the evidence beside j2D."""
        principal = ((evidence.features - self.mean) @ self.directions).clamp(-CLIP, CLIP)
        return torch.cat([principal, evidence.points[..., 2], spread(evidence.points_3d)], 1)

    @torch.no_grad()
    def learn_directions(self, features: Float[Tensor, "n 1152"]) -> None:
        """Principal directions of features scaled to one standard deviation, each divided by its own.

        `ValueError` for fewer rows than there are directions to learn.
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
        """The turned crop of the one hand that each picture shows: the surest of eight turns, looked at further."""
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
        """The evidence of a crop of each picture."""
        return self(crop.sample(images, self.network.SIZE))

    def _better(self, images: Tensor, crop: TurnedCrop, best: TurnedCrop, surest: Tensor) -> tuple[TurnedCrop, Tensor]:
        presence = self.seen(images, crop).presence
        wins = presence > surest
        chosen = (torch.where(wins.view(-1, *[1] * (a.ndim - 1)), a, b) for a, b in zip(crop, best, strict=True))
        return TurnedCrop(*chosen), torch.where(wins, presence, surest)


def spread(points_3d: Float[Tensor, "b 21 3"]) -> Float[Tensor, "b 63"]:
    """3D points about their mean, as E3D sees them."""
    return (points_3d - points_3d.mean(1, keepdim=True)).flatten(1) * SPREAD
