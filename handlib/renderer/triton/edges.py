"""renderer/edges.py compiled for CUDA by Triton.

One program per face visits the pixels that see the face and compares each with its four neighbors. The face is pushed
where it occludes what the neighbor sees. Every pair of pixels has one occluder, so it is counted once.
"""

from functools import partial

import triton.language as tl

from .jit import barycentrics, box, corner_of, image_and_face, jit, load_corner, pushed, store_pull


@jit
def _push_face(
    picture, gradient, face, vertices, faces, pulls, v, f, own_faces, height, width, channels, LANES: tl.constexpr
):
    image, number = image_and_face(f)
    i, j, k = corner_of(faces, image, number, f, own_faces)
    x0, y0, z0 = load_corner(vertices, image, v, i)
    x1, y1, z1 = load_corner(vertices, image, v, j)
    x2, y2, z2 = load_corner(vertices, image, v, k)
    left, right = box(x0, x1, x2, width)
    top, bottom = box(y0, y1, y2, height)
    face += image * height * width
    picture += image * height * width * channels
    gradient += image * height * width * channels

    nothing = tl.zeros((LANES,), x0.dtype)
    at_x0, at_y0, at_x1, at_y1, at_x2, at_y2 = nothing, nothing, nothing, nothing, nothing, nothing
    columns = right - left
    count = columns * (bottom - top)
    for start in range(0, count, LANES):
        index = start + tl.arange(0, LANES)
        row, column = top + index // columns, left + index % columns
        pixel = row * width + column
        seen = (index < count) & (tl.load(face + pixel, mask=index < count, other=-1) == number)
        for direction in range(0, 4):  # right, below, left, above; not unrolled, which would quadruple the code
            down, right_ = direction % 2, 1 - direction % 2
            side = 1 - direction // 2 * 2
            row2, column2 = row + side * down, column + side * right_
            inside = (row2 >= 0) & (row2 < height) & (column2 >= 0) & (column2 < width)
            pixel2 = row2 * width + column2
            other = tl.load(face + pixel2, mask=seen & inside, other=-1)
            pair = seen & inside & (other != number)
            step = nothing
            for c in range(0, channels):
                here, there = pixel * channels + c, pixel2 * channels + c
                jump = tl.load(picture + here, mask=pair, other=0.0) - tl.load(picture + there, mask=pair, other=0.0)
                pull = tl.load(gradient + here, mask=pair, other=0.0) + tl.load(gradient + there, mask=pair, other=0.0)
                step += (jump * pull).to(step.dtype)
            step = step * (0.5 * side)
            pair = pair & (step != 0) & (tl.abs(step) < float("inf"))
            if tl.max(pair.to(tl.int32), 0) > 0:
                px, py = column.to(step.dtype) + 0.5, row.to(step.dtype) + 0.5
                half = 0.5 * side
                mx, my = px + half * right_, py + half * down
                # Against another face: in front of it at both pixels, and not a continuation of the same surface.
                covers = pair & (other >= 0)
                u = tl.maximum(other, 0).to(tl.int64)
                start_u = faces + (image * own_faces * f + u) * 3
                ui = tl.load(start_u, mask=covers, other=0).to(tl.int64)
                uj = tl.load(start_u + 1, mask=covers, other=0).to(tl.int64)
                uk = tl.load(start_u + 2, mask=covers, other=0).to(tl.int64)
                touch = (ui == i) | (ui == j) | (ui == k) | (uj == i) | (uj == j) | (uj == k)
                touch = touch | (uk == i) | (uk == j) | (uk == k)
                ux0, uy0, uz0 = _load_lanes(vertices, image, v, ui, covers)
                ux1, uy1, uz1 = _load_lanes(vertices, image, v, uj, covers)
                ux2, uy2, uz2 = _load_lanes(vertices, image, v, uk, covers)
                one_side = _twice_area(x0, y0, x1, y1, x2, y2) * _twice_area(ux0, uy0, ux1, uy1, ux2, uy2) > 0
                gap = _depth(x0, y0, z0, x1, y1, z1, x2, y2, z2, px, py)
                gap -= _depth(ux0, uy0, uz0, ux1, uy1, uz1, ux2, uy2, uz2, px, py)
                qx, qy = mx + half * right_, my + half * down
                gap2 = _depth(x0, y0, z0, x1, y1, z1, x2, y2, z2, qx, qy)
                gap2 -= _depth(ux0, uy0, uz0, ux1, uy1, uz1, ux2, uy2, uz2, qx, qy)
                outline = covers & (gap < 0) & (gap * gap2 > 0) & ((touch & one_side) == 0)

                w0, w1, w2 = barycentrics(x0, y0, x1, y1, x2, y2, mx, my)
                step = tl.where((pair & (other < 0)) | outline, step, 0.0)
                pushed = step != 0  # the weights of a face without area are NaN
                w0, w1, w2 = tl.where(pushed, w0, 0.0), tl.where(pushed, w1, 0.0), tl.where(pushed, w2, 0.0)
                along_x, along_y = step * right_, step * down
                at_x0, at_x1, at_x2 = at_x0 + w0 * along_x, at_x1 + w1 * along_x, at_x2 + w2 * along_x
                at_y0, at_y1, at_y2 = at_y0 + w0 * along_y, at_y1 + w1 * along_y, at_y2 + w2 * along_y
    store_pull(pulls, image, number, f, at_x0, at_y0, at_x1, at_y1, at_x2, at_y2)


edge_push = partial(pushed, _push_face)


@jit
def _load_lanes(vertices, image, v, i, mask):
    start = vertices + (image * v + i) * 3
    return (
        tl.load(start, mask=mask, other=0.0),
        tl.load(start + 1, mask=mask, other=0.0),
        tl.load(start + 2, mask=mask, other=0.0),
    )


@jit
def _twice_area(x0, y0, x1, y1, x2, y2):
    return (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)


@jit
def _depth(x0, y0, z0, x1, y1, z1, x2, y2, z2, px, py):
    """Returns the depth of the plane of a triangle at a point."""
    w0, w1, w2 = barycentrics(x0, y0, x1, y1, x2, y2, px, py)
    return w0 * z0 + w1 * z1 + w2 * z2
