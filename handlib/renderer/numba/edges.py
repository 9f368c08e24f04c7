"""renderer/edges.py as loops that numba compiles for the CPU."""

import math
from functools import partial

from ...support.jit import jit
from .rasterize import twice_area, weights
from .sound import pushed, sound


@jit
def _edge_push(vertices, faces, image, gradient, face, push):
    if not sound(vertices, faces):
        return False
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
    return True


edge_push = partial(pushed, _edge_push)


@jit
def _push_outline(vertices, faces, face, push, row, column, axis, step):
    """Pushes the occluder of a pixel and its neighbor to the right (axis 0) or below (axis 1)."""
    f, g = face[row, column], face[row + axis, column + 1 - axis]
    x, y, x2, y2 = column + 0.5, row + 0.5, column + 1.5 - axis, row + 0.5 + axis
    near = f
    if f < 0:
        near = g
    elif g >= 0:
        gap = _plane(vertices, faces, f, x, y) - _plane(vertices, faces, g, x, y)
        gap2 = _plane(vertices, faces, f, x2, y2) - _plane(vertices, faces, g, x2, y2)
        if not gap * gap2 > 0 or _neighbors(vertices, faces, f, g):
            return
        near = f if gap < 0 else g
    w0, w1, w2 = weights(vertices, faces, near, (x + x2) / 2, (y + y2) / 2)
    push[faces[near, 0], axis] += w0 * step
    push[faces[near, 1], axis] += w1 * step
    push[faces[near, 2], axis] += w2 * step


@jit
def _neighbors(vertices, faces, f, g):
    """Returns whether two faces share a corner and are seen from the same side."""
    for i in range(3):
        for j in range(3):
            if faces[f, i] == faces[g, j]:
                return twice_area(vertices, faces[f]) * twice_area(vertices, faces[g]) > 0
    return False


@jit
def _plane(vertices, faces, n, x, y):
    """Returns the depth of the plane of face n at a point."""
    w0, w1, w2 = weights(vertices, faces, n, x, y)
    return w0 * vertices[faces[n, 0], 2] + w1 * vertices[faces[n, 1], 2] + w2 * vertices[faces[n, 2], 2]
