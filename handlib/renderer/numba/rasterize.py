"""Compiled for the CPU by numba: what rasterize.py and edges.py say, in loops.

One kernel works on one image; the images of a batch are spread over torch's threads.
"""

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...support.jit import each, jit
from ..rasterize import EMPTY, TINY_AREA


def rasterize(
    vertices: Float[Tensor, "b v 3"], faces: Int[Tensor, "#b f 3"], height: int, width: int
) -> Int[Tensor, "b h w"]:
    """rasterize.rasterize."""
    face = torch.empty(len(vertices), height, width, dtype=torch.int32)
    each(_rasterize, len(vertices), vertices, faces, face)
    return face


def edge_push(
    image: Float[Tensor, "b h w c"],
    gradient: Float[Tensor, "b h w c"],
    vertices: Float[Tensor, "b v 3"],
    faces: Int[Tensor, "#b f 3"],
    face: Int[Tensor, "b h w"],
) -> Float[Tensor, "b v 3"]:
    """edges.edge_push."""
    push = torch.zeros_like(vertices, memory_format=torch.contiguous_format)
    each(_edge_push, len(vertices), image, gradient, vertices, faces, face, push)
    return push


@jit
def _rasterize(vertices, faces, face):
    face[:] = EMPTY
    fill(vertices, faces, np.full(face.shape, np.inf, np.float32), face)


@jit
def fill(vertices, faces, nearest, face):
    """Draws the faces over what `face` shows, whose depths are `nearest`."""
    height, width = face.shape
    for n in range(len(faces)):
        i, j, k = faces[n]
        # In double precision, as the reference.
        x0, y0, z0 = np.float64(vertices[i, 0]), np.float64(vertices[i, 1]), np.float64(vertices[i, 2])
        x1, y1, z1 = np.float64(vertices[j, 0]), np.float64(vertices[j, 1]), np.float64(vertices[j, 2])
        x2, y2, z2 = np.float64(vertices[k, 0]), np.float64(vertices[k, 1]), np.float64(vertices[k, 2])
        left = max(0, math.ceil(max(min(x0, x1, x2) - 0.5, -1.0)))
        right = min(width - 1, math.floor(min(max(x0, x1, x2) - 0.5, width)))
        top = max(0, math.ceil(max(min(y0, y1, y2) - 0.5, -1.0)))
        bottom = min(height - 1, math.floor(min(max(y0, y1, y2) - 0.5, height)))
        if left > right or top > bottom:
            continue
        c0, c1, c2 = x1 * y2 - x2 * y1, x2 * y0 - x0 * y2, x0 * y1 - x1 * y0
        area = c0 + c1 + c2
        if abs(area) <= TINY_AREA:
            continue
        sign = 1.0 if area > 0 else -1.0
        a0, a1, a2 = sign * (y1 - y2), sign * (y2 - y0), sign * (y0 - y1)
        b0, b1, b2 = sign * (x2 - x1), sign * (x0 - x2), sign * (x1 - x0)
        c0, c1, c2 = sign * c0, sign * c1, sign * c2
        own0, own1, own2 = _owns(a0, b0), _owns(a1, b1), _owns(a2, b2)
        area = abs(area)
        az = (a0 * z0 + a1 * z1 + a2 * z2) / area
        bz = (b0 * z0 + b1 * z1 + b2 * z2) / area
        cz = (c0 * z0 + c1 * z1 + c2 * z2) / area
        for row in range(top, bottom + 1):
            py = row + 0.5
            r0, r1, r2, rz = b0 * py + c0, b1 * py + c1, b2 * py + c2, bz * py + cz
            for column in range(left, right + 1):
                px = column + 0.5
                e0, e1, e2 = a0 * px + r0, a1 * px + r1, a2 * px + r2
                least = e0 if e0 < e1 else e1  # one branch that is hard to foresee instead of three
                least = least if least < e2 else e2
                if least >= 0:
                    z = np.float32(az * px + rz)
                    if z < nearest[row, column] and (
                        least > 0 or (_holds(e0, own0) and _holds(e1, own1) and _holds(e2, own2))
                    ):
                        nearest[row, column] = z
                        face[row, column] = n


@jit
def _owns(a, b):
    return a > 0 or (a == 0 and b > 0)


@jit
def _holds(e, own):
    return e > 0 or (e == 0 and own)


@jit
def _edge_push(image, gradient, vertices, faces, face, push):
    height, width, channels = image.shape
    for row in range(height):
        for column in range(width):
            for axis in range(2):
                row2, column2 = row + axis, column + 1 - axis
                if row2 == height or column2 == width or face[row, column] == face[row2, column2]:
                    continue
                step = 0.0
                for c in range(channels):
                    jump = image[row, column, c] - image[row2, column2, c]
                    if jump != 0:
                        step += jump * (gradient[row, column, c] + gradient[row2, column2, c]) / 2
                if step != 0 and math.isfinite(step):
                    _push_outline(vertices, faces, face, push, row, column, axis, step)


@jit
def _push_outline(vertices, faces, face, push, row, column, axis, step):
    """Pushes the occluder of a pixel and its neighbour to the right (axis 0) or below (axis 1)."""
    f, g = face[row, column], face[row + axis, column + 1 - axis]
    x, y, x2, y2 = column + 0.5, row + 0.5, column + 1.5 - axis, row + 0.5 + axis
    near = f
    if f < 0:
        near = g
    elif g >= 0:
        gap = _plane(vertices, faces, f, x, y) - _plane(vertices, faces, g, x, y)
        gap2 = _plane(vertices, faces, f, x2, y2) - _plane(vertices, faces, g, x2, y2)
        if not gap * gap2 > 0 or _neighbours(vertices, faces, f, g):
            return
        near = f if gap < 0 else g
    w0, w1, w2 = weights(vertices, faces, near, (x + x2) / 2, (y + y2) / 2)
    push[faces[near, 0], axis] += w0 * step
    push[faces[near, 1], axis] += w1 * step
    push[faces[near, 2], axis] += w2 * step


@jit
def _neighbours(vertices, faces, f, g):
    """Whether two faces have a corner in common and are seen from the same side."""
    for i in range(3):
        for j in range(3):
            if faces[f, i] == faces[g, j]:
                return twice_area(vertices, faces[f]) * twice_area(vertices, faces[g]) > 0
    return False


@jit
def twice_area(vertices, corners):
    i, j, k = corners
    x, y = vertices[i, 0], vertices[i, 1]
    return (vertices[j, 0] - x) * (vertices[k, 1] - y) - (vertices[k, 0] - x) * (vertices[j, 1] - y)


@jit
def weights(vertices, faces, n, x, y):
    """Barycentric weights of a point in face n."""
    i, j, k = faces[n]
    x0, y0 = vertices[i, 0] - x, vertices[i, 1] - y
    x1, y1 = vertices[j, 0] - x, vertices[j, 1] - y
    x2, y2 = vertices[k, 0] - x, vertices[k, 1] - y
    a0, a1, a2 = x1 * y2 - x2 * y1, x2 * y0 - x0 * y2, x0 * y1 - x1 * y0
    area = a0 + a1 + a2
    return a0 / area, a1 / area, a2 / area


@jit
def _plane(vertices, faces, n, x, y):
    """Depth of face n's plane at a point."""
    w0, w1, w2 = weights(vertices, faces, n, x, y)
    return w0 * vertices[faces[n, 0], 2] + w1 * vertices[faces[n, 1], 2] + w2 * vertices[faces[n, 2], 2]
