"""Skeletons with the errors of real evidence: what E3D and Ref of the photo trunk learn to lift from first.

To lift 21 points to a hand needs no image. Hands from all sides are drawn; their points in the image, depths and points
in space get errors that the landmark network made on cached rows: whole rows of errors, since those of one hand belong
together, from hands that show palm or back alike, and weakened, since rendered hands trouble the network about twice as
much as photographs do. Everything is in the frame of the turned crop.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from ..camera import crop_box, focal_length, project
from ..data.synthetic.draws import Draws
from ..data.synthetic.views import random_intrinsics, random_placement
from ..fitting.skeleton import Skeleton
from ..hand import HandModel
from ..hand.joints import C21, MIDDLE_MCP
from ..hand.landmark_sets import landmark_set
from ..networks.turned_crop import TurnedCrop
from .evidence_rows import EvidenceRows

NEIGHBORS = 0.06  # share of the rows, by how the palm faces, that errors are drawn from
NETWORK_SIZE = 1 / 0.92  # the network's points in space over those of the hand, a median over rendered hands


class CropTruth(NamedTuple):
    """The truth in the frame of a turned crop."""

    joints_crop: Float[Tensor, "b 21 2"]
    relative: Float[Tensor, "b 21 3"]  # crop units, z too; relative to the root: Eq. 8 before the division by ω
    omega: Float[Tensor, " b"]  # of Eq. 8, crop units

    def take(self, index) -> "CropTruth":
        return CropTruth(*(part[index] for part in self))


class Seen(NamedTuple):
    """What E3D sees of a hand, but for F."""

    points: Float[Tensor, "b 21 2"]  # j2D, crop coordinates
    depths: Float[Tensor, "b 21"]  # crop units, relative to the wrist
    points_3d: Float[Tensor, "b 21 3"]  # meters along the crop's axes

    def take(self, index) -> "Seen":
        return Seen(*(part[index] for part in self))


def crop_truth(joints_cam: Float[Tensor, "b 21 3"], K: Float[Tensor, "b 3 3"], crop: TurnedCrop) -> CropTruth:
    """The joints of hands in the camera frame as their turned crops show them."""
    joints = crop.from_px(project(joints_cam, K))
    points = torch.cat([joints, depths(joints_cam, joints_cam, K, crop)[..., None]], -1)
    relative = points - points[:, MIDDLE_MCP : MIDDLE_MCP + 1]
    return CropTruth(joints, relative, crop_box(joints)[:, 2])


def depths(points_cam: Tensor, joints_cam: Tensor, K: Tensor, crop: TurnedCrop) -> Float[Tensor, "b 21"]:
    """Depths in crop units relative to the wrist, for a scaled orthographic camera at the root's depth."""
    unit = focal_length(K) / joints_cam[:, MIDDLE_MCP, 2] / (crop.side / 2)
    return (points_cam[..., 2] - points_cam[:, :1, 2]) * unit[:, None]


def facing(joints_cam: Float[Tensor, "b 21 3"]) -> Float[Tensor, " b"]:
    """1 or −1 where the palm or the back faces the camera, 0 where the hand is seen from the edge."""
    wrist = joints_cam[:, 0]
    index, little = (joints_cam[:, C21.index(name)] - wrist for name in ("index1", "little1"))
    return functional.normalize(torch.linalg.cross(index, little, dim=-1), dim=-1)[:, 2].contiguous()


def seen_without_error(
    image: Float[Tensor, "b 21 3"],
    space: Float[Tensor, "b 21 3"],
    joints_cam: Float[Tensor, "b 21 3"],
    K: Float[Tensor, "b 3 3"],
    crop: TurnedCrop,
) -> Seen:
    """What a landmark network without errors would say. image, space: the points of its two landmark sets, m."""
    along_crop = space @ crop.rotation_3d()  # row vectors: from the image's axes to the crop's
    points = crop.from_px(project(image, K))
    return Seen(points, depths(image, joints_cam, K, crop), NETWORK_SIZE * centered(along_crop))


class ErrorBank:
    """The errors of whole rows, in the order of how the palm faces."""

    def __init__(self, rows: EvidenceRows):
        truth = _ideal(rows.vertices_cam.float() + rows.joints_cam[:, MIDDLE_MCP : MIDDLE_MCP + 1], rows)
        order = facing(rows.joints_cam).argsort()
        seen = Seen(rows.points[..., :2], rows.points[..., 2], centered(rows.points_3d))
        self.facing = facing(rows.joints_cam)[order]
        self.errors = Seen(*(a - b for a, b in zip(seen, truth, strict=True))).take(order)

    def draw(self, towards: Float[Tensor, " b"], generator: torch.Generator) -> Seen:
        n = len(self.facing)
        near = (torch.rand(len(towards), generator=generator) - 0.5) * NEIGHBORS * n
        return self.errors.take((torch.searchsorted(self.facing, towards) + near.round().long()).clamp(0, n - 1))


class Skeletons(NamedTuple):
    """Hands as a network without errors would see them, and the truth."""

    seen: Seen
    truth: CropTruth
    facing: Float[Tensor, " n"]

    def take(self, index) -> "Skeletons":
        return Skeletons(self.seen.take(index), self.truth.take(index), self.facing[index])


class SkeletonSource:
    """Draws skeletons of a hand. pool: its poses."""

    def __init__(self, hand: HandModel, poses: int = 20_000):
        self.pool, _ = hand.sample(poses, torch.Generator().manual_seed(0))
        regressors = [hand.joint_regressor, landmark_set("image").regressor, landmark_set("space").regressor]
        self.skeleton = Skeleton(hand, hand.template, torch.cat(regressors))

    @torch.no_grad()
    def __call__(self, n: int, seed: int) -> Skeletons:
        draws = Draws(f"skeletons {seed}", torch.arange(n))
        pose, shape = self.pool[draws.integer(len(self.pool))], draws.normal(10).clamp(-2.5, 2.5)
        rotation, root = random_placement(draws)
        points = self.skeleton(pose, shape) @ rotation.mT
        points = points - points[:, MIDDLE_MCP : MIDDLE_MCP + 1] + root[:, None]
        joints, image, space = points.split(21, 1)
        K = random_intrinsics(draws)
        crop = TurnedCrop.around_points(project(image, K))
        crop = TurnedCrop(
            crop.center + 0.03 * crop.side[:, None] * draws.normal(2),
            crop.side * torch.exp(0.06 * draws.normal()),
            crop.angle + 0.1 * draws.normal(),
        )
        seen = seen_without_error(image, space, joints, K, crop)
        return Skeletons(seen, crop_truth(joints, K, crop), facing(joints))


def centered(points: Float[Tensor, "b 21 3"]) -> Float[Tensor, "b 21 3"]:
    return points - points.mean(1, keepdim=True)


def _ideal(vertices_cam: Float[Tensor, "b 778 3"], rows: EvidenceRows) -> Seen:
    """What the network should have said about rows."""
    image, space = (landmark_set(name).regressor @ vertices_cam for name in ("image", "space"))
    return seen_without_error(image, space, rows.joints_cam, rows.K, rows.crop)
