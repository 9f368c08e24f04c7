"""renderer/rasterize.py compiled for CUDA by Triton, with the same arithmetic, so that it finds the same faces.

Each face is one program of one warp, which walks over the pixels of the face's bounding box, `LANES` at a time. At a
pixel inside the face, depth and face number form one 64-bit integer, and an atomic minimum keeps the smallest. One
memory operation thus decides both nearest depth and lowest number among equals, whatever the order of the warps.

Why no tiles: a hand in an image of 224² is 1,538 faces whose boxes hold 40,000 to 130,000 pixels, 20 to 80 per face.
A batch of 64 is 98,000 short programs and about 5 million tests of some thirty double-precision operations, 0.3 GFLOP;
an H100 does 30 TFLOP/s in double precision and a T4 0.25. The limits are therefore latency and the 26 MB of 64-bit
keys, which are written once and read once. Tiles would first have to sort faces into bins, which costs as much traffic.
The disadvantage is that a face that fills the image is walked by a single warp, slowly. This code is for meshes of many
small faces.

No kernel in this folder calls a function that waits for the GPU.
"""

import torch
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from ..rasterize import TINY_AREA
from .jit import EXACT, LANES, box, corner_of, image_and_face, jit, load_corner

_FAR = torch.iinfo(torch.int64).max  # its low half, read as 32 bits, is EMPTY


def rasterize(
    vertices: Float[Tensor, "b v 3"], faces: Int[Tensor, "#b f 3"], height: int, width: int
) -> Int[Tensor, "b h w"]:
    """Computes `rasterize.rasterize`."""
    b, v, f = len(vertices), vertices.shape[1], faces.shape[1]
    nearest = torch.full((b, height, width), _FAR, dtype=torch.int64, device=vertices.device)
    if b * f:
        meshes = (vertices.detach().contiguous(), faces.contiguous(), nearest, v, f, int(len(faces) > 1))
        _draw[(b * f,)](*meshes, height, width, TINY_AREA, LANES, num_warps=1, **EXACT)
    return nearest.view(torch.int32)[..., ::2].contiguous()  # the low halves


@jit
def _draw(
    vertices, faces, nearest, v, f, own_faces, height, width, TINY: tl.constexpr, LANES: tl.constexpr
):  # fmt: skip
    image, number = image_and_face(f)
    i, j, k = corner_of(faces, image, number, f, own_faces)
    x0, y0, z0 = load_corner(vertices, image, v, i)
    x1, y1, z1 = load_corner(vertices, image, v, j)
    x2, y2, z2 = load_corner(vertices, image, v, k)
    x0, y0, z0 = x0.to(tl.float64), y0.to(tl.float64), z0.to(tl.float64)
    x1, y1, z1 = x1.to(tl.float64), y1.to(tl.float64), z1.to(tl.float64)
    x2, y2, z2 = x2.to(tl.float64), y2.to(tl.float64), z2.to(tl.float64)
    left, right = box(x0, x1, x2, width)
    top, bottom = box(y0, y1, y2, height)

    # Edge functions E_k = a_k·px + b_k·py + c_k, positive inside; the depth is affine as well.
    c0, c1, c2 = x1 * y2 - x2 * y1, x2 * y0 - x0 * y2, x0 * y1 - x1 * y0
    area = c0 + c1 + c2
    sign = tl.where(area > 0, 1.0, -1.0).to(tl.float64)
    a0, a1, a2 = sign * (y1 - y2), sign * (y2 - y0), sign * (y0 - y1)
    b0, b1, b2 = sign * (x2 - x1), sign * (x0 - x2), sign * (x1 - x0)
    c0, c1, c2 = sign * c0, sign * c1, sign * c2
    own0, own1, own2 = _owns(a0, b0), _owns(a1, b1), _owns(a2, b2)
    size = tl.where(tl.abs(area) > TINY, tl.abs(area), 1.0)
    az = (a0 * z0 + a1 * z1 + a2 * z2) / size
    bz = (b0 * z0 + b1 * z1 + b2 * z2) / size
    cz = (c0 * z0 + c1 * z1 + c2 * z2) / size

    columns = right - left
    count = tl.where(tl.abs(area) > TINY, columns * (bottom - top), 0)
    nearest += image * height * width
    for start in range(0, count, LANES):
        index = start + tl.arange(0, LANES)
        row, column = top + index // columns, left + index % columns
        px, py = column.to(tl.float64) + 0.5, row.to(tl.float64) + 0.5
        e0, e1, e2 = a0 * px + b0 * py + c0, a1 * px + b1 * py + c1, a2 * px + b2 * py + c2
        inside = (index < count) & _inside(e0, own0) & _inside(e1, own1) & _inside(e2, own2)
        z = (az * px + bz * py + cz).to(tl.float32)
        bits = z.to(tl.int32, bitcast=True)
        order = tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits).to(tl.int64)  # integers in the order of the depths
        tl.atomic_min(nearest + row * width + column, (order << 32) | number, mask=inside, sem="relaxed")


@jit
def _owns(a, b):
    """Returns whether centers on this edge belong to the face: those on left and top edges do."""
    return (a > 0) | ((a == 0) & (b > 0))


@jit
def _inside(e, own):
    return tl.where(own, e >= 0, e > 0)
