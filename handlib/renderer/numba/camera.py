"""`Camera.matrix` compiled for the CPU by numba, with its derivative written out: one call instead of many."""

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...support.jit import jit, parts


def matrix(quaternion: Tensor, scale: Tensor, translation: Tensor, constants: Float64[Tensor, "4"]) -> Tensor:
    """Computes `Camera.matrix_reference`; differentiable once.

    constants: 10·FLIP, which multiplies the rows of a rotation, and the squared length below which a quaternion has no
    direction.
    """
    camera = (quaternion, scale, translation)
    lead = np.broadcast_shapes(*(part.shape[:-1] for part in camera))  # torch's would load sympy
    flat = (part.expand(*lead, part.shape[-1]).reshape(-1, part.shape[-1]) for part in camera)
    return _Matrix.apply(*flat, constants[None]).view(*lead, 3, 4)


class _Matrix(torch.autograd.Function):
    @staticmethod
    def forward(ctx, quaternion, scale, translation, constants):
        matrix = quaternion.new_empty(len(quaternion), 3, 4)
        parts(_matrices, len(quaternion), quaternion, scale, translation, constants, matrix)
        ctx.save_for_backward(quaternion, scale, constants)
        return matrix

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        quaternion, scale, constants = ctx.saved_tensors
        of_quaternion, of_scale = torch.zeros_like(quaternion), torch.zeros_like(scale)
        parts(_matrices_back, len(quaternion), quaternion, scale, gradient, constants, of_quaternion, of_scale)
        return of_quaternion, of_scale, gradient[..., 3], None


@jit
def _matrices(quaternion, scale, translation, constants, matrix):
    for n in range(len(quaternion)):
        _matrix(quaternion[n], scale[n], translation[n], constants[0], matrix[n])


@jit
def _matrices_back(quaternion, scale, gradient, constants, of_quaternion, of_scale):
    for n in range(len(quaternion)):
        _matrix_back(quaternion[n], scale[n], gradient[n], constants[0], of_quaternion[n], of_scale[n])


@jit
def _matrix(quaternion, scale, translation, constants, matrix):
    w, x, y, z = quaternion
    squared = w * w + x * x + y * y + z * z
    if squared <= constants[3]:
        w, x, y, z, squared = w * 0 + 1, x * 0, y * 0, z * 0, squared * 0 + 1
    matrix[0, 0], matrix[0, 1], matrix[0, 2] = w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)
    matrix[1, 0], matrix[1, 1], matrix[1, 2] = 2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)
    matrix[2, 0], matrix[2, 1], matrix[2, 2] = 2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z
    for row in range(3):
        for column in range(3):
            matrix[row, column] *= constants[row] * scale[0] / squared
        matrix[row, 3] = translation[row]


@jit
def _matrix_back(quaternion, scale, gradient, constants, of_quaternion, of_scale):
    w, x, y, z = quaternion
    squared = w * w + x * x + y * y + z * z
    if squared <= constants[3]:  # the rotation is the identity whatever the quaternion
        for row in range(3):
            of_scale[0] += constants[row] * gradient[row, row]
        return
    g = gradient[:, :3].copy()
    for row in range(3):
        g[row] *= constants[row] / squared
    # M = |q|² R is quadratic in q. Below: half the derivative of ⟨G, M⟩ by q, whose product with q is ⟨G, M⟩ itself.
    diagonal = g[0, 0] + g[1, 1] + g[2, 2]
    of_w = diagonal * w + (g[2, 1] - g[1, 2]) * x + (g[0, 2] - g[2, 0]) * y + (g[1, 0] - g[0, 1]) * z
    of_x = (2 * g[0, 0] - diagonal) * x + (g[2, 1] - g[1, 2]) * w + (g[0, 1] + g[1, 0]) * y + (g[0, 2] + g[2, 0]) * z
    of_y = (2 * g[1, 1] - diagonal) * y + (g[0, 2] - g[2, 0]) * w + (g[0, 1] + g[1, 0]) * x + (g[1, 2] + g[2, 1]) * z
    of_z = (2 * g[2, 2] - diagonal) * z + (g[1, 0] - g[0, 1]) * w + (g[0, 2] + g[2, 0]) * x + (g[1, 2] + g[2, 1]) * y
    value = of_w * w + of_x * x + of_y * y + of_z * z
    of_scale[0] = value
    # The quotient rule for R = M / |q|².
    of_quaternion[0] = 2 * scale[0] * (of_w - value / squared * w)
    of_quaternion[1] = 2 * scale[0] * (of_x - value / squared * x)
    of_quaternion[2] = 2 * scale[0] * (of_y - value / squared * y)
    of_quaternion[3] = 2 * scale[0] * (of_z - value / squared * z)
