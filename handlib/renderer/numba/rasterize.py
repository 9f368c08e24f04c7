"""renderer/rasterize.py as loops that numba compiles for the CPU.

One kernel works on one image; the images of a batch are spread over torch's threads.
"""

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...support.jit import jit
from ..rasterize import EMPTY, TINY_AREA
from .sound import each_mesh, sound


def rasterize(
    vertices: Float[Tensor, "b v 3"], faces: Int[Tensor, "#b f 3"], height: int, width: int
) -> Int[Tensor, "b h w"]:
    """Computes `rasterize.rasterize`."""
    face = torch.empty(len(vertices), height, width, dtype=torch.int32)
    each_mesh(_rasterize, vertices, faces, face)
    return face


@jit
def _rasterize(vertices, faces, face):
    if not sound(vertices, faces):
        return False
    face[:] = EMPTY
    fill(vertices, faces, np.full(face.shape, np.inf, np.float32), face)
    return True


@jit
def fill(vertices, faces, nearest, face):
    """Draws the faces over the image `face`, whose depths are `nearest`."""
    height, width = face.shape
    for n in range(len(faces)):
        i, j, k = faces[n]
        # In double precision, like the reference.
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
                least = e0 if e0 < e1 else e1  # one unpredictable branch instead of three
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
def twice_area(vertices, corners):
    i, j, k = corners
    x, y = vertices[i, 0], vertices[i, 1]
    return (vertices[j, 0] - x) * (vertices[k, 1] - y) - (vertices[k, 0] - x) * (vertices[j, 1] - y)


@jit
def weights(vertices, faces, n, x, y):
    """Returns the barycentric weights of a point in face n."""
    i, j, k = faces[n]
    x0, y0 = vertices[i, 0] - x, vertices[i, 1] - y
    x1, y1 = vertices[j, 0] - x, vertices[j, 1] - y
    x2, y2 = vertices[k, 0] - x, vertices[k, 1] - y
    a0, a1, a2 = x1 * y2 - x2 * y1, x2 * y0 - x0 * y2, x0 * y1 - x1 * y0
    area = a0 + a1 + a2
    return a0 / area, a1 / area, a2 / area
