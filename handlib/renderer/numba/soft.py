"""renderer/soft.py as loops that numba compiles for the CPU, with its derivative written out."""

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...support.jit import jit
from ..rasterize import TINY_AREA
from ..soft import CUT
from .rasterize import twice_area
from .sound import each_mesh, sound

# Constants that leave single precision single.
_ZERO, _HALF, _ONE, _TWO, _TINY = (np.float32(x) for x in (0, 0.5, 1, 2, 1e-12))


def soft_silhouette(
    vertices: Float[Tensor, "b v 3"], faces: Int[Tensor, "#b f 3"], height: int, width: int, sigma: float
) -> Float[Tensor, "b h w"]:
    """Computes `soft.soft_silhouette`; differentiable once."""
    return _Soft.apply(vertices, faces, height, width, sigma)


class _Soft(torch.autograd.Function):
    @staticmethod
    def forward(ctx, vertices, faces, height, width, sigma):
        miss = torch.ones(len(vertices), height, width, dtype=torch.float64)
        each_mesh(_soft_miss, vertices, faces, miss, sigma)
        clear = 1 / miss  # the probability that no face is there
        ctx.save_for_backward(vertices, faces, clear)
        ctx.sigma = sigma
        return (1 - clear).to(vertices.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        vertices, faces, clear = ctx.saved_tensors
        push = torch.zeros_like(vertices, memory_format=torch.contiguous_format)
        each_mesh(_soft_push, vertices, faces, gradient * clear, push, ctx.sigma)
        return push, None, None, None, None


@jit
def _soft_miss(vertices, faces, miss, sigma):
    """Computes 1/Π(1 − p_j) = Π(1 + exp(±d²/σ)) in `miss`."""
    if not sound(vertices, faces):
        return False
    height, width = miss.shape
    reach, scale = _soft_units(height, width, sigma)
    squared, edge, share = _soft_buffers(vertices, width)
    for n in range(len(faces)):
        triangle, left, right, top, bottom = _soft_face(vertices, faces[n], reach, height, width)
        for row in range(top, bottom + 1):
            _soft_row(triangle, left, right, row, squared, edge, share)
            for k in range(right - left + 1):
                signed = squared[k] * scale
                if signed > -CUT:
                    miss[row, left + k] *= 1 + math.exp(signed)
    return True


@jit
def _soft_push(vertices, faces, gradient, push, sigma):
    """Adds the gradient by the vertices to `push`. gradient: of the loss by the logarithm of `miss`."""
    if not sound(vertices, faces):
        return False
    height, width = gradient.shape
    reach, scale = _soft_units(height, width, sigma)
    squared, edge, share = _soft_buffers(vertices, width)
    at = np.zeros((3, 2))  # the corners of a face
    for n in range(len(faces)):
        triangle, left, right, top, bottom = _soft_face(vertices, faces[n], reach, height, width)
        at[:] = 0
        for row in range(top, bottom + 1):
            _soft_row(triangle, left, right, row, squared, edge, share)
            for k in range(right - left + 1):
                signed, slope = squared[k] * scale, gradient[row, left + k]
                if signed <= -CUT or slope == 0:
                    continue
                start, t = int(edge[k]), share[k]
                end = start + 1 if start < 2 else 0
                (ax, ay), (bx, by) = triangle[start], triangle[end]
                pull = (2 if signed > 0 else -2) * scale * slope / (1 + math.exp(-signed))
                x = pull * (ax + t * (bx - ax) - (left + k + _HALF))
                y = pull * (ay + t * (by - ay) - (row + _HALF))
                at[start, 0] += (1 - t) * x
                at[start, 1] += (1 - t) * y
                at[end, 0] += t * x
                at[end, 1] += t * y
        for corner in range(3):
            for axis in range(2):
                push[faces[n, corner], axis] += at[corner, axis]
    return True


@jit
def _soft_units(height, width, sigma):
    """Returns how far a face reaches in pixels, and a squared pixel in units of σ."""
    unit = min(height, width) / 2
    return np.float32(unit * math.sqrt(CUT * sigma)), np.float32(1 / (unit * unit * sigma))


@jit
def _soft_buffers(vertices, width):
    return np.empty(width, vertices.dtype), np.empty(width, vertices.dtype), np.empty(width, vertices.dtype)


@jit
def _soft_face(vertices, corners, reach, height, width):
    """Returns the corners of a face and the box of pixels within its reach, which is empty for a face without area."""
    (i, j, k) = corners
    x0, x1, x2 = vertices[i, 0], vertices[j, 0], vertices[k, 0]
    y0, y1, y2 = vertices[i, 1], vertices[j, 1], vertices[k, 1]
    left = max(0, math.ceil(max(min(x0, x1, x2) - reach - 0.5, -1.0)))
    right = min(width - 1, math.floor(min(max(x0, x1, x2) + reach - 0.5, width)))
    top = max(0, math.ceil(max(min(y0, y1, y2) - reach - 0.5, -1.0)))
    bottom = min(height - 1, math.floor(min(max(y0, y1, y2) + reach - 0.5, height)))
    if abs(twice_area(vertices, corners)) <= TINY_AREA:
        bottom = top - 1
    return ((x0, y0), (x1, y1), (x2, y2)), left, right, top, bottom


@jit
def _soft_row(triangle, left, right, row, squared, edge, share):
    """Computes for a row of pixels the squared distance from the outline of a triangle, positive inside, the nearest
    edge, and the position on it.

    It has no branches, so that the compiler can vectorize it.
    """
    (x0, y0), (x1, y1), (x2, y2) = triangle
    dx0, dy0, dx1, dy1, dx2, dy2 = x1 - x0, y1 - y0, x2 - x1, y2 - y1, x0 - x2, y0 - y2
    length0 = _ONE / max(dx0 * dx0 + dy0 * dy0, _TINY)
    length1 = _ONE / max(dx1 * dx1 + dy1 * dy1, _TINY)
    length2 = _ONE / max(dx2 * dx2 + dy2 * dy2, _TINY)
    y = np.float32(row) + _HALF
    ay, by, cy = y0 - y, y1 - y, y2 - y
    for k in range(right - left + 1):
        x = np.float32(left + k) + _HALF
        ax, bx, cx = x0 - x, x1 - x, x2 - x
        t0 = min(max(-(ax * dx0 + ay * dy0) * length0, _ZERO), _ONE)
        t1 = min(max(-(bx * dx1 + by * dy1) * length1, _ZERO), _ONE)
        t2 = min(max(-(cx * dx2 + cy * dy2) * length2, _ZERO), _ONE)
        to0 = (ax + t0 * dx0) ** 2 + (ay + t0 * dy0) ** 2
        to1 = (bx + t1 * dx1) ** 2 + (by + t1 * dy1) ** 2
        to2 = (cx + t2 * dx2) ** 2 + (cy + t2 * dy2) ** 2
        nearest, on, t = to0, _ZERO, t0
        nearer = to1 < nearest
        nearest, on, t = to1 if nearer else nearest, _ONE if nearer else on, t1 if nearer else t
        nearer = to2 < nearest
        nearest, on, t = to2 if nearer else nearest, _TWO if nearer else on, t2 if nearer else t
        side0, side1, side2 = ax * by - ay * bx, bx * cy - by * cx, cx * ay - cy * ax
        inside = ((side0 > 0) & (side1 > 0) & (side2 > 0)) | ((side0 < 0) & (side1 < 0) & (side2 < 0))
        squared[k] = nearest if inside else -nearest
        edge[k] = on
        share[k] = t
