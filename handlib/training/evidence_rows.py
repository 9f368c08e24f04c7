"""Evidence of the frozen landmark network, cached once: what E3D and Ref of the trunk `photo` learn from.

A row is one rendered hand as the network sees it through a turned crop, and the truth. Nothing that is trained later
changes it, so a training step costs milliseconds instead of a rendering and a network.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from ..data.synthetic import SyntheticHands
from ..hand.joints import MIDDLE_MCP
from ..networks.landmarks import LandmarkNetwork
from ..networks.turned_crop import TurnedCrop

SIZE, CROP_FACTOR = 256, 2.0  # of the pictures: a turned crop shows more than the benchmark's upright one
SETTLED = 0.7  # share of rows seen through the network's own crop, as in use; the others through a disturbed true one


class EvidenceRows(NamedTuple):
    """n hands. Crops are squares of the pictures that the joints were projected into by K."""

    features: Float[Tensor, "n 1152"]  # half precision
    points: Float[Tensor, "n 21 3"]  # crop coordinates
    points_3d: Float[Tensor, "n 21 3"]  # meters along the crop's axes
    presence: Float[Tensor, " n"]
    center: Float[Tensor, "n 2"]
    side: Float[Tensor, " n"]
    angle: Float[Tensor, " n"]
    K: Float[Tensor, "n 3 3"]
    joints_cam: Float[Tensor, "n 21 3"]
    vertices_cam: Float[Tensor, "n 778 3"]  # half precision, relative to the root

    @property
    def crop(self) -> TurnedCrop:
        return TurnedCrop(self.center, self.side, self.angle)

    def take(self, index) -> "EvidenceRows":
        return EvidenceRows(*(part[index] for part in self))


@torch.no_grad()
def evidence_rows(
    network: LandmarkNetwork, split: str, n: int, first: int = 0, seed: int = 0, progress: bool = True
) -> EvidenceRows:
    """Rows of the samples first … first + n − 1 of a split."""
    generator = torch.Generator().manual_seed(seed + first)
    data = SyntheticHands(split, SIZE, first + n, crop_factor=CROP_FACTOR)
    rows: list[EvidenceRows] = []
    for index in tqdm(torch.arange(first, first + n).split(16), f"evidence of {split}", disable=not progress):
        batch = data.batch(index)
        crop = _disturbed(TurnedCrop.around_points(batch["joints_px"]), generator)
        seen = network(_pictures(crop, batch["image"], network.SIZE))
        again = TurnedCrop.around_points(crop.to_px(seen.points[..., :2]))
        settled = (seen.presence > 0.3) & (torch.rand(len(index), generator=generator) < SETTLED)
        crop = TurnedCrop(
            *(torch.where(settled.view(-1, *[1] * (a.ndim - 1)), a, b) for a, b in zip(again, crop, strict=True))
        )
        seen = network(_pictures(crop, batch["image"], network.SIZE))
        joints = batch["joints_cam"]
        relative = (batch["vertices_cam"] - joints[:, MIDDLE_MCP : MIDDLE_MCP + 1]).half()
        rows.append(EvidenceRows(seen.features.half(), seen.points, seen.points_3d, seen.presence, *crop, batch["K"],
                                 joints, relative))  # fmt: skip
    return EvidenceRows(*(torch.cat(parts) for parts in zip(*rows, strict=True)))


def _pictures(crop: TurnedCrop, images: Tensor, size: int) -> Tensor:
    return crop.sample(images, size).contiguous(memory_format=torch.channels_last)


def _disturbed(crop: TurnedCrop, generator: torch.Generator) -> TurnedCrop:
    """As a detector would place it; now and then turned far too little or too much."""
    n = len(crop.side)

    def normal(*shape: int) -> Tensor:
        return torch.randn(n, *shape, generator=generator)

    wild = torch.rand(n, generator=generator) < 0.2
    return TurnedCrop(
        crop.center + 0.03 * crop.side[:, None] * normal(2),
        crop.side * torch.exp(0.06 * normal()),
        crop.angle + torch.where(wild, 0.35, 0.1) * normal(),
    )
