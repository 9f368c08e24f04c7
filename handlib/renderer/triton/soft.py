"""renderer/soft.py compiled for CUDA by Triton, with its derivative written out.

Forward, one program works on a tile of pixels and visits all faces in order, so that sums are deterministic; it skips
chunks of faces that do not reach the tile. Backward, one program works on one face.
"""

import math

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..rasterize import TINY_AREA, corners, twice_area
from ..soft import CUT
from .jit import EXACT, LANES, at_vertices, box, corner_of, image_and_face, jit, load_corner, store_pull

TILE = 16  # pixels a side
CHUNK = 32  # faces


def soft_silhouette(
    vertices: Float[Tensor, "b v 3"], faces: Int[Tensor, "#b f 3"], height: int, width: int, sigma: float
) -> Float[Tensor, "b h w"]:
    """Computes `soft.soft_silhouette`; deterministic, differentiable once."""
    return _Soft.apply(vertices, faces, height, width, sigma)


class _Soft(torch.autograd.Function):
    @staticmethod
    def forward(ctx, vertices, faces, height, width, sigma):
        b, v, f = len(vertices), vertices.shape[1], faces.shape[1]
        unit = min(height, width) / 2
        reach, scale = unit * math.sqrt(CUT * sigma), 1 / (unit * unit * sigma)
        clear = vertices.new_empty(b, height, width)  # the probability that no face is there
        vertices, faces = vertices.contiguous(), faces.contiguous()
        reached = _reached(vertices, faces, reach)
        if b * f:
            grid = (triton.cdiv(height, TILE) * triton.cdiv(width, TILE), b)  # the second may have 65,535 at most
            inputs = (vertices, faces, reached, clear, v, f, int(len(faces) > 1), height, width)
            _clear[grid](*inputs, scale, CUT, CHUNK, TILE, num_warps=4, **EXACT)
        else:
            clear.fill_(1)
        ctx.save_for_backward(vertices, faces, reached, clear)
        ctx.scale = scale
        return 1 - clear

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        vertices, faces, reached, clear = ctx.saved_tensors
        b, v, f = len(vertices), vertices.shape[1], faces.shape[1]
        pulls = vertices.new_empty(b, f, 3, 2)
        if b * f:
            slopes = (gradient * clear).contiguous()  # gradient of the loss by the logarithm of 1/clear
            inputs = (vertices, faces, reached, slopes, pulls, v, f, int(len(faces) > 1), *slopes.shape[1:])
            _pull_face[(b * f,)](*inputs, ctx.scale, CUT, LANES, num_warps=1, **EXACT)
        return at_vertices(pulls, faces, v), None, None, None, None


def _reached(vertices: Tensor, faces: Tensor, reach: float) -> Float[Tensor, "b f 4"]:
    """Returns the box within reach of each face: left, right, top, bottom in pixels; empty for a face without area."""
    triangles = corners(vertices[..., :2], faces)
    low, high = triangles.amin(2) - reach, triangles.amax(2) + reach
    flat = twice_area(triangles.flatten(0, 1)).abs().view(low.shape[:2]) <= TINY_AREA
    low = torch.where(flat[..., None], torch.inf, low)
    return torch.stack([low[..., 0], high[..., 0], low[..., 1], high[..., 1]], -1)


@jit
def _clear(
    vertices,
    faces,
    reached,
    clear,
    v,
    f,
    own_faces,
    height,
    width,
    SCALE: tl.constexpr,
    CUT: tl.constexpr,
    CHUNK: tl.constexpr,
    TILE: tl.constexpr,
):
    """Computes exp(−Σ_j softplus(±d²/σ)) of a tile."""
    image = tl.program_id(1).to(tl.int64)
    tiles = (width + TILE - 1) // TILE
    top, left = tl.program_id(0) // tiles * TILE, tl.program_id(0) % tiles * TILE
    lane = tl.arange(0, TILE * TILE)
    row, column = top + lane // TILE, left + lane % TILE
    dtype = vertices.dtype.element_ty
    x, y = column.to(dtype) + 0.5, row.to(dtype) + 0.5
    total = tl.zeros((TILE * TILE,), dtype)
    reached += image * f * 4
    for first in range(0, f, CHUNK):
        near = first + tl.arange(0, CHUNK)
        hit = _reaches(reached + near * 4, near < f, left, top, TILE)
        if tl.max(hit.to(tl.int32), 0) > 0:
            for number in range(first, tl.minimum(first + CHUNK, f)):
                if _reaches(reached + number * 4, number < f, left, top, TILE):
                    i, j, k = corner_of(faces, image, number, f, own_faces)
                    x0, y0, _ = load_corner(vertices, image, v, i)
                    x1, y1, _ = load_corner(vertices, image, v, j)
                    x2, y2, _ = load_corner(vertices, image, v, k)
                    signed, _, _ = _signed(x0, y0, x1, y1, x2, y2, x, y)
                    signed = signed * SCALE
                    softplus = tl.maximum(signed, 0.0) + tl.log(1 + tl.exp(-tl.abs(signed)))
                    total += tl.where(signed > -CUT, softplus, 0.0)
    shown = (row < height) & (column < width)
    tl.store(clear + image * height * width + row * width + column, tl.exp(-total), mask=shown)


@jit
def _reaches(reached, exists, left, top, TILE: tl.constexpr):
    """Returns whether faces may reach the tile."""
    low_x, high_x = tl.load(reached, mask=exists, other=1e30), tl.load(reached + 1, mask=exists, other=-1e30)
    low_y, high_y = tl.load(reached + 2, mask=exists, other=1e30), tl.load(reached + 3, mask=exists, other=-1e30)
    return (low_x <= left + TILE) & (high_x >= left) & (low_y <= top + TILE) & (high_y >= top)


@jit
def _pull_face(
    vertices,
    faces,
    reached,
    slopes,
    pulls,
    v,
    f,
    own_faces,
    height,
    width,
    SCALE: tl.constexpr,
    CUT: tl.constexpr,
    LANES: tl.constexpr,
):
    image, number = image_and_face(f)
    i, j, k = corner_of(faces, image, number, f, own_faces)
    x0, y0, _ = load_corner(vertices, image, v, i)
    x1, y1, _ = load_corner(vertices, image, v, j)
    x2, y2, _ = load_corner(vertices, image, v, k)
    reached += (image * f + number) * 4
    low_x, high_x, low_y, high_y = tl.load(reached), tl.load(reached + 1), tl.load(reached + 2), tl.load(reached + 3)
    left, right = box(low_x, high_x, high_x, width)
    top, bottom = box(low_y, high_y, high_y, height)
    slopes += image * height * width

    nothing = tl.zeros((LANES,), x0.dtype)
    at_x0, at_y0, at_x1, at_y1, at_x2, at_y2 = nothing, nothing, nothing, nothing, nothing, nothing
    columns = right - left
    count = tl.where(low_x < high_x, columns * (bottom - top), 0)
    for start in range(0, count, LANES):
        index = start + tl.arange(0, LANES)
        row, column = top + index // columns, left + index % columns
        slope = tl.load(slopes + row * width + column, mask=index < count, other=0.0)
        x, y = column.to(x0.dtype) + 0.5, row.to(x0.dtype) + 0.5
        signed, edge, t = _signed(x0, y0, x1, y1, x2, y2, x, y)
        signed = signed * SCALE
        # The constant comes last: alone, Triton would treat it as single precision.
        pull = tl.where(signed > 0, slope, -slope) * (2 * SCALE) / (1 + tl.exp(-signed))
        pull = tl.where(signed > -CUT, pull, 0.0)
        # The nearest point of the outline lies (1 − t) start + t end on that edge.
        w0 = tl.where(edge == 0, 1 - t, tl.where(edge == 2, t, 0.0))
        w1 = tl.where(edge == 1, 1 - t, tl.where(edge == 0, t, 0.0))
        w2 = tl.where(edge == 2, 1 - t, tl.where(edge == 1, t, 0.0))
        dx, dy = pull * (w0 * x0 + w1 * x1 + w2 * x2 - x), pull * (w0 * y0 + w1 * y1 + w2 * y2 - y)
        at_x0, at_x1, at_x2 = at_x0 + w0 * dx, at_x1 + w1 * dx, at_x2 + w2 * dx
        at_y0, at_y1, at_y2 = at_y0 + w0 * dy, at_y1 + w1 * dy, at_y2 + w2 * dy
    store_pull(pulls, image, number, f, at_x0, at_y0, at_x1, at_y1, at_x2, at_y2)


@jit
def _signed(x0, y0, x1, y1, x2, y2, x, y):
    """Returns the squared distance from the outline of a triangle, positive inside, the nearest edge, and the position
    on it."""
    x0, y0, x1, y1, x2, y2 = x0 - x, y0 - y, x1 - x, y1 - y, x2 - x, y2 - y
    d0, t0 = _to_edge(x0, y0, x1, y1)
    d1, t1 = _to_edge(x1, y1, x2, y2)
    d2, t2 = _to_edge(x2, y2, x0, y0)
    nearer = d1 < d0
    squared, t, edge = tl.where(nearer, d1, d0), tl.where(nearer, t1, t0), tl.where(nearer, 1, 0)
    nearer = d2 < squared
    squared, t, edge = tl.where(nearer, d2, squared), tl.where(nearer, t2, t), tl.where(nearer, 2, edge)
    side0, side1, side2 = x0 * y1 - y0 * x1, x1 * y2 - y1 * x2, x2 * y0 - y2 * x0
    inside = ((side0 > 0) & (side1 > 0) & (side2 > 0)) | ((side0 < 0) & (side1 < 0) & (side2 < 0))
    return tl.where(inside, squared, -squared), edge, t


@jit
def _to_edge(ax, ay, bx, by):
    """Returns the squared distance of the origin from the segment a b, and the position of the nearest point, 0 … 1."""
    dx, dy = bx - ax, by - ay
    t = -(ax * dx + ay * dy) / tl.maximum(dx * dx + dy * dy, 1e-12)
    t = tl.minimum(tl.maximum(t, 0.0), 1.0)
    x, y = ax + t * dx, ay + t * dy
    return x * x + y * y, t
