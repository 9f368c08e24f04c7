"""The same algorithms compiled for the CPU by numba: what rasterize.py, edges.py, kato.py and soft.py say, in loops.

One kernel works on one image; the images of a batch are spread over torch's threads.
"""

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..jit import each, jit
from .kato import NEAR
from .rasterize import TINY_AREA
from .soft import CUT

# Constants that leave single precision single.
_ZERO, _HALF, _ONE, _TWO, _TINY = (np.float32(x) for x in (0, 0.5, 1, 2, 1e-12))


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


def kato_push(
    image: Float[Tensor, "b h w c"],
    gradient: Float[Tensor, "b h w c"],
    vertices: Float[Tensor, "b v 3"],
    faces: Int[Tensor, "#b f 3"],
    face: Int[Tensor, "b h w"],
) -> Float[Tensor, "b v 3"]:
    """kato.kato_push."""
    push = torch.zeros_like(vertices, memory_format=torch.contiguous_format)
    each(_kato_push, len(vertices), image, gradient, vertices, faces, face, push)
    return push


def soft_silhouette(
    vertices: Float[Tensor, "b v 3"], faces: Int[Tensor, "#b f 3"], height: int, width: int, sigma: float
) -> Float[Tensor, "b h w"]:
    """soft.soft_silhouette."""
    return _Soft.apply(vertices, faces, height, width, sigma)


class _Soft(torch.autograd.Function):
    @staticmethod
    def forward(ctx, vertices, faces, height, width, sigma):
        miss = torch.ones(len(vertices), height, width, dtype=torch.float64)
        each(_soft_miss, len(vertices), vertices, faces, miss, sigma)
        clear = 1 / miss  # the probability that no face is there
        ctx.save_for_backward(vertices, faces, clear)
        ctx.sigma = sigma
        return (1 - clear).to(vertices.dtype)

    @staticmethod
    def backward(ctx, gradient):
        vertices, faces, clear = ctx.saved_tensors
        push = torch.zeros_like(vertices, memory_format=torch.contiguous_format)
        each(_soft_push, len(vertices), vertices, faces, gradient * clear, push, ctx.sigma)
        return push, None, None, None, None


@jit
def _rasterize(vertices, faces, face):
    height, width = face.shape
    face[:] = -1
    nearest = np.full((height, width), np.inf, np.float32)
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
            entered = False
            for column in range(left, right + 1):
                px = column + 0.5
                e0, e1, e2 = a0 * px + r0, a1 * px + r1, a2 * px + r2
                if (e0 > 0 or (e0 == 0 and own0)) and (e1 > 0 or (e1 == 0 and own1)) and (e2 > 0 or (e2 == 0 and own2)):
                    entered = True
                    z = np.float32(az * px + rz)
                    if z < nearest[row, column]:
                        nearest[row, column] = z
                        face[row, column] = n
                elif entered:
                    break  # a triangle is convex


@jit
def _owns(a, b):
    return a > 0 or (a == 0 and b > 0)


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
    w0, w1, w2 = _weights(vertices, faces, near, (x + x2) / 2, (y + y2) / 2)
    push[faces[near, 0], axis] += w0 * step
    push[faces[near, 1], axis] += w1 * step
    push[faces[near, 2], axis] += w2 * step


@jit
def _neighbours(vertices, faces, f, g):
    """Whether two faces have a corner in common and are seen from the same side."""
    for i in range(3):
        for j in range(3):
            if faces[f, i] == faces[g, j]:
                return _twice_area(vertices, faces[f]) * _twice_area(vertices, faces[g]) > 0
    return False


@jit
def _twice_area(vertices, corners):
    i, j, k = corners
    x, y = vertices[i, 0], vertices[i, 1]
    return (vertices[j, 0] - x) * (vertices[k, 1] - y) - (vertices[k, 0] - x) * (vertices[j, 1] - y)


@jit
def _weights(vertices, faces, n, x, y):
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
    w0, w1, w2 = _weights(vertices, faces, n, x, y)
    return w0 * vertices[faces[n, 0], 2] + w1 * vertices[faces[n, 1], 2] + w2 * vertices[faces[n, 2], 2]


@jit
def _kato_push(image, gradient, vertices, faces, face, push):
    for axis in range(2):
        # Everything turned so that lines are rows and the pull is along them.
        colors = image if axis == 0 else image.transpose(1, 0, 2)
        wish = gradient if axis == 0 else gradient.transpose(1, 0, 2)
        owner = face if axis == 0 else face.T
        wishes = _wishes(wish)
        for n in range(len(faces)):
            for edge in range(3):
                i, j, k = faces[n, edge], faces[n, (edge + 1) % 3], faces[n, (edge + 2) % 3]
                px, py = vertices[i, axis], vertices[i, 1 - axis]
                qx, qy = vertices[j, axis], vertices[j, 1 - axis]
                tx, ty = vertices[k, axis], vertices[k, 1 - axis]
                if py != qy:
                    at_p, at_q = _pull_edge(colors, wish, wishes, owner, n, px, py, qx, qy, tx, ty)
                    push[i, axis] += at_p
                    push[j, axis] += at_q


@jit
def _wishes(wish):
    """The range of each row in which something is wished for: elsewhere there is nothing to gain."""
    height, width, channels = wish.shape
    ranges = np.zeros((height, 2), np.int64)
    for row in range(height):
        for place in range(width):
            for c in range(channels):
                if wish[row, place, c] != 0:
                    if ranges[row, 1] == 0:
                        ranges[row, 0] = place
                    ranges[row, 1] = place + 1
    return ranges


@jit
def _pull_edge(colors, wish, wishes, owner, n, px, py, qx, qy, tx, ty):
    """The pull on both ends of one edge of face n; the third corner is t."""
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
        for place in range(wishes[row, 0], wishes[row, 1]):
            gain = 0.0
            if owned and (place - outer) * outwards >= 0:
                gain += _gain(colors, wish, row, place, inner)
            if owner[row, place] == n:
                gain += _gain(colors, wish, row, place, outer)
            if gain > 0:
                distance = place + 0.5 - crossing
                pull -= gain / (distance + (-NEAR if distance < 0 else NEAR))
        at_p += (1 - share) * pull
        at_q += share * pull
    return at_p, at_q


@jit
def _gain(colors, wish, row, place, other):
    """By how much the loss would fall if a pixel took another's color."""
    gain = 0.0
    for c in range(colors.shape[2]):
        gain += (colors[row, place, c] - colors[row, other, c]) * wish[row, place, c]
    return max(gain, 0.0)


@jit
def _soft_miss(vertices, faces, miss, sigma):
    """Multiplies up 1/Π(1 − p_j) = Π(1 + exp(±d²/σ))."""
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


@jit
def _soft_push(vertices, faces, gradient, push, sigma):
    """gradient: of the loss by the logarithm of `miss`."""
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
                signed, wish = squared[k] * scale, gradient[row, left + k]
                if signed <= -CUT or wish == 0:
                    continue
                start, t = int(edge[k]), share[k]
                end = start + 1 if start < 2 else 0
                (ax, ay), (bx, by) = triangle[start], triangle[end]
                pull = (2 if signed > 0 else -2) * scale * wish / (1 + math.exp(-signed))
                x = pull * (ax + t * (bx - ax) - (left + k + _HALF))
                y = pull * (ay + t * (by - ay) - (row + _HALF))
                at[start, 0] += (1 - t) * x
                at[start, 1] += (1 - t) * y
                at[end, 0] += t * x
                at[end, 1] += t * y
        for corner in range(3):
            for axis in range(2):
                push[faces[n, corner], axis] += at[corner, axis]


@jit
def _soft_units(height, width, sigma):
    """How far a face reaches in pixels, and what a squared pixel is in units of σ."""
    unit = min(height, width) / 2
    return np.float32(unit * math.sqrt(CUT * sigma)), np.float32(1 / (unit * unit * sigma))


@jit
def _soft_buffers(vertices, width):
    return np.empty(width, vertices.dtype), np.empty(width, vertices.dtype), np.empty(width, vertices.dtype)


@jit
def _soft_face(vertices, corners, reach, height, width):
    """Corners of a face, and the pixels within reach of it: none of a face without an area."""
    (i, j, k) = corners
    x0, x1, x2 = vertices[i, 0], vertices[j, 0], vertices[k, 0]
    y0, y1, y2 = vertices[i, 1], vertices[j, 1], vertices[k, 1]
    left = max(0, math.ceil(max(min(x0, x1, x2) - reach - 0.5, -1.0)))
    right = min(width - 1, math.floor(min(max(x0, x1, x2) + reach - 0.5, width)))
    top = max(0, math.ceil(max(min(y0, y1, y2) - reach - 0.5, -1.0)))
    bottom = min(height - 1, math.floor(min(max(y0, y1, y2) + reach - 0.5, height)))
    if abs(_twice_area(vertices, corners)) <= TINY_AREA:
        bottom = top - 1
    return ((x0, y0), (x1, y1), (x2, y2)), left, right, top, bottom


@jit
def _soft_row(triangle, left, right, row, squared, edge, share):
    """For a row of pixels: squared distance from a triangle's outline, positive inside; the nearest edge; where on it.

    Without branches, so that the compiler takes several pixels at a time.
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
