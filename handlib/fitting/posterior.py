"""What a fit minimizes: the negative logarithm of a posterior, so that its terms weigh each other and starts compare.

    E = ½ Σ_j ρ(w_j ‖π(P_j) − p_j‖² / s²) + ½ ‖z‖² + ½ ‖(β − β̂) / b‖² + ½ ‖excess / softness‖² + ½ (Δs / S)²
      + ½ Σ_j ρ₃(w_j ‖Σ₃^(−½) (P̃_j − Q̃_j)‖²) + ½ ‖(state − before) / τ‖²

P are 21 points of the hand, joints or a landmark set; π is the camera, p the points in the image, s their noise, ρ
Geman–McClure's robust function. z is the pose in standard deviations of its prior, β the shape, near a network's β̂ if
there is one and near 0 otherwise, the excess that over the joints' limits; nothing is assumed about the viewpoint. Δs
is the logarithm of the hand's size in the image over what its box lets expect; S is so wide that it only keeps a hand
whose points are all disbelieved from shrinking away.
The second line is optional: a network's own 3D points Q, of which only what lies about their mean (~) counts, and the
same hand in the frame before. Where Q are other points of the hand than p, P holds 42 rows: those of p, those of Q.

Coordinates. *place* is the root (point 9, the base of the middle finger) in the image: u, v in pixels and the logarithm
of the pixels per meter at its depth; the same three numbers serve the pinhole and the scaled orthographic camera.
Rotations map model axes to camera axes. Points are in meters along camera axes, relative to the root. A row of every
tensor is one estimate of one hand; rows do not depend on each other.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..camera import CROP_FACTOR, crop_box, focal_length, project, unproject
from ..hand import HandModel
from ..hand.anatomy import SOFTNESS, PosePrior, joint_axes, joint_limits, limit_excess
from ..hand.joints import MIDDLE_MCP
from ..support import roma
from .skeleton import Skeleton, cross_matrix

N = 21  # points
EXTENT, SIZE_SPREAD = 0.15, 1.0  # meters that the box of a hand's points spans, about; S, of the logarithm
_NEAREST = 0.02  # meters; no point of a hand is closer to the pinhole


@dataclass(frozen=True)
class Noise:
    """Standard deviations of what is observed, and where disbelief begins."""

    points: float = 0.02  # of a 2D point over the crop's side: 4.5 px of 224, a detector's or a careful person's
    points_3d: tuple[float, float, float] = (0.010, 0.010, 0.010)  # meters along the camera's axes
    outlier: float = 4.5  # standard deviations where a 2D point begins to be disbelieved
    outlier_3d: float = 3.0
    shape: float = 0.45  # b, of β about a network's; it is 1 about the mean hand
    # How far a hand goes from one frame of a video to the next: of z, of β, radians; and its place over the crop's
    # side (of the scale's logarithm as well).
    step_pose: float = 0.25
    step_shape: float | Tensor = 0.02  # or (n, 1), of each estimate its own
    step_turn: float = 0.15
    step_place: float = 0.05


class State(NamedTuple):
    """n estimates."""

    z: Float[Tensor, "*n k"]  # pose in standard deviations
    beta: Float[Tensor, "*n 10"]
    rotation: Float[Tensor, "*n 3 3"]
    place: Float[Tensor, "*n 3"]

    def take(self, index) -> "State":
        return State(*(part[index] for part in self))

    def where(self, chosen: Bool[Tensor, " n"], other: "State") -> "State":
        """These estimates where they are chosen, the others elsewhere."""
        pairs = zip(self, other, strict=True)
        return State(*(torch.where(chosen.view(-1, *[1] * (own.ndim - 1)), own, old) for own, old in pairs))

    def moved(self, step: Float[Tensor, "*n p"]) -> "State":
        """The state after a step in its p = k + 16 numbers; the three of the rotation turn it from the left."""
        z, beta, turn, place = step.split([self.z.shape[-1], 10, 3, 3], -1)
        return State(self.z + z, self.beta + beta, roma.rotvec_to_rotmat(turn) @ self.rotation, self.place + place)

    def since(self, before: "State") -> Float[Tensor, "*n p"]:
        """The step from another state to this one: the inverse of `moved`."""
        turn = roma.rotmat_to_rotvec(self.rotation @ before.rotation.mT)
        return torch.cat([self.z - before.z, self.beta - before.beta, turn, self.place - before.place], -1)

    def to(self, like: Tensor | torch.dtype) -> "State":
        return State(*(part.to(like) for part in self))


class Observation(NamedTuple):
    """n hands as they are seen. Weights multiply squared errors; a point at weight 0 may be anything finite."""

    points_px: Float[Tensor, "n 21 2"]
    weight: Float[Tensor, "n 21"]
    K: Float[Tensor, "n 3 3"] | None = None  # None: a scaled orthographic camera
    points_3d: Float[Tensor, "n 21 3"] | None = None  # meters along the camera's axes, about any origin
    before: State | None = None
    beta: Float[Tensor, "n 10"] | None = None  # what a network says of the shape

    def take(self, index) -> "Observation":
        return Observation(
            *(None if part is None else part.take(index) if isinstance(part, State) else part[index] for part in self)
        )

    def to(self, dtype: torch.dtype) -> "Observation":
        return Observation(*(None if part is None else part.to(dtype) for part in self))

    def box(self) -> Float[Tensor, "n 3"]:
        """The crop around the points that count: left, top, side in pixels."""
        counts = (self.weight > 0)[..., None]
        low, high = (torch.where(counts, self.points_px, s * math.inf) for s in (1, -1))
        return crop_box(torch.stack([low.amin(1), high.amax(1)], 1))


class Anatomy(NamedTuple):
    """What is known about every hand of a model."""

    skeleton: Skeleton  # the points that are looked for in the image
    prior: PosePrior
    axes: Float[Tensor, "15 3 3"]
    limits: Float[Tensor, "2 15 3"]

    @classmethod
    def of(cls, hand: HandModel, like: Tensor, regressor: Float[Tensor, "p 778"] | None = None) -> "Anatomy":
        """In the precision and on the device of `like`. regressor: of the points, by default the hand's own joints."""
        prior = PosePrior(*(part.to(like) for part in PosePrior.of(hand)))
        return cls(Skeleton(hand, like, regressor), prior, joint_axes(hand).to(like), joint_limits().to(like))

    def to(self, dtype: torch.dtype) -> "Anatomy":
        prior = PosePrior(*(part.to(dtype) for part in self.prior))
        return Anatomy(self.skeleton.to(dtype), prior, self.axes.to(dtype), self.limits.to(dtype))


class Posterior:
    """E of n estimates, as squared residuals."""

    def __init__(self, anatomy: Anatomy, seen: Observation, noise: Noise):
        self.anatomy, self.seen, self.noise = anatomy, seen, noise
        self.box = seen.box()
        self.sigma = noise.points * self.box[:, 2]  # pixels

    def take(self, index) -> "Posterior":
        """That of some rows, or of rows repeated."""
        return Posterior(self.anatomy, self.seen.take(index), self.noise)

    def to(self, dtype: torch.dtype) -> "Posterior":
        return Posterior(self.anatomy.to(dtype), self.seen.to(dtype), self.noise)

    def points_cam(self, state: State) -> Float[Tensor, "n p 3"]:
        points = self.anatomy.skeleton(self.anatomy.prior.pose(state.z), state.beta)
        return (points - points[..., MIDDLE_MCP : MIDDLE_MCP + 1, :]) @ state.rotation.mT

    def residuals(self, state: State) -> tuple[Tensor, Tensor | None, Tensor]:
        """In standard deviations, before ρ: (n, 21, 2) in the image, (n, 21, 3) in space, (n, q) of what is known."""
        return self._residuals(state, self.points_cam(state))

    def _residuals(self, state: State, points: Float[Tensor, "n p 3"]) -> tuple[Tensor, Tensor | None, Tensor]:
        skeleton, prior, axes, limits = self.anatomy
        root_weight = self.seen.weight.sqrt()[..., None]
        image = (to_px(points[:, :N], state.place, self.seen.K) - self.seen.points_px) / self.sigma[:, None, None]
        space = None
        if self.seen.points_3d is not None:
            space = self._centered(points[:, -N:] - self.seen.points_3d) * root_weight
            space = space / points.new_tensor(self.noise.points_3d)
        excess = limit_excess(prior.pose(state.z), axes, limits).flatten(-2)
        size = (state.place[..., 2] - torch.log(self.box[:, 2] / CROP_FACTOR / EXTENT)) / SIZE_SPREAD
        beta = state.beta if self.seen.beta is None else (state.beta - self.seen.beta) / self.noise.shape
        known = [state.z, beta, excess / math.radians(SOFTNESS), size[..., None]]
        if self.seen.before is not None:
            known.append(state.since(self.seen.before) / self._steps(state))
        return image * root_weight, space, torch.cat(known, -1)

    def energy(self, state: State) -> Float[Tensor, " n"]:
        image, space, known = self.residuals(state)
        total = robust(image.square().sum(-1), self.noise.outlier).sum(-1) + known.square().sum(-1)
        if space is not None:
            total = total + robust(space.square().sum(-1), self.noise.outlier_3d).sum(-1)
        return total / 2

    def linearized(self, state: State) -> tuple[Float[Tensor, "n r"], Float[Tensor, "n r p"]]:
        """All residuals in a row and their derivatives by a step; ρ enters both as the weight √ρ'.

        The turn since the frame before is taken to be small: its derivative is that at none.
        """
        skeleton, prior, axes, _ = self.anatomy
        n, k = state.z.shape
        points, by_pose, by_beta = skeleton.with_jacobian(prior.pose(state.z), state.beta)
        by_hand = torch.cat([by_pose @ prior.basis.mT, by_beta], -1)  # (n, p, 3, k + 10)
        points, by_hand = (a - a[:, MIDDLE_MCP : MIDDLE_MCP + 1] for a in (points, by_hand))
        points, by_hand = points @ state.rotation.mT, state.rotation[:, None] @ by_hand
        by_hand = torch.cat([by_hand, -cross_matrix(points)], -1)  # a turn ω moves a point by ω × x
        by_point, by_place = _to_px_jacobian(points[:, :N], state.place, self.seen.K)
        by_step = torch.cat([by_point @ by_hand[:, :N], by_place], -1)

        image, space, known = self._residuals(state, points)
        root_weight = self.seen.weight.sqrt()[..., None]
        slope = 1 / (1 + image.square().sum(-1, keepdim=True) / self.noise.outlier**2)
        residual = [(image * slope).flatten(1)]
        rows = [(by_step * (slope * root_weight / self.sigma[:, None, None])[..., None]).flatten(1, 2)]
        if space is not None:
            slope = 1 / (1 + space.square().sum(-1, keepdim=True) / self.noise.outlier_3d**2)
            scale = slope * root_weight / points.new_tensor(self.noise.points_3d)
            by_space = self._centered(by_hand[:, -N:]) * scale[..., None]
            by_space = torch.cat([by_space, by_hand.new_zeros(n, N, 3, 3)], -1)  # they do not tell the place
            residual.append((space * slope).flatten(1))
            rows.append(by_space.flatten(1, 2))
        beyond = (known[:, k + 10 : k + 55] != 0)[..., None] / math.radians(SOFTNESS)
        by_known = known.new_zeros(n, known.shape[1], k + 16)
        by_known[:, : k + 10, : k + 10] = torch.eye(k + 10)
        if self.seen.beta is not None:
            by_known[:, k : k + 10, k : k + 10] /= self.noise.shape
        by_known[:, k + 10 : k + 55, :k] = beyond * (axes @ prior.basis.T.unflatten(0, (15, 3))).flatten(0, 1)
        by_known[:, k + 55, -1] = 1 / SIZE_SPREAD
        if self.seen.before is not None:
            by_known[:, k + 56 :] = torch.diag_embed(1 / self._steps(state))
        return torch.cat([*residual, known], 1), torch.cat([*rows, by_known], 1)

    def _centered(self, values: Float[Tensor, "n 21 ..."]) -> Float[Tensor, "n 21 ..."]:
        """Less their mean over the points, by weight."""
        share = self.seen.weight / self.seen.weight.sum(1, keepdim=True)
        share = share.view(*share.shape, *[1] * (values.ndim - 2))
        return values - (values * share).sum(1, keepdim=True)

    def _steps(self, state: State) -> Float[Tensor, "n p"]:
        """τ: standard deviations of the way from one frame to the next."""
        w, one = self.noise, torch.ones_like(self.sigma)[:, None]
        place = torch.cat([self.box[:, 2:], self.box[:, 2:], one], -1) * w.step_place
        sizes = ((state.z.shape[-1], w.step_pose), (10, w.step_shape), (3, w.step_turn))
        return torch.cat([*(one.expand(-1, size) * step for size, step in sizes), place], -1)


def robust(squared: Float[Tensor, "*n"], outlier: float) -> Float[Tensor, "*n"]:
    """Geman–McClure's ρ of a squared residual: the same where it is small, and never more than `outlier`²."""
    return squared / (1 + squared / outlier**2)


# ---- the camera


def to_px(
    points: Float[Tensor, "*n v 3"], place: Float[Tensor, "*n 3"], K: Float[Tensor, "*#n 3 3"] | None
) -> Float[Tensor, "*n v 2"]:
    """Points to pixels: by the pinhole K, or scaled orthographically without one."""
    if K is None:
        return place[..., None, :2] + place[..., None, 2:].exp() * points[..., :2]
    points = points + root_cam(place, K)[..., None, :]
    return project(torch.cat([points[..., :2], points[..., 2:].clamp(min=_NEAREST)], -1), K)


def root_cam(place: Float[Tensor, "*n 3"], K: Float[Tensor, "*#n 3 3"]) -> Float[Tensor, "*n 3"]:
    """The root in the camera frame, in meters."""
    depth = focal_length(K) * torch.exp(-place[..., 2:]).squeeze(-1)
    return unproject(place[..., None, :2], depth[..., None], K)[..., 0, :]


def _to_px_jacobian(
    points: Float[Tensor, "n v 3"], place: Float[Tensor, "n 3"], K: Float[Tensor, "n 3 3"] | None
) -> tuple[Float[Tensor, "n v 2 3"], Float[Tensor, "n v 2 3"]]:
    """Derivatives of `to_px` by the points and by the place."""
    if K is None:
        scale = place[:, None, 2:, None].exp()
        plane = torch.eye(3, dtype=points.dtype, device=points.device)[:2]
        by_place = torch.cat([plane[:, :2].expand(*points.shape[:2], 2, 2), scale * points[..., :2, None]], -1)
        return (scale * plane).expand(*points.shape[:2], 2, 3), by_place
    root = root_cam(place, K)
    depth = (points[..., 2] + root[:, None, 2]).clamp(min=_NEAREST)
    by_point = (K[:, None, :2] - to_px(points, place, K)[..., None] * K[:, None, 2:]) / depth[..., None, None]
    by_uv = root[:, 2, None, None] * torch.linalg.inv(K)[:, :, :2]  # a pixel more moves the root by z·K⁻¹
    return by_point, by_point @ torch.cat([by_uv, -root[..., None]], -1)[:, None]
