"""The joints of a hand without its mesh, exactly, and their derivatives: what `fit` and `refine` evaluate in each step.

A joint is a fixed mixture of skinned vertices, so it is also a mixture of the bones' motions:

    J_i = Σ_k Σ_v 𝒥_iv w_vk [R_k, t_k − R_k j_k] [T̄_v + B_S(β)_v + B_P(θ)_v; 1]

The sum over vertices is linear in (1, β, R − I) and is done once: less than a hundred pairs (i, k) stand for 778
vertices. Derivatives are written out, because automatic ones cost ten times as much at this size.
"""

from copy import copy

import torch
from jaxtyping import Float
from torch import Tensor

from ..camera import SCALE_UNIT, rotation_jacobian
from ..hand import HandModel
from ..hand.files import PARENTS
from ..parameters import MeshParameters
from ..support import roma

_NEGLIGIBLE = 1e-7  # share of a bone in a joint; leaving it out moves the joint by less than a micrometer


class Skeleton:
    """`HandModel(pose, shape).joints` at a fraction of the cost: 21 joints in meters, C21 order.

    regressor: of other points than the hand's joints, such as a landmark set's (hand/landmark_sets.py).
    """

    def __init__(self, hand: HandModel, like: Tensor, regressor: Float[Tensor, "p 778"] | None = None):
        def constant(value: Tensor) -> Tensor:
            return value.to(like)

        regressor = constant(hand.joint_regressor if regressor is None else regressor)
        weights = constant(hand.weights)
        share = torch.einsum("iv,vk->ik", regressor, weights)
        self.joint, self.bone = (share.abs() > _NEGLIGIBLE).nonzero(as_tuple=True)  # the pairs (i, k)
        self.share = share[self.joint, self.bone][:, None, None]
        mixture = regressor[self.joint] * weights[:, self.bone].T  # (pairs, 778)
        blend = torch.einsum("pv,bcv->pcb", mixture, constant(hand.blend_shapes).view(145, 3, -1))
        # Columns: 1, then the ten shapes; a product with [1, β] gives the shaped hand.
        self.rest = torch.cat([(mixture @ constant(hand.template))[..., None], blend[..., :10]], -1)
        shapes = constant(hand.joint_shapes).view(10, 16, 3).permute(1, 2, 0)
        self.joints = torch.cat([constant(hand.joint_template)[..., None], shapes], -1)  # (16, 3, 11)
        self.correctives = blend[..., 10:].contiguous()  # (pairs, 3, 135)
        self.count = len(regressor)
        of_joint = torch.nn.functional.one_hot(self.joint, self.count).T.to(like)  # (p, pairs)
        # (p, 15, pairs): which pairs of a point a joint carries along, and (p, 15) how much of the point that is
        self.carried = of_joint[:, None] * _descendants().to(like)[:, self.bone]
        self.carried_share = self.carried @ self.share[:, 0, 0]

    def to(self, dtype: torch.dtype) -> "Skeleton":
        other = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor) and value.is_floating_point():
                setattr(other, name, value.to(dtype))
        return other

    def __call__(
        self, pose: Float[Tensor, "*batch 45"], shape: Float[Tensor, "*batch 10"]
    ) -> Float[Tensor, "*batch p 3"]:
        one_shape = torch.cat([torch.ones_like(shape[..., :1]), shape], -1)[..., None, :, None]
        parts = self._posed(_local(pose), self.rest @ one_shape, self.joints @ one_shape)[0]
        return self._summed(parts[..., 0], -2)

    def with_jacobian(
        self, pose: Float[Tensor, "*batch 45"], shape: Float[Tensor, "*batch 10"]
    ) -> tuple[Float[Tensor, "*batch p 3"], Float[Tensor, "*batch p 3 45"], Float[Tensor, "*batch p 3 10"]]:
        """Joints and their derivatives by pose and by shape."""
        local = _local(pose)
        one_shape = torch.cat([torch.ones_like(shape[..., :1]), shape], -1)[..., None]
        lead = pose.shape[:-1]
        columns = self.joints.expand(*lead, -1, -1, -1)
        parts, rotations, positions = self._posed(local, self.rest.expand(*lead, -1, -1, -1), columns)
        by_shape = self._summed(parts[..., 1:], -3)
        parts = (parts @ one_shape[..., None, :, :])[..., 0]  # (..., pairs, 3)
        centers = (positions @ one_shape[..., None, :, :])[..., 1:, :, 0]

        # A small turn dθ of joint m is the turn ω = G_m dθ of all it carries: dx = ω × (x − share·t_m).
        left = _left_jacobian(pose.unflatten(-1, (15, 3)))
        turn = (rotations[..., list(PARENTS[1:]), :, :] @ left).unsqueeze(-4)  # (..., 1, 15, 3, dθ)
        arm = (parts.mT @ self.carried.flatten(0, 1).T).unflatten(-1, (self.count, 15))  # (..., 3, p, 15)
        arm = arm - self.carried_share * centers.mT[..., None, :]
        x, y, z = arm[..., None].unbind(-4)
        u, v, w = turn.unbind(-2)
        by_pose = torch.stack([v * z - w * y, w * x - u * z, u * y - v * x], -3)  # (..., p, 3, 15, dθ)

        # The correctives follow R_m − I, whose derivative is [J_l dθ]× R_m.
        change = cross_matrix(left.mT) @ local[..., None, :, :]  # (..., 15, dθ, 3, 3)
        shift = torch.einsum("pcma,...mba->...pcmb", self.correctives.unflatten(-1, (15, 9)), change.flatten(-2))
        shift = self._summed(rotations[..., self.bone, :, :] @ shift.flatten(-2), -3)
        return self._summed(parts, -2), by_pose.flatten(-2) + shift, by_shape

    def _summed(self, of_pairs: Tensor, axis: int) -> Tensor:
        """The sum over the bones k: from pairs (i, k) along an axis to points i."""
        shape = list(of_pairs.shape)
        shape[axis] = self.count
        return of_pairs.new_zeros(shape).index_add_(axis, self.joint, of_pairs)

    def _posed(
        self, local: Float[Tensor, "*batch 15 3 3"], rest: Tensor, joints: Tensor
    ) -> tuple[Tensor, Float[Tensor, "*batch 16 3 3"], Tensor]:
        """Columns of the pairs (…, pairs, 3, c), rotations, and columns of the positions (…, 16, 3, c) of the bones.

        The first column is a point, the others are directions; all move alike, being linear in the shape.
        """
        identity = torch.eye(3, dtype=local.dtype, device=local.device)
        correction = (local - identity).flatten(-3) @ self.correctives.flatten(0, 1).T
        correction = correction.unflatten(-1, (-1, 3))[..., None]
        rest = torch.cat([rest[..., :1] + correction, rest[..., 1:].expand(*local.shape[:-3], -1, -1, -1)], -1)
        # Level by level along five chains of three, as in hand/model.py.
        chains, turns = joints[..., 1:, :, :].unflatten(-3, (5, 3)), local.unflatten(-3, (5, 3))
        r = identity.expand(*local.shape[:-3], 1, 3, 3)
        t = parent = joints[..., :1, :, :]
        levels = []
        for level in range(3):
            joint = chains[..., level, :, :]
            t = r @ (joint - parent) + t
            r, parent = r @ turns[..., level, :, :], joint
            levels.append((r, t))
        r, t = (torch.stack(parts, -3).flatten(-4, -3) for parts in zip(*levels, strict=True))
        r = torch.cat([identity.expand(*r.shape[:-3], 1, 3, 3), r], -3)
        t = torch.cat([joints[..., :1, :, :].expand(*t.shape[:-3], 1, -1, -1), t], -3)
        offset = (t - r @ joints)[..., self.bone, :, :]
        return r[..., self.bone, :, :] @ rest + self.share * offset, r, t


def projected(skeleton: Skeleton, h: Float[Tensor, "b 63"]) -> tuple[Float[Tensor, "b p 3"], Float[Tensor, "b 2*p 63"]]:
    """The points of h in crop coordinates (`posed_skeleton`), and the derivatives of their x and y by h."""
    parts = MeshParameters.split(h)
    points, by_pose, by_shape = skeleton.with_jacobian(parts.pose, parts.shape)
    matrix, offset = parts.camera.matrix().split([3, 1], -1)
    by_quaternion = SCALE_UNIT * parts.scale[..., None, None] * rotation_jacobian(parts.quaternion)
    turned = points @ matrix.mT
    columns = [
        matrix[:, None] @ torch.cat([by_pose, by_shape], -1),
        (points[:, None] @ by_quaternion.mT).permute(0, 2, 3, 1),
        (turned / parts.scale[..., None])[..., None],
        torch.eye(3).to(h).expand(*turned.shape[:2], 3, 3),
    ]
    return turned + offset.mT, torch.cat(columns, -1)[:, :, :2].flatten(1, 2)


def _local(pose: Float[Tensor, "*batch 45"]) -> Float[Tensor, "*batch 15 3 3"]:
    return roma.rotvec_to_rotmat(pose.unflatten(-1, (15, 3)))


def _descendants() -> Float[Tensor, "15 16"]:
    """1 where bone k hangs from joint m, or is its own."""
    carries = torch.zeros(15, 16)
    for m in range(15):
        carries[m, m + 1 : m // 3 * 3 + 4] = 1
    return carries


def cross_matrix(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """[v]×, so that [v]× w = v × w."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


def _left_jacobian(rotvec: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """J_l of SO(3): exp(θ + dθ) ≈ exp(J_l(θ) dθ) exp(θ)."""
    squared = rotvec.square().sum(-1)[..., None, None].clamp(min=1e-8)  # below, the limits at 0 hold to 1e-9
    angle, cross = squared.sqrt(), cross_matrix(rotvec)
    identity = torch.eye(3, dtype=rotvec.dtype, device=rotvec.device)
    return identity + (1 - angle.cos()) / squared * cross + (angle - angle.sin()) / (squared * angle) * (cross @ cross)
