"""hand/skinning.py compiled for the CPU by numba, with its derivatives written out.

Torch computes the four large products. The rest are loops over sixteen bones and over the vertices, which would take
about a hundred small torch calls, each with more overhead than work.
"""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...support.jit import jit, parts
from ..files import J
from ..skinning import Rig

CHUNK = 32  # hands a thread


def skin(
    rig: Rig,
    pose: Float[Tensor, "n 45"],
    shape: Float[Tensor, "n 10"],
    rotation: Float[Tensor, "n 3 3"] | None,
    placement: Float[Tensor, "n 3 4"] | None,
) -> tuple[Float[Tensor, "n v 3"], Float[Tensor, "n 21 3"]]:
    """skinning.skin; differentiable once.

    Without derivatives a few hands at a time, whose affine maps stay in the cache.
    """
    inputs, chunk = (pose, shape, rotation, placement), CHUNK * torch.get_num_threads()
    differentiated = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in inputs)
    if len(pose) <= chunk or differentiated:
        return _Skin.apply(*inputs, rig)
    bounds = [slice(k, k + chunk) for k in range(0, len(pose), chunk)]
    some = [_Skin.apply(*(None if x is None else x[part] for x in inputs), rig) for part in bounds]
    vertices, regressed = zip(*some, strict=True)
    return torch.cat(vertices), torch.cat(regressed)


class _Skin(torch.autograd.Function):
    @staticmethod
    def forward(ctx, pose, shape, rotation, placement, rig):
        n, v = len(pose), len(rig.template)
        new = pose.new_empty
        identity = torch.eye(3, 4, dtype=pose.dtype).expand(n, 3, 4)
        wrist = identity[..., :3] if rotation is None else rotation
        placement = identity if placement is None else placement
        turns = new(n, J, 3, 3)  # R − I of every joint, the wrist first
        joints, bones = new(n, J, 3), new(n, J, 3, 4)
        coefficients, placed = new(n, 145), new(n, 12, J)
        constants = (rig.joint_template[None], rig.joint_shapes[None])
        parts(_all_bones, n, pose, shape, wrist, placement, *constants, turns, joints, bones, coefficients, placed)
        rest = torch.addmm(rig.template.T.flatten(), coefficients, rig.blend_shapes).view(n, 3, v)
        maps = (placed.view(n * 12, J) @ rig.weights.T).view(n, 12, v)  # one affine map per vertex
        coordinates, vertices = new(n, 3, v), new(n, v, 3)
        parts(_apply, n, maps, rest, coordinates, vertices)
        regressed = (coordinates.view(n * 3, v) @ rig.joint_regressor.T).view(n, 3, 21).mT.contiguous()
        ctx.save_for_backward(pose, placement, turns, joints, bones, rest, maps)
        ctx.rig = rig
        return vertices, regressed

    @staticmethod
    @once_differentiable
    def backward(ctx, of_vertices, of_regressed):
        pose, placement, turns, joints, bones, rest, maps = ctx.saved_tensors
        rig, n, v = ctx.rig, len(pose), len(ctx.rig.template)
        pulls = of_vertices.mT.reshape(n * 3, v).addmm(of_regressed.mT.reshape(n * 3, 21), rig.joint_regressor)
        of_rest, of_maps = torch.empty_like(rest), torch.empty_like(maps)
        parts(_apply_back, n, maps, rest, pulls.view(n, 3, v), of_rest, of_maps)
        of_placed = (of_maps.view(n * 12, v) @ rig.weights).view(n, 12, J)
        of_coefficients = of_rest.view(n, 3 * v) @ rig.blend_shapes.T
        of_pose, of_shape = torch.empty_like(pose), pose.new_empty(n, 10)
        of_wrist, of_placement = pose.new_empty(n, 3, 3), pose.new_zeros(n, 3, 4)
        inputs = (pose, placement, rig.joint_shapes[None], turns, joints, bones, of_placed, of_coefficients)
        parts(_all_bones_back, n, *inputs, of_pose, of_shape, of_wrist, of_placement)
        _, _, rotated, moved, _ = ctx.needs_input_grad
        return of_pose, of_shape, of_wrist if rotated else None, of_placement if moved else None, None


@jit
def _apply(maps, rest, coordinates, vertices):
    for n in range(len(maps)):
        x, y, z = rest[n]
        for row in range(3):
            ax, ay, az, b = maps[n, 4 * row : 4 * row + 4]
            out = coordinates[n, row]
            for v in range(len(out)):
                out[v] = ax[v] * x[v] + ay[v] * y[v] + az[v] * z[v] + b[v]
            vertices[n, :, row] = out


@jit
def _apply_back(maps, rest, pulls, of_rest, of_maps):
    for n in range(len(maps)):
        px, py, pz = pulls[n]
        for column in range(3):
            ax, ay, az = maps[n, column], maps[n, 4 + column], maps[n, 8 + column]
            here, out = rest[n, column], of_rest[n, column]
            for v in range(len(out)):
                out[v] = ax[v] * px[v] + ay[v] * py[v] + az[v] * pz[v]
            for row in range(3):
                pull, of_map = pulls[n, row], of_maps[n, 4 * row + column]
                for v in range(len(out)):
                    of_map[v] = pull[v] * here[v]
        for row in range(3):
            of_maps[n, 4 * row + 3] = pulls[n, row]


@jit
def _all_bones(
    pose, shape, rotation, placement, joint_template, joint_shapes, turns, joints, bones, coefficients, placed
):
    for n in range(len(pose)):
        inputs = (pose[n], shape[n], rotation[n], placement[n], joint_template[0], joint_shapes[0])
        _pose_bones(*inputs, turns[n], joints[n], bones[n], coefficients[n], placed[n])


@jit
def _all_bones_back(
    pose, placement, joint_shapes, turns, joints, bones, of_placed, of_coefficients, of_pose, of_shape, of_wrist,
    of_placement,
):  # fmt: skip
    for n in range(len(pose)):
        inputs = (pose[n], placement[n], joint_shapes[0], turns[n], joints[n], bones[n])
        _pose_bones_back(
            *inputs, of_placed[n], of_coefficients[n], of_pose[n], of_shape[n], of_wrist[n], of_placement[n]
        )


@jit
def _pose_bones(
    pose, shape, rotation, placement, joint_template, joint_shapes, turns, joints, bones, coefficients, placed
):
    """Computes everything of one hand except its vertices."""
    for row in range(3):
        for column in range(3):
            turns[0, row, column] = rotation[row, column] - (row == column)
    coefficients[:10] = shape
    for j in range(1, J):
        _turn(pose[3 * j - 3 : 3 * j], turns[j])
        coefficients[9 * j + 1 : 9 * j + 10] = turns[j].reshape(9)
    for j in range(J):
        for row in range(3):
            joints[j, row] = joint_template[j, row]
            for k in range(10):
                joints[j, row] += shape[k] * joint_shapes[k, 3 * j + row]
        for row in range(3):
            for column in range(3):
                bones[j, row, column] = turns[j, row, column] + (row == column)
            bones[j, row, 3] = -_shift(turns, joints, j, row)
    for j in range(1, J):  # multiplies the joints' own transforms down each chain
        own, above = bones[j].copy(), bones[_parent(j)]
        _product(above, own, bones[j])
        bones[j, :, 3] += above[:, 3]
    here = np.empty((3, 4), bones.dtype)
    for j in range(J):  # placing the bones places the mesh, since the weights of a vertex sum to 1
        _product(placement, bones[j], here)
        here[:, 3] += placement[:, 3]
        placed[:, j] = here.reshape(12)


@jit
def _pose_bones_back(
    pose, placement, joint_shapes, turns, joints, bones, of_placed, of_coefficients, of_pose, of_shape, of_wrist,
    of_placement,
):  # fmt: skip
    of_bones, of_turns, of_joints = np.empty_like(bones), np.empty_like(turns), np.empty_like(joints)
    back = np.ascontiguousarray(placement[:, :3].T)
    for j in range(J):
        here = np.ascontiguousarray(of_placed[:, j]).reshape(3, 4)
        for row in range(3):
            for column in range(4):
                for k in range(3):
                    of_placement[row, k] += here[row, column] * bones[j, k, column]
            of_placement[row, 3] += here[row, 3]
        _product(back, here, of_bones[j])
    _bones_back(turns, joints, bones, of_bones, of_turns, of_joints)
    of_wrist[:] = of_turns[0]
    for k in range(10):
        of_shape[k] = of_coefficients[k]
        for j in range(J):
            for row in range(3):
                of_shape[k] += joint_shapes[k, 3 * j + row] * of_joints[j, row]
    for j in range(1, J):  # bones and blend shapes both turn with a joint
        of_turns[j] += of_coefficients[9 * j + 1 : 9 * j + 10].reshape(3, 3)
        _turn_back(pose[3 * j - 3 : 3 * j], of_turns[j], of_pose[3 * j - 3 : 3 * j])


@jit
def _half_angle(x, y, z):
    """Returns cos(θ/2), sin(θ/2)/θ, and the derivative of the latter by θ, divided by θ."""
    squared = x * x + y * y + z * z
    if squared < 1e-4:  # Taylor series, since the differences below would cancel
        return 1 - squared / 8 + squared**2 / 384, 0.5 - squared / 48 + squared**2 / 3840, -1 / 24 + squared / 960
    angle = math.sqrt(squared)
    cos, ratio = math.cos(angle / 2), math.sin(angle / 2) / angle
    return cos, ratio, (cos / 2 - ratio) / squared


@jit
def _turn(pose, turn):
    """R − I = 2 c [s]× + 2 [s]×² with c = cos(θ/2), s = sin(θ/2) a, a being the axis (hand/rotations.py)."""
    x, y, z = pose
    c, ratio, _ = _half_angle(x, y, z)
    sx, sy, sz = ratio * x, ratio * y, ratio * z
    turn[0, 0], turn[1, 1], turn[2, 2] = -2 * (sy * sy + sz * sz), -2 * (sx * sx + sz * sz), -2 * (sx * sx + sy * sy)
    turn[0, 1], turn[1, 0] = 2 * (sx * sy - c * sz), 2 * (sx * sy + c * sz)
    turn[0, 2], turn[2, 0] = 2 * (sx * sz + c * sy), 2 * (sx * sz - c * sy)
    turn[1, 2], turn[2, 1] = 2 * (sy * sz - c * sx), 2 * (sy * sz + c * sx)


@jit
def _turn_back(pose, g, of_pose):
    x, y, z = pose
    c, ratio, slope = _half_angle(x, y, z)
    sx, sy, sz = ratio * x, ratio * y, ratio * z
    trace = g[0, 0] + g[1, 1] + g[2, 2]
    wx, wy, wz = g[2, 1] - g[1, 2], g[0, 2] - g[2, 0], g[1, 0] - g[0, 1]
    # The gradient of ⟨G, R − I⟩ = 2 c w·s + 2 (sᵀ G s − |s|² tr G).
    of_sx = 2 * (c * wx + 2 * (g[0, 0] - trace) * sx + (g[0, 1] + g[1, 0]) * sy + (g[0, 2] + g[2, 0]) * sz)
    of_sy = 2 * (c * wy + 2 * (g[1, 1] - trace) * sy + (g[0, 1] + g[1, 0]) * sx + (g[1, 2] + g[2, 1]) * sz)
    of_sz = 2 * (c * wz + 2 * (g[2, 2] - trace) * sz + (g[0, 2] + g[2, 0]) * sx + (g[1, 2] + g[2, 1]) * sy)
    of_c = 2 * (wx * sx + wy * sy + wz * sz)
    along = slope * (of_sx * x + of_sy * y + of_sz * z) - ratio / 2 * of_c
    of_pose[0], of_pose[1], of_pose[2] = ratio * of_sx + along * x, ratio * of_sy + along * y, ratio * of_sz + along * z


@jit
def _parent(j):
    return 0 if j % 3 == 1 else j - 1  # five chains of three joints start at the wrist


@jit
def _product(a, b, c):
    """c = A b for the three columns A of a and the four of b."""
    for row in range(3):
        for column in range(4):
            c[row, column] = a[row, 0] * b[0, column] + a[row, 1] * b[1, column] + a[row, 2] * b[2, column]


@jit
def _shift(turns, joints, j, row):
    """Returns a row of T j, where T is R − I of a joint and j its position."""
    return turns[j, row, 0] * joints[j, 0] + turns[j, row, 1] * joints[j, 1] + turns[j, row, 2] * joints[j, 2]


@jit
def _bones_back(turns, joints, bones, of_bones, of_turns, of_joints):
    """Differentiates A = A' (I + T), b = b' − A' T j: from the transforms (A | b) to T and the joints' positions j."""
    own = np.zeros((3, 4), bones.dtype)  # the gradient of one joint's own transform (T | −T j)
    for j in range(J - 1, -1, -1):
        here = of_bones[j]
        if j == 0:
            own[:] = here
        else:
            above, of_above = bones[_parent(j)], of_bones[_parent(j)]
            for row in range(3):
                for column in range(4):
                    x, y, z = here[0, column], here[1, column], here[2, column]
                    own[row, column] = above[0, row] * x + above[1, row] * y + above[2, row] * z
                shift = _shift(turns, joints, j, row)
                for line in range(3):
                    pull = here[line, row] - here[line, 3] * shift
                    for column in range(3):
                        pull += here[line, column] * turns[j, row, column]
                    of_above[line, row] += pull
            of_above[:, 3] += here[:, 3]
        for row in range(3):
            x, y, z = own[0, 3], own[1, 3], own[2, 3]
            of_joints[j, row] = -(turns[j, 0, row] * x + turns[j, 1, row] * y + turns[j, 2, row] * z)
            for column in range(3):
                of_turns[j, row, column] = own[row, column] - own[row, 3] * joints[j, column]
