"""What `fit` minimises: the negative logarithm of a posterior, so that its terms weigh each other and starts compare.

    E = ½ Σ_j v_j ρ(‖π(Reg(m))_j − j2D_j‖² / s²) + ½ ‖z‖² + ½ ‖β‖² + ½ ‖excess / softness‖²

with π the camera, ρ Geman–McClure's robust function, s the noise of the joints, z the pose in standard deviations of
its prior, β the shape, and the excess that over the joints' limits. Nothing is assumed about the viewpoint.

Coordinates. *place* is the root (middle MCP) in the image: u, v in pixels and the logarithm of the pixels per metre at
its depth; the same three numbers serve the pinhole and the scaled orthographic camera. Rotations map model axes to
camera axes. Points are in metres along camera axes, relative to the root.
"""

import math
from typing import NamedTuple

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from .anatomy import SOFTNESS, PosePrior, joint_axes, joint_limits, limit_excess
from .camera import crop_box, focal_length, project, unproject
from .hand import HandModel
from .joints import MIDDLE_MCP
from .skeleton import Skeleton, cross_matrix

OUTLIER = 4.5  # standard deviations where a joint begins to be disbelieved: 2 in 100 lie anywhere in the crop
_NEAREST = 0.02  # metres; no point of a hand is closer to the pinhole


class State(NamedTuple):
    """n estimates of one hand."""

    z: Float[Tensor, "*n k"]  # pose in standard deviations
    beta: Float[Tensor, "*n 10"]
    rotation: Float[Tensor, "*n 3 3"]
    place: Float[Tensor, "*n 3"]

    def take(self, index) -> "State":
        return State(*(part[index] for part in self))

    def moved(self, step: Float[Tensor, "*n p"]) -> "State":
        """The state after a step in its p = k + 16 numbers; the three of the rotation turn it from the left."""
        z, beta, turn, place = step.split([self.z.shape[-1], 10, 3, 3], -1)
        return State(self.z + z, self.beta + beta, roma.rotvec_to_rotmat(turn) @ self.rotation, self.place + place)


class Anatomy(NamedTuple):
    """What is known about every hand of a model."""

    skeleton: Skeleton
    prior: PosePrior
    axes: Float[Tensor, "15 3 3"]
    limits: Float[Tensor, "2 15 3"]

    @classmethod
    def of(cls, hand: HandModel, like: Tensor) -> "Anatomy":
        """In the precision and on the device of `like`."""
        prior = PosePrior(*(part.to(like) for part in PosePrior.of(hand)))
        return cls(Skeleton(hand, like), prior, joint_axes(hand).to(like), joint_limits().to(like))


class Posterior:
    """E of one hand in one image, as squared residuals."""

    def __init__(
        self,
        anatomy: Anatomy,
        joints_px: Float[Tensor, "21 2"],
        visible: Float[Tensor, "21"],
        K: Float[Tensor, "3 3"] | None,
        noise: float,
    ):
        self.skeleton, self.prior, self.axes, self.limits = anatomy
        self.joints_px, self.visible, self.K = joints_px, visible, K
        self.box = crop_box(joints_px[visible > 0])
        self.sigma = noise * self.box[2]  # pixels

    def joints_cam(self, state: State) -> Float[Tensor, "*n 21 3"]:
        joints = self.skeleton(self.prior.pose(state.z), state.beta)
        return (joints - joints[..., MIDDLE_MCP : MIDDLE_MCP + 1, :]) @ state.rotation.mT

    def residuals(self, state: State) -> tuple[Float[Tensor, "*n 21 2"], Float[Tensor, "*n q"]]:
        """Of the joints in standard deviations, before ρ; and of everything that is known beforehand."""
        error = (to_px(self.joints_cam(state), state.place, self.K) - self.joints_px) / self.sigma
        excess = limit_excess(self.prior.pose(state.z), self.axes, self.limits).flatten(-2)
        known = torch.cat([state.z, state.beta, excess / math.radians(SOFTNESS)], -1)
        return error * self.visible.sqrt()[:, None], known

    def energy(self, state: State) -> Float[Tensor, "*n"]:
        joints, known = self.residuals(state)
        return (robust(joints.square().sum(-1)).sum(-1) + known.square().sum(-1)) / 2

    def linearised(self, state: State) -> tuple[Float[Tensor, "n r"], Float[Tensor, "n r p"]]:
        """All residuals in a row and their derivatives by a step; ρ enters both as the weight √ρ'."""
        n, k = state.z.shape
        joints, by_pose, by_beta = self.skeleton.with_jacobian(self.prior.pose(state.z), state.beta)
        by_hand = torch.cat([by_pose @ self.prior.basis.mT, by_beta], -1)  # (n, 21, 3, k + 10)
        joints, by_hand = (a - a[:, MIDDLE_MCP : MIDDLE_MCP + 1] for a in (joints, by_hand))
        joints, by_hand = joints @ state.rotation.mT, state.rotation[:, None] @ by_hand
        by_turn = -cross_matrix(joints)  # a turn ω moves a point by ω × x
        by_point, by_place = _to_px_jacobian(joints, state.place, self.K)
        by_step = torch.cat([by_point @ torch.cat([by_hand, by_turn], -1), by_place], -1)

        error, known = self.residuals(state)
        weight = 1 / (1 + error.square().sum(-1, keepdim=True) / OUTLIER**2)
        by_step = by_step * (weight * self.visible.sqrt()[:, None] / self.sigma)[..., None]
        beyond = (known[:, k + 10 :] != 0)[..., None] / math.radians(SOFTNESS)
        by_known = known.new_zeros(n, known.shape[1], k + 16)
        by_known[:, : k + 10, : k + 10] = torch.eye(k + 10)
        by_known[:, k + 10 :, :k] = beyond * (self.axes @ self.prior.basis.T.unflatten(0, (15, 3))).flatten(0, 1)
        residual = torch.cat([(error * weight).flatten(1), known], 1)
        return residual, torch.cat([by_step.flatten(1, 2), by_known], 1)


def robust(squared: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Geman–McClure's ρ of a squared residual: the same where it is small, and never more than `OUTLIER`²."""
    return squared / (1 + squared / OUTLIER**2)


# ---- the camera


def to_px(
    points: Float[Tensor, "*n v 3"], place: Float[Tensor, "*n 3"], K: Float[Tensor, "3 3"] | None
) -> Float[Tensor, "*n v 2"]:
    """Points to pixels: by the pinhole K, or scaled orthographically without one."""
    if K is None:
        return place[..., None, :2] + place[..., None, 2:].exp() * points[..., :2]
    points = points + root_cam(place, K)[..., None, :]
    return project(torch.cat([points[..., :2], points[..., 2:].clamp(min=_NEAREST)], -1), K)


def root_cam(place: Float[Tensor, "*n 3"], K: Float[Tensor, "3 3"]) -> Float[Tensor, "*n 3"]:
    """The root in the camera frame, in metres."""
    depth = focal_length(K) * torch.exp(-place[..., 2:])
    return unproject(place[..., None, :2], depth, K)[..., 0, :]


def _to_px_jacobian(
    points: Float[Tensor, "n v 3"], place: Float[Tensor, "n 3"], K: Float[Tensor, "3 3"] | None
) -> tuple[Float[Tensor, "n v 2 3"], Float[Tensor, "n v 2 3"]]:
    """Derivatives of `to_px` by the points and by the place."""
    if K is None:
        scale = place[:, None, 2:, None].exp()
        plane = torch.eye(3, dtype=points.dtype, device=points.device)[:2]
        by_place = torch.cat([plane[:, :2].expand(*points.shape[:2], 2, 2), scale * points[..., :2, None]], -1)
        return (scale * plane).expand(*points.shape[:2], 2, 3), by_place
    root = root_cam(place, K)
    depth = (points[..., 2] + root[:, None, 2]).clamp(min=_NEAREST)
    by_point = (K[:2] - to_px(points, place, K)[..., None] * K[2]) / depth[..., None, None]
    by_uv = root[:, 2, None, None] * torch.linalg.inv(K)[:, :2]  # a pixel more moves the root by z·K⁻¹
    return by_point, by_point @ torch.cat([by_uv, -root[..., None]], -1)[:, None]
