"""Shared code of the CUDA kernels: how they are compiled, and how they find faces, boxes and vertices.

One program works on one face of one mesh. It writes the pull on the corners of the face to a row of its own, and
`at_vertices` sums the rows in a fixed order; atomic additions would round differently from run to run.
"""

import inspect
from collections.abc import Callable

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

LANES = 32  # pixels that a program handles together: one per thread of a warp
# Fused products and sums round differently from their negatives, which would leave gaps at edges.
EXACT = {"enable_fp_fusion": False}


def jit(function: Callable) -> Callable:
    """Applies triton.jit to the original function, which the type checker of the tests may have wrapped."""
    return triton.jit(inspect.unwrap(function))


@jit
def image_and_face(f):
    """Returns the number of this program's mesh in the batch and of its face in the mesh."""
    n = tl.program_id(0).to(tl.int64)
    return n // f, n % f


@jit
def corner_of(faces, image, number, f, own_faces):
    """Loads the vertex numbers of a face; `own_faces` is 1 if every mesh has faces of its own, else 0."""
    start = faces + (image * own_faces * f + number) * 3
    return tl.load(start).to(tl.int64), tl.load(start + 1).to(tl.int64), tl.load(start + 2).to(tl.int64)


@jit
def load_corner(vertices, image, v, i):
    start = vertices + (image * v + i) * 3
    return tl.load(start), tl.load(start + 1), tl.load(start + 2)


@jit
def box(x0, x1, x2, size):
    """Computes `rasterize.span` of one triangle."""
    low = tl.minimum(tl.minimum(x0, x1), x2).to(tl.float64)
    high = tl.maximum(tl.maximum(x0, x1), x2).to(tl.float64)
    first = tl.minimum(tl.maximum(tl.ceil(low - 0.5), 0.0), size).to(tl.int32)
    last = tl.minimum(tl.maximum(tl.floor(high - 0.5), -1.0), size - 1).to(tl.int32) + 1
    return first, tl.maximum(first, last)


@jit
def barycentrics(x0, y0, x1, y1, x2, y2, px, py):
    """Computes `interpolate.barycentrics`."""
    x0, y0, x1, y1, x2, y2 = x0 - px, y0 - py, x1 - px, y1 - py, x2 - px, y2 - py
    a0, a1, a2 = x1 * y2 - y1 * x2, x2 * y0 - y2 * x0, x0 * y1 - y0 * x1
    area = a0 + a1 + a2
    return a0 / area, a1 / area, a2 / area


@jit
def store_pull(pulls, image, number, f, x0, y0, x1, y1, x2, y2):
    """Stores the pulls on the corners of a face, summed over the lanes."""
    start = pulls + (image * f + number) * 6
    tl.store(start, tl.sum(x0, 0))
    tl.store(start + 1, tl.sum(y0, 0))
    tl.store(start + 2, tl.sum(x1, 0))
    tl.store(start + 3, tl.sum(y1, 0))
    tl.store(start + 4, tl.sum(x2, 0))
    tl.store(start + 5, tl.sum(y2, 0))


def pushed(
    kernel: Callable,
    image: Float[Tensor, "b h w c"],
    gradient: Float[Tensor, "b h w c"],
    vertices: Float[Tensor, "b v 3"],
    faces: Int[Tensor, "#b f 3"],
    face: Int[Tensor, "b h w"],
    **constants: float,
) -> Float[Tensor, "b v 3"]:
    """Computes `edges.edge_push` or `kato.kato_push`, by the kernel; deterministic."""
    b, h, w, c = image.shape
    v, f = vertices.shape[1], faces.shape[1]
    pulls = vertices.new_empty(b, f, 3, 2)
    if b * f:
        pictures = (image.detach().contiguous(), gradient.contiguous(), face.contiguous())
        meshes = (vertices.detach().contiguous(), faces.contiguous(), pulls, v, f, int(len(faces) > 1))
        kernel[(b * f,)](*pictures, *meshes, h, w, c, LANES=LANES, num_warps=1, **constants, **EXACT)
    return at_vertices(pulls, faces, v)


def at_vertices(pulls: Float[Tensor, "b f 3 2"], faces: Int[Tensor, "#b f 3"], v: int) -> Float[Tensor, "b v 3"]:
    """Sums the pulls on the corners of all faces at each vertex; zero in z."""
    b, f = pulls.shape[:2]
    corner = faces.flatten(1)
    ordered, order = corner.sort(dim=1, stable=True)
    number = torch.arange(v + 1, device=faces.device, dtype=faces.dtype).expand(len(faces), -1).contiguous()
    first = torch.searchsorted(ordered, number)  # the first corner of each vertex in `order`
    push = pulls.new_zeros(b, v, 3)
    block = 64
    if push.numel() and f:
        grid = (b, triton.cdiv(v, block))
        _gather[grid](
            pulls.contiguous(), order, first, push, v, 3 * f, int(len(faces) > 1), block, num_warps=2, **EXACT
        )
    return push


@jit
def _gather(pulls, order, first, push, v, corners, own_faces, BLOCK: tl.constexpr):
    image = tl.program_id(0).to(tl.int64)
    vertex = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    exists = vertex < v
    first += image * own_faces * (v + 1) + vertex
    start = tl.load(first, mask=exists, other=0)
    count = tl.load(first + 1, mask=exists, other=0) - start
    x = tl.zeros((BLOCK,), pulls.dtype.element_ty)
    y = tl.zeros((BLOCK,), pulls.dtype.element_ty)
    for k in range(0, tl.max(count, 0).to(tl.int32)):
        more = k < count
        corner = tl.load(order + image * own_faces * corners + start + k, mask=more, other=0)
        pull = pulls + (image * corners + corner) * 2
        x += tl.load(pull, mask=more, other=0.0)
        y += tl.load(pull + 1, mask=more, other=0.0)
    push += (image * v + vertex) * 3
    tl.store(push, x, mask=exists)
    tl.store(push + 1, y, mask=exists)
