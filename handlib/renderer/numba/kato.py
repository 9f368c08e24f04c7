"""renderer/kato.py as loops that numba compiles for the CPU."""

import math
from functools import partial

import numpy as np

from ...support.jit import jit
from ..kato import NEAR
from .sound import pushed, sound


@jit
def _kato_push(vertices, faces, image, gradient, face, push):
    if not sound(vertices, faces):
        return False
    for axis in range(2):
        # Transposed for the second axis, so that the pull is always along rows.
        colors = image if axis == 0 else image.transpose(1, 0, 2)
        slopes = gradient if axis == 0 else gradient.transpose(1, 0, 2)
        owner = face if axis == 0 else face.T
        ranges = _nonzero_ranges(slopes)
        for n in range(len(faces)):
            for edge in range(3):
                i, j, k = faces[n, edge], faces[n, (edge + 1) % 3], faces[n, (edge + 2) % 3]
                px, py = vertices[i, axis], vertices[i, 1 - axis]
                qx, qy = vertices[j, axis], vertices[j, 1 - axis]
                tx, ty = vertices[k, axis], vertices[k, 1 - axis]
                if py != qy:
                    at_p, at_q = _pull_edge(colors, slopes, ranges, owner, n, px, py, qx, qy, tx, ty)
                    push[i, axis] += at_p
                    push[j, axis] += at_q
    return True


kato_push = partial(pushed, _kato_push)


@jit
def _nonzero_ranges(slopes):
    """Returns the range of columns in each row outside which the gradient is zero, so that nothing can be gained."""
    height, width, channels = slopes.shape
    ranges = np.zeros((height, 2), np.int64)
    for row in range(height):
        for column in range(width):
            for c in range(channels):
                if slopes[row, column, c] != 0:
                    if ranges[row, 1] == 0:
                        ranges[row, 0] = column
                    ranges[row, 1] = column + 1
    return ranges


@jit
def _pull_edge(colors, slopes, ranges, owner, n, px, py, qx, qy, tx, ty):
    """Computes the pull on both ends of one edge of face n; the third corner is t."""
    height, width, channels = colors.shape
    top = max(0, math.ceil(max(min(py, qy) - 0.5, -1.0)))
    bottom = min(height - 1, math.floor(min(max(py, qy) - 0.5, height)))
    slope = (qx - px) / (qy - py)
    outwards = 1 if tx < px + slope * (ty - py) else -1
    at_p = at_q = 0.0
    for row in range(top, bottom + 1):
        share = (row + 0.5 - py) / (qy - py)
        crossing = px + slope * (row + 0.5 - py)
        if not (-1 < crossing < width + 1):
            continue
        inner = math.floor(crossing - 0.5) if outwards > 0 else math.ceil(crossing - 0.5)
        outer = inner + outwards
        if inner < 0 or inner >= width or outer < 0 or outer >= width:
            continue
        pull = 0.0
        owned = owner[row, inner] == n
        for column in range(ranges[row, 0], ranges[row, 1]):
            gain = 0.0
            if owned and (column - outer) * outwards >= 0:
                gain += _gain(colors, slopes, row, column, inner)
            if owner[row, column] == n:
                gain += _gain(colors, slopes, row, column, outer)
            if gain > 0:
                distance = column + 0.5 - crossing
                pull -= gain / (distance + (-NEAR if distance < 0 else NEAR))
        at_p += (1 - share) * pull
        at_q += share * pull
    return at_p, at_q


@jit
def _gain(colors, slopes, row, column, other):
    """Returns by how much the loss would fall if a pixel took the color of another."""
    gain = 0.0
    for c in range(colors.shape[2]):
        gain += (colors[row, column, c] - colors[row, other, c]) * slopes[row, column, c]
    return max(gain, 0.0)
