"""The same as skinning.py, compiled for the CPU by numba, with its derivatives written out.

Both products with the blend shapes are torch's; the rest is loops over sixteen bones and the vertices, which torch can
only say in some hundred small steps, each dearer than its work.
"""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from .files import J
from .jit import each, jit
from .skinning import Rig


def skin(
    rig: Rig,
    pose: Float[Tensor, "n 45"],
    shape: Float[Tensor, "n 10"],
    rotation: Float[Tensor, "n 3 3"] | None,
    placement: Float[Tensor, "n 3 4"] | None,
) -> tuple[Float[Tensor, "n v 3"], Float[Tensor, "n 21 3"]]:
    """skinning.skin; differentiable once."""
    return _Skin.apply(pose, shape, rotation, placement, rig)


class _Skin(torch.autograd.Function):
    @staticmethod
    def forward(ctx, pose, shape, rotation, placement, rig):
        n, v = len(pose), len(rig.template)
        coefficients, turns = pose.new_empty(n, 145), pose.new_empty(n, J, 3, 3)  # R − I of every joint, wrist first
        identity = torch.eye(3, 4, dtype=pose.dtype)[None]
        wrist = identity[..., :3] if rotation is None else rotation
        place = identity if placement is None else placement
        each(_turn, n, pose.view(n, 15, 3), shape, wrist, turns, coefficients)
        rest = torch.addmm(rig.template.T.flatten(), coefficients, rig.blend_shapes).view(n, 3, v)
        joints, bones = pose.new_empty(n, J, 3), pose.new_empty(n, J, 3, 4)
        vertices, regressed = pose.new_empty(n, v, 3), pose.new_empty(n, 21, 3)
        fixed = (x[None] for x in (rig.joint_template, rig.joint_shapes, rig.weights, rig.joint_regressor))
        each(_skin, n, shape, turns, place, *fixed, rest, joints, bones, vertices, regressed)
        ctx.save_for_backward(pose, turns, place, joints, rest, bones)
        ctx.rig = rig
        return vertices, regressed

    @staticmethod
    @once_differentiable
    def backward(ctx, of_vertices, of_regressed):
        pose, turns, place, joints, rest, bones = ctx.saved_tensors
        rig, n = ctx.rig, len(pose)
        of_rest, of_turns, of_joints = torch.empty_like(rest), torch.empty_like(turns), torch.empty_like(joints)
        of_place = pose.new_zeros(n, 3, 4)
        fixed = (x[None] for x in (rig.weights, rig.joint_regressor))
        given = (turns, place, joints, rest, bones, of_vertices, of_regressed)
        each(_skin_back, n, *fixed, *given, of_rest, of_turns, of_place, of_joints)
        of_coefficients = of_rest.view(n, -1) @ rig.blend_shapes.T
        of_pose, of_shape = torch.empty_like(pose), pose.new_empty(n, 10)
        given = (pose.view(n, 15, 3), rig.joint_shapes[None], of_joints, of_turns, of_coefficients)
        each(_turn_back, n, *given, of_pose.view(n, 15, 3), of_shape)
        _, _, rotated, placed, _ = ctx.needs_input_grad
        return of_pose, of_shape, of_turns[:, 0] if rotated else None, of_place if placed else None, None


@jit
def _half_angle(x, y, z):
    """cos(θ/2), sin(θ/2)/θ and the derivative of the latter by θ, over θ."""
    squared = x * x + y * y + z * z
    if squared < 1e-4:  # by their series: the differences below would cancel
        return 1 - squared / 8 + squared**2 / 384, 0.5 - squared / 48 + squared**2 / 3840, -1 / 24 + squared / 960
    angle = math.sqrt(squared)
    cos, ratio = math.cos(angle / 2), math.sin(angle / 2) / angle
    return cos, ratio, (cos / 2 - ratio) / squared


@jit
def _turn(pose, shape, rotation, turns, coefficients):
    """R − I = 2 c [s]× + 2 [s]×² with c = cos(θ/2), s = sin(θ/2) a, a being the axis (rotations.py)."""
    for row in range(3):
        for column in range(3):
            turns[0, row, column] = rotation[row, column] - (row == column)
    coefficients[:10] = shape
    for n in range(len(pose)):
        x, y, z = pose[n]
        c, ratio, _ = _half_angle(x, y, z)
        sx, sy, sz = ratio * x, ratio * y, ratio * z
        turn = turns[n + 1]
        turn[0, 0], turn[1, 1], turn[2, 2] = (
            -2 * (sy * sy + sz * sz),
            -2 * (sx * sx + sz * sz),
            -2 * (sx * sx + sy * sy),
        )
        turn[0, 1], turn[1, 0] = 2 * (sx * sy - c * sz), 2 * (sx * sy + c * sz)
        turn[0, 2], turn[2, 0] = 2 * (sx * sz + c * sy), 2 * (sx * sz - c * sy)
        turn[1, 2], turn[2, 1] = 2 * (sy * sz - c * sx), 2 * (sy * sz + c * sx)
        coefficients[10 + 9 * n : 19 + 9 * n] = turn.reshape(9)


@jit
def _turn_back(pose, joint_shapes, of_joints, of_turns, of_coefficients, of_pose, of_shape):
    """of_turns: what the bones ask of the turns; of_coefficients: what the blend shapes ask of shape and turns."""
    flat = of_joints.reshape(3 * J)
    for k in range(10):
        of_shape[k] = of_coefficients[k]
        for i in range(3 * J):
            of_shape[k] += joint_shapes[k, i] * flat[i]
    for n in range(len(pose)):
        x, y, z = pose[n]
        c, ratio, slope = _half_angle(x, y, z)
        sx, sy, sz = ratio * x, ratio * y, ratio * z
        g = of_turns[n + 1] + of_coefficients[10 + 9 * n : 19 + 9 * n].reshape(3, 3)
        trace = g[0, 0] + g[1, 1] + g[2, 2]
        wx, wy, wz = g[2, 1] - g[1, 2], g[0, 2] - g[2, 0], g[1, 0] - g[0, 1]
        # Of 2 c w·s + 2 (sᵀ G s − |s|² tr G), which is ⟨G, R − I⟩.
        of_sx = 2 * (c * wx + 2 * (g[0, 0] - trace) * sx + (g[0, 1] + g[1, 0]) * sy + (g[0, 2] + g[2, 0]) * sz)
        of_sy = 2 * (c * wy + 2 * (g[1, 1] - trace) * sy + (g[0, 1] + g[1, 0]) * sx + (g[1, 2] + g[2, 1]) * sz)
        of_sz = 2 * (c * wz + 2 * (g[2, 2] - trace) * sz + (g[0, 2] + g[2, 0]) * sx + (g[1, 2] + g[2, 1]) * sy)
        of_c = 2 * (wx * sx + wy * sy + wz * sz)
        along = slope * (of_sx * x + of_sy * y + of_sz * z) - ratio / 2 * of_c
        of_pose[n, 0] = ratio * of_sx + along * x
        of_pose[n, 1] = ratio * of_sy + along * y
        of_pose[n, 2] = ratio * of_sz + along * z


@jit
def _parent(j):
    return 0 if j % 3 == 1 else j - 1  # five chains of three hang from the wrist


@jit
def _skin(
    shape, turns, place, joint_template, joint_shapes, weights, regressor, rest, joints, bones, vertices, regressed
):
    for j in range(J):
        for row in range(3):
            joints[j, row] = joint_template[j, row]
            for k in range(10):
                joints[j, row] += shape[k] * joint_shapes[k, 3 * j + row]
        for row in range(3):
            for column in range(3):
                bones[j, row, column] = turns[j, row, column] + (row == column)
            bones[j, row, 3] = -_shift(turns, joints, j, row)
    for j in range(1, J):  # from each joint's own move to the whole chain's
        own, above = bones[j].copy(), bones[_parent(j)]
        _product(above, own, bones[j])
        bones[j, :, 3] += above[:, 3]
    placed = np.empty((J, 3, 4), bones.dtype)
    for j in range(J):
        _product(place, bones[j], placed[j])
        placed[j, :, 3] += place[:, 3]
    blend, flat = np.empty(12, bones.dtype), placed.reshape(J, 12)
    regressed[:] = 0
    for v in range(len(weights)):
        _blend(weights, flat, v, blend)
        x, y, z = rest[0, v], rest[1, v], rest[2, v]
        for row in range(3):
            k = 4 * row
            vertices[v, row] = blend[k] * x + blend[k + 1] * y + blend[k + 2] * z + blend[k + 3]
    for j in range(21):
        for v in range(len(weights)):
            weight = regressor[j, v]
            if weight != 0:
                for row in range(3):
                    regressed[j, row] += weight * vertices[v, row]


@jit
def _product(a, b, c):
    """c = A b for the three columns A of a and the four of b."""
    for row in range(3):
        for column in range(4):
            c[row, column] = a[row, 0] * b[0, column] + a[row, 1] * b[1, column] + a[row, 2] * b[2, column]


@jit
def _shift(turns, joints, j, row):
    """A row of T j, T being R − I of a joint and j its place."""
    return turns[j, row, 0] * joints[j, 0] + turns[j, row, 1] * joints[j, 1] + turns[j, row, 2] * joints[j, 2]


@jit
def _blend(weights, bones, v, blend):
    """The affine map of a vertex: the mean of its bones', by its weights."""
    blend[:] = 0
    for j in range(J):
        weight = weights[v, j]
        if weight != 0:
            for k in range(12):
                blend[k] += weight * bones[j, k]


@jit
def _skin_back(
    weights,
    regressor,
    turns,
    place,
    joints,
    rest,
    bones,
    of_vertices,
    of_regressed,
    of_rest,
    of_turns,
    of_place,
    of_joints,
):
    of_bones = np.zeros((J, 3, 4), bones.dtype)
    blend, outer = np.empty(12, bones.dtype), np.empty((3, 4), bones.dtype)
    placed = np.empty((J, 3, 4), bones.dtype)
    for j in range(J):
        _product(place, bones[j], placed[j])
        placed[j, :, 3] += place[:, 3]
    flat, of_flat, outer_flat = placed.reshape(J, 12), of_bones.reshape(J, 12), outer.reshape(12)
    pulls = of_vertices.copy()
    for j in range(21):
        for v in range(len(weights)):
            weight = regressor[j, v]
            if weight != 0:
                for row in range(3):
                    pulls[v, row] += weight * of_regressed[j, row]
    for v in range(len(weights)):
        for row in range(3):
            pull = pulls[v, row]
            for column in range(3):
                outer[row, column] = pull * rest[column, v]
            outer[row, 3] = pull
        _blend(weights, flat, v, blend)
        for column in range(3):
            pull = blend[column] * outer[0, 3] + blend[4 + column] * outer[1, 3] + blend[8 + column] * outer[2, 3]
            of_rest[column, v] = pull
        for j in range(J):
            weight = weights[v, j]
            if weight != 0:
                for k in range(12):
                    of_flat[j, k] += weight * outer_flat[k]
    turn = np.ascontiguousarray(place[:, :3].T)
    for j in range(J):
        for row in range(3):
            for column in range(4):
                for k in range(3):
                    of_place[row, k] += of_bones[j, row, column] * bones[j, k, column]
            of_place[row, 3] += of_bones[j, row, 3]
        _product(turn, of_bones[j].copy(), of_bones[j])
    _bones_back(turns, joints, bones, of_bones, of_turns, of_joints)


@jit
def _bones_back(turns, joints, bones, of_bones, of_turns, of_joints):
    """From the bones' transforms (A | b) to the joints' turns T and places j: A = A' (I + T), b = b' − A' T j."""
    own = np.zeros((3, 4), bones.dtype)  # the gradient of one joint's own move (T | −T j)
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
