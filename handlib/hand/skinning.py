"""Linear blend skinning: pose and shape to the vertices of a mesh, in plain torch. Loper et al., "SMPL", 2015."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from .files import J
from .joints import MANO16
from .rotations import rotmat_minus_identity


class Rig(NamedTuple):
    """The constants of a hand that skinning needs, for all vertices or for some."""

    template: Float[Tensor, "v 3"]
    blend_shapes: Float[Tensor, "145 3*v"]  # 10 of shape, 135 of pose; a row is all x, then all y, then all z
    weights: Float[Tensor, "v 16"]
    joint_template: Float[Tensor, "16 3"]
    joint_shapes: Float[Tensor, "10 48"]  # the rest joints are linear in the shape
    joint_regressor: Float[Tensor, "21 v"]


def skin(
    rig: Rig,
    pose: Float[Tensor, "n 45"],
    shape: Float[Tensor, "n 10"],
    rotation: Float[Tensor, "n 3 3"] | None,
    placement: Float[Tensor, "n 3 4"] | None,
) -> tuple[Float[Tensor, "n v 3"], Float[Tensor, "n 21 3"]]:
    """Computes the posed vertices and the joints regressed from them, in meters.

    Internally, vertices are all x, then all y, then all z. Every operation on the mesh is then one large matrix product
    or runs along memory, which makes it fast.
    """
    n, v = pose.shape[0], rig.template.shape[0]
    turns = rotmat_minus_identity(pose.reshape(n, 15, 3))
    coefficients = torch.cat([shape, turns.flatten(1)], 1)
    rest = torch.addmm(rig.template.T.flatten(), coefficients, rig.blend_shapes)  # T̄ + B_S(β) + B_P(θ)
    rest_joints = torch.addmm(rig.joint_template.flatten(), shape, rig.joint_shapes)

    bones = bone_transforms(turns, rest_joints.view(n, J, 3), rotation)
    # Placing the bones places the mesh, since the weights of a vertex sum to 1.
    bones = bones[:, :, :3] if placement is None else placement[:, None] @ bones
    columns = bones.permute(3, 0, 2, 1).reshape(4 * n * 3, J)
    along_x, along_y, along_z, offset = (columns @ rig.weights.T).view(4, n, 3, v)  # one affine map per vertex
    x, y, z = rest.view(n, 3, v).split(1, 1)
    coordinates = offset.addcmul(along_x, x).addcmul(along_y, y).addcmul(along_z, z)
    return _as_points(coordinates), _as_points(coordinates @ rig.joint_regressor.T)


def _as_points(coordinates: Float[Tensor, "n 3 m"]) -> Float[Tensor, "n m 3"]:
    """Transposes by copying, so that the mesh and its gradient are contiguous."""
    return torch.stack(coordinates.unbind(1), -1)


def bone_transforms(
    turns: Float[Tensor, "n 15 3 3"], joints: Float[Tensor, "n 16 3"], rotation: Float[Tensor, "n 3 3"] | None
) -> Float[Tensor, "n 16 4 4"]:
    """Computes forward kinematics: for each bone the transform of a point of the rest pose, from R − I of the joints.

    A joint at j rotates everything below it in the tree about itself: x ↦ x + (R − I)(x − j). These 4×4 matrices are
    multiplied down MANO's tree: five chains of three joints start at the wrist, so three levels suffice.
    """
    assert MANO16.joints[1:4] == ("index1", "index2", "index3")  # chains are contiguous in MANO's order
    n = turns.shape[0]
    identity = torch.eye(4, dtype=turns.dtype, device=turns.device)
    wrist = turns.new_zeros(n, 3, 3) if rotation is None else rotation - identity[:3, :3]
    turns = torch.cat([wrist[:, None], turns], 1).flatten(0, 1)
    shifts = torch.bmm(-turns, joints.reshape(n * J, 3, 1))
    moves = (F.pad(torch.cat([turns, shifts], -1), (0, 0, 0, 1)) + identity).view(n, J, 4, 4)
    # One batch of 5 n chains: torch.bmm has much less overhead than @ on more dimensions.
    first, second, third = moves[:, 1:].reshape(n * 5, 3, 4, 4).unbind(1)
    first = torch.bmm(moves[:, :1].expand(n, 5, 4, 4).reshape(n * 5, 4, 4), first)
    second = torch.bmm(first, second)
    third = torch.bmm(second, third)
    fingers = torch.stack([first, second, third], 1).view(n, 15, 4, 4)
    return torch.cat([moves[:, :1], fingers], 1)
