"""renderer/kato.py compiled for CUDA by Triton.

One program works on the three edges of a face, one line of pixels at a time. The outer sweep runs only where the face
is visible at the edge, the inner sweep only over the box of the face. Most edges are hidden, so few pixels are visited.
"""

from functools import partial

import triton.language as tl

from ..kato import NEAR
from .jit import box, corner_of, image_and_face, jit, load_corner, pushed, store_pull


@jit
def _pull_face(
    picture,
    gradient,
    face,
    vertices,
    faces,
    pulls,
    v,
    f,
    own_faces,
    height,
    width,
    channels,
    NEAR: tl.constexpr,
    LANES: tl.constexpr,
):
    image, number = image_and_face(f)
    i, j, k = corner_of(faces, image, number, f, own_faces)
    x0, y0, _ = load_corner(vertices, image, v, i)
    x1, y1, _ = load_corner(vertices, image, v, j)
    x2, y2, _ = load_corner(vertices, image, v, k)
    left, right = box(x0, x1, x2, width)
    top, bottom = box(y0, y1, y2, height)
    face += image * height * width
    picture += image * height * width * channels
    gradient += image * height * width * channels

    # Pixels that pull along x form a row, those that pull along y a column.
    flat = (picture, gradient, face, number, channels)
    across = (height, width, width, 1, left, right)
    down = (width, height, 1, width, top, bottom)
    p0, q0 = _pull_edge(flat, across, x0, y0, x1, y1, x2, y2, NEAR, LANES)
    p1, q1 = _pull_edge(flat, across, x1, y1, x2, y2, x0, y0, NEAR, LANES)
    p2, q2 = _pull_edge(flat, across, x2, y2, x0, y0, x1, y1, NEAR, LANES)
    r0, s0 = _pull_edge(flat, down, y0, x0, y1, x1, y2, x2, NEAR, LANES)
    r1, s1 = _pull_edge(flat, down, y1, x1, y2, x2, y0, x0, NEAR, LANES)
    r2, s2 = _pull_edge(flat, down, y2, x2, y0, x0, y1, x1, NEAR, LANES)
    store_pull(pulls, image, number, f, p0 + q2, r0 + s2, p1 + q0, r1 + s0, p2 + q1, r2 + s1)


kato_push = partial(pushed, _pull_face, NEAR=NEAR)


@jit
def _pull_edge(flat, grid, px, py, qx, qy, tx, ty, NEAR: tl.constexpr, LANES: tl.constexpr):
    """Computes the pull along x on both ends of the edge from p to q, not yet summed; t is the third corner."""
    face, number = flat[2], flat[3]
    lines, length, line_step, step, first, last = grid
    at_p = tl.zeros((LANES,), px.dtype)
    at_q = tl.zeros((LANES,), px.dtype)
    px, py, qx, qy = px.to(tl.float64), py.to(tl.float64), qx.to(tl.float64), qy.to(tl.float64)
    top, bottom = box(py, qy, qy, lines)
    if py == qy:
        bottom = top
    slope = (qx - px) / tl.where(py == qy, 1.0, qy - py)
    rightwards = tx.to(tl.float64) < px + slope * (ty.to(tl.float64) - py)
    outwards = tl.where(rightwards, 1, -1)
    for line in range(top, bottom):
        below = line + 0.5 - py
        share = below / (qy - py)
        crossing = px + slope * below
        at = tl.minimum(tl.maximum(crossing - 0.5, -2.0), length + 1.0)  # keeps the integers below in range
        inner = tl.where(rightwards, tl.floor(at), tl.ceil(at)).to(tl.int32)
        outer = inner + outwards
        if (inner >= 0) & (inner < length) & (outer >= 0) & (outer < length):
            if tl.load(face + line * line_step + inner * step) == number:
                begin, end = tl.where(rightwards, outer, 0), tl.where(rightwards, length, outer + 1)
                won_p, won_q = _sweep(flat, line * line_step, step, begin, end, inner, crossing, share, 0, NEAR, LANES)
                at_p += won_p.to(at_p.dtype)
                at_q += won_q.to(at_q.dtype)
            won_p, won_q = _sweep(flat, line * line_step, step, first, last, outer, crossing, share, 1, NEAR, LANES)
            at_p += won_p.to(at_p.dtype)
            at_q += won_q.to(at_q.dtype)
    return at_p, at_q


@jit
def _sweep(
    flat, line, step, begin, end, other, crossing, share, OWN: tl.constexpr, NEAR: tl.constexpr, LANES: tl.constexpr
):
    """Sums what pixels begin … end − 1 of a line would gain from another pixel's color, over their distance from the
    crossing. With OWN, only pixels that see the face count.
    """
    picture, gradient, face, number, channels = flat
    pull = tl.zeros((LANES,), tl.float64)
    for start in range(begin, end, LANES):
        index = start + tl.arange(0, LANES)
        mask = index < end
        if OWN:
            mask = mask & (tl.load(face + line + index * step, mask=mask, other=-1) == number)
        gain = tl.zeros((LANES,), picture.dtype.element_ty)
        for c in range(0, channels):
            pixel = (line + index * step) * channels + c
            color = tl.load(picture + pixel, mask=mask, other=0.0)
            slope = tl.load(gradient + pixel, mask=mask, other=0.0)
            gain += (color - tl.load(picture + (line + other * step) * channels + c)) * slope
        distance = index.to(tl.float64) + 0.5 - crossing
        distance = tl.where(distance < 0, distance - NEAR, distance + NEAR)
        pull -= tl.maximum(gain, 0.0) / distance
    return (1 - share) * pull, share * pull
