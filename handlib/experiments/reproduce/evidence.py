"""Cached evidence for the study of rows.py: hands as a frozen F and J2D see them, once, and the truth beside it.

F and J2D are the landmark network of the photo trunk, which has seen photographs. A row is brought into the frame of
its turned crop, whose camera is one like any other, so that losses and scores are those of everything else. E3D and Ref
see the principal directions of F, learned from the training rows, and j2D; what the network says beyond the paper's F
and J2D, depths and points in space, is left out.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ...camera import focal_length, project
from ...data import PhotoFolder, collate
from ...dhpe import DHPE, DHPEConfig
from ...hand import HandModel
from ...hand.joints import MIDDLE_MCP
from ...networks.photo_trunk import CLIP, PhotoTrunk
from ...renderer import Renderer
from ...support.digests import load_tensors, save_tensors
from ...training.evidence_rows import CROP_FACTOR, SIZE, EvidenceRows, evidence_rows
from ...training.photo_model import PhotoTraining, cached_rows, seen_well
from ...training.regressor import MEND

SIDE = 48  # pixels of the masks of Eq. 9, and of the crop that K and points are given in


class Rows(NamedTuple):
    """n hands in the frame of a crop of SIDE pixels. Where the mesh is not known, vertices and mask have no rows."""

    features: Float[Tensor, "n f"]  # half precision
    points: Float[Tensor, "n 21 2"]  # j2D, crop coordinates
    joints_cam: Float[Tensor, "n 21 3"]
    K: Float[Tensor, "n 3 3"]
    vertices: Float[Tensor, "m 778 3"]  # relative to the root; half precision
    mask: UInt8[Tensor, "m s s"]

    def take(self, index: Tensor) -> "Rows":
        return Rows(*(part[index] if len(part) else part for part in self))

    def batch(self) -> dict[str, Tensor]:
        """As `data.collate` gives samples, but for the pictures."""
        root = self.joints_cam[:, MIDDLE_MCP : MIDDLE_MCP + 1]
        batch = {
            "joints_cam": self.joints_cam,
            "joints_px": project(self.joints_cam, self.K),
            "K": self.K,
            "visible": self.joints_cam.isfinite().all(-1),
        }
        if not len(self.vertices):
            return batch
        return batch | {"vertices_cam": self.vertices.float() + root, "mask": self.mask.float()}

    def save(self, path: Path, **more: Tensor) -> None:
        save_tensors(path, self._asdict() | more)

    @classmethod
    def load(cls, path: Path) -> "Rows":
        tensors = load_tensors(path, MEND)
        return cls(*(tensors[name] for name in cls._fields))


def make_training_rows(folder: Path, n: int, gate: float, principal: int, progress: bool = True) -> None:
    """folder/train.safetensors: of n training hands those that the network sees well enough, and F's directions."""
    model = DHPE(DHPEConfig.photo(principal=principal))
    seen = seen_well(raw_training_rows(folder, n, progress), gate)
    trunk = model.feature_extractor
    trunk.learn_directions(seen.features.float())
    in_crops(seen, trunk).save(folder / "train.safetensors", mean=trunk.mean, directions=trunk.directions)


def raw_training_rows(folder: Path, n: int, progress: bool = True) -> EvidenceRows:
    """The rows as the network gives them, of all n training hands: whose errors lifting learns from."""
    return cached_rows(DHPE(DHPEConfig.photo()), PhotoTraining(rows=n), folder / "train", progress)


def make_test_rows(folder: Path, split: str, n: int, progress: bool = True) -> None:
    """folder/SPLIT.safetensors, once the training rows are there."""
    trunk = _trunk(folder)
    in_crops(evidence_rows(trunk.network, split, n, progress=progress), trunk).save(folder / f"{split}.safetensors")


@torch.no_grad()
def make_photo_rows(folder: Path, photographs: str, path: Path) -> None:
    """Rows of the photographs of a `PhotoFolder`; the network finds the turned crop of each by itself, within the
    square around the true joints that the data set cuts. Left hands are mirrored."""
    trunk, rows = _trunk(folder), []
    data = PhotoFolder(photographs, size=SIZE, crop_factor=CROP_FACTOR)
    for index in torch.arange(len(data)).split(16):
        batch = collate([data[int(i)] for i in index])
        crop = trunk.upright(batch["image"])
        seen = trunk.seen(batch["image"], crop)
        none = seen.points.new_zeros(len(index), 0, 3).half()
        rows.append(EvidenceRows(seen.features.half(), seen.points, seen.points_3d, seen.presence, *crop, batch["K"],
                                 batch["joints_cam"], none))  # fmt: skip
    together = EvidenceRows(*(torch.cat(parts) for parts in zip(*rows, strict=True)))
    in_crops(together, trunk).save(path)


def _trunk(folder: Path) -> PhotoTrunk:
    learned = load_tensors(folder / "train.safetensors", MEND)
    trunk = DHPE(DHPEConfig.photo(principal=learned["directions"].shape[1])).feature_extractor
    trunk.mean.copy_(learned["mean"])
    trunk.directions.copy_(learned["directions"])
    return trunk.eval()


@torch.no_grad()
def in_crops(rows: EvidenceRows, trunk: PhotoTrunk) -> Rows:
    """Rows in the frames of their turned crops.

    To turn a picture is to turn the camera about its optical axis, if its pixels are square: of two focal lengths that
    differ, the mean counts.
    """
    turn, crop = rows.crop.rotation_3d(), rows.crop
    joints = rows.joints_cam @ turn
    scale = SIDE / crop.side
    center = ((rows.K[:, None, :2, 2] - crop.center[:, None]) @ crop.rotation())[:, 0]
    K = torch.zeros_like(rows.K)
    K[:, 0, 0] = K[:, 1, 1] = focal_length(rows.K) * scale
    K[:, :2, 2] = center * scale[:, None] + SIDE / 2
    K[:, 2, 2] = 1
    features = ((rows.features.float() - trunk.mean) @ trunk.directions).clamp(-CLIP, CLIP)
    vertices, mask = rows.vertices_cam, torch.zeros(0, SIDE, SIDE, dtype=torch.uint8)
    if vertices.shape[1]:
        vertices = (vertices.float() @ turn).half()
        mask = torch.cat([
            _masks(v.float() + j[:, MIDDLE_MCP : MIDDLE_MCP + 1], k)
            for v, j, k in zip(vertices.split(256), joints.split(256), K.split(256), strict=True)
        ])  # fmt: skip
    else:
        vertices = torch.zeros(0, 778, 3, dtype=torch.float16)
    return Rows(features.half(), rows.points[..., :2], joints, K, vertices, mask)


def _masks(vertices_cam: Float[Tensor, "b 778 3"], K: Float[Tensor, "b 3 3"]) -> UInt8[Tensor, "b s s"]:
    """Silhouettes, as Ren(m) shows them."""
    points = torch.cat([project(vertices_cam, K), vertices_cam[..., 2:]], -1)
    return (Renderer(SIDE).silhouette(points, HandModel.load().faces) > 0.5).byte()
