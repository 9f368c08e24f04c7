"""How far silhouettes are from masks, and what that asks of the vertices, in one loop compiled for the CPU by numba.

What `Renderer.silhouette_error` says in three steps: the picture, its mean squared difference from the mask, and the
push along the outline. Here no picture is made. Where the mesh is seen the difference is 1 − m, elsewhere it is m; and
only the pairs of neighbours of which one sees the mesh push. Being a number's, the derivative is known up to a factor
as soon as the number is, so nothing of the picture is kept for the backward pass.
"""

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...support.jit import jit, parts
from ..rasterize import EMPTY
from .rasterize import fill, weights


def silhouette_error(
    vertices: Float[Tensor, "b v 3"], faces: Int[Tensor, "#b f 3"], mask: Float[Tensor, "#b h w"]
) -> Float[Tensor, " b"]:
    """Mean squared difference of each mesh's silhouette from its mask; differentiable once, in the vertices."""
    return _Error.apply(vertices, faces, mask)


class _Error(torch.autograd.Function):
    @staticmethod
    def forward(ctx, vertices, faces, mask):
        error = mask.square().mean((1, 2)).to(vertices.dtype).expand(len(vertices)).clone()  # without the mesh
        push = torch.zeros_like(vertices, memory_format=torch.contiguous_format)
        parts(_errors, len(vertices), vertices, faces, mask, error, push)
        ctx.save_for_backward(push)
        return error

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        (push,) = ctx.saved_tensors
        return gradient[:, None, None] * push, None, None


@jit
def _errors(vertices, faces, mask, error, push):
    nearest, face = np.empty(mask.shape[1:], np.float32), np.empty(mask.shape[1:], np.int32)
    for n in range(len(vertices)):
        given = (vertices[n], faces[n if len(faces) > 1 else 0], mask[n if len(mask) > 1 else 0])
        error[n] += _change(*given, nearest, face, push[n])


@jit
def _change(vertices, faces, mask, nearest, face, push):
    """By how much the mesh changes the error that the mask has without it."""
    height, width = mask.shape
    # The pixels that may see the mesh and one more on every side; the others of `face` are neither set nor read.
    left, right = _reach(vertices[:, 0], width)
    top, bottom = _reach(vertices[:, 1], height)
    face[top:bottom, left:right] = EMPTY
    nearest[top:bottom, left:right] = np.inf
    fill(vertices, faces, nearest, face)
    change = 0.0
    for row in range(top, bottom):
        above = row - 1 if row > top else row
        before = face[row, left] >= 0
        for column in range(left, right):
            seen = face[row, column] >= 0
            if seen:
                change += 1 - 2 * mask[row, column]  # (1 − m)² instead of m²
            if seen != before:
                _push_outline(vertices, faces, mask, face, push, row, column - 1, 0)
            if seen != (face[above, column] >= 0):
                _push_outline(vertices, faces, mask, face, push, above, column, 1)
            before = seen
    return change / mask.size


@jit
def _reach(coordinate, size):
    """First and one past the last pixel of the mesh's box, grown by one."""
    low = high = np.float64(coordinate[0])
    for x in coordinate:
        low, high = min(low, x), max(high, x)
    first = math.floor(min(max(low, 0.0), size)) - 1
    last = math.ceil(min(max(high, 0.0), size)) + 1
    return max(first, 0), min(last, size)


@jit
def _push_outline(vertices, faces, mask, face, push, row, column, axis):
    """edges.edge_push for a pixel and its neighbour to the right (axis 0) or below (axis 1), one of which is empty."""
    row2, column2 = row + axis, column + 1 - axis
    step = (1 - mask[row, column] - mask[row2, column2]) / mask.size
    if not math.isfinite(step):
        return
    near = face[row, column]
    if near < 0:
        near, step = face[row2, column2], -step
    w0, w1, w2 = weights(vertices, faces, near, (column + column2 + 1) / 2, (row + row2 + 1) / 2)
    push[faces[near, 0], axis] += w0 * step
    push[faces[near, 1], axis] += w1 * step
    push[faces[near, 2], axis] += w2 * step
