"""Rasterization in plain torch: finds the triangle that each pixel sees. Runs on any device and is not differentiable.

Pixel (row i, column j) is sampled at its center (j + 0.5, i + 0.5). A center exactly on an edge belongs to the face
whose top or left edge this is, so neighbors share no pixel and leave none out. The face with the smallest depth wins,
and the lowest face number among equals, so the result does not depend on the order of the work.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

EMPTY = -1  # the face index of a pixel that sees no face
TINY_AREA = 1e-9  # square pixels, twice the area; smaller triangles are not drawn
FARTHEST = 1e9  # pixels, and depth: areas of larger ones overflow single precision
_FAR = torch.iinfo(torch.int64).max


def rasterize(
    vertices: Float[Tensor, "b v 3"], faces: Int[Tensor, "#b f 3"], height: int, width: int
) -> Int[Tensor, "b h w"]:
    """Returns the index of the nearest face at every pixel center, or −1, as 32-bit integers to save memory.

    vertices: x and y in pixels; z is a depth, linear in the image within a face, of which only the order matters.
    """
    b, f = len(vertices), faces.shape[1]
    # In double precision the edge functions of single-precision vertices are exact on every device.
    triangles = corners(vertices.detach().double(), faces).reshape(b * f, 3, 3)
    (x, y), z = triangles[..., :2].unbind(-1), triangles[..., 2]

    # Edge functions, affine in the pixel: E_k = A_k·px + B_k·py + C_k, positive inside. Swapping the ends of an edge
    # negates its E exactly, so neighbors agree on which side of their common edge a center lies.
    x1, x2, y1, y2 = x.roll(-1, 1), x.roll(-2, 1), y.roll(-1, 1), y.roll(-2, 1)
    edges = torch.stack([y1 - y2, x2 - x1, x1 * y2 - x2 * y1], -1)  # (N, 3 edges, 3 coefficients)
    area = edges[..., 2].sum(1)[:, None, None]
    depth = (edges / area * z[..., None]).sum(1)  # barycentric weights are E_k over twice the area
    inner = torch.where(area.abs() <= TINY_AREA, torch.nan, edges * area.sign())  # NaN fails every test below
    # The gradient (A, B) points inwards: right for a left edge, straight down for a top one.
    owns = (inner[..., 0] > 0) | ((inner[..., 0] == 0) & (inner[..., 1] > 0))

    face, column, row = candidates(x, y, height, width)
    px, py = column.double() + 0.5, row.double() + 0.5
    # One gather for the three edges and the depth of every candidate, then in place: this is the hot spot.
    affine = torch.cat([inner, depth[:, None]], 1).flatten(1).index_select(0, face)  # (candidates, 12)
    values = affine[:, 0::3] * px[:, None]
    values.addcmul_(affine[:, 1::3], py[:, None]).add_(affine[:, 2::3])
    sides = values[:, :3]
    inside = ((sides > 0) | ((sides == 0) & owns.index_select(0, face))).all(1).nonzero()[:, 0]
    face, column, row = face[inside], column[inside], row[inside]
    order = _sortable(values[inside, 3])

    # One number per candidate, with depth in its high half and face in its low half, so that one minimum decides both.
    image, number = torch.div(face, f, rounding_mode="floor"), face % f
    key = (order << 32) | number
    nearest = torch.full((b * height * width,), _FAR, dtype=torch.int64, device=vertices.device)
    nearest.scatter_reduce_(0, (image * height + row) * width + column, key, "amin")
    return torch.where(nearest == _FAR, EMPTY, nearest & 0xFFFFFFFF).int().view(b, height, width)


def corners(points: Float[Tensor, "b v c"], faces: Int[Tensor, "#b f 3"]) -> Float[Tensor, "b f 3 c"]:
    """Returns the three corners of every face; `faces` has one set per mesh, or one for all."""
    if len(faces) == 1:
        return points[:, faces[0]]
    return points[torch.arange(len(points), device=points.device)[:, None, None], faces]


def twice_area(triangles: Float[Tensor, "n 3 c"]) -> Float[Tensor, " n"]:
    """Returns twice the signed area in x and y; the sign is that of the winding. c is 2 or 3."""
    a, b = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def candidates(x: Tensor, y: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Lists every (face, column, row) whose center lies in the bounding box of the face, as three flat tensors."""
    left, right = span(x, width)
    top, bottom = span(y, height)
    columns, count = right - left, (right - left) * (bottom - top)
    face = torch.repeat_interleave(count)
    offset = torch.arange(len(face), device=x.device) - (count.cumsum(0) - count)[face]
    row = offset // columns[face]
    return face, left[face] + offset - row * columns[face], top[face] + row


def span(coordinate: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Returns the first pixel, and one past the last, whose center lies between the extremes of a triangle."""
    first = (coordinate.amin(1) - 0.5).ceil().clamp(0, size).long()
    last = (coordinate.amax(1) - 0.5).floor().clamp(-1, size - 1).long() + 1
    return first, last.maximum(first)


def _sortable(depth: Tensor) -> Tensor:
    """Maps float32 numbers to integers of the same order, negative numbers included."""
    bits = depth.float().view(torch.int32).long()
    return torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)


# ---- meshes that no backend can draw. The compiled loops look at a mesh themselves (numba/sound.py), which costs less;
# this says what is wrong.


def check_mesh(vertices: Tensor, faces: Tensor) -> None:
    """Raises `ValueError` for a mesh that cannot be drawn. vertices: (…, V, 3) in pixels; faces: (…, F, 3)."""
    check_faces(faces, vertices.shape[-2])
    if vertices.numel() and not captured(vertices):
        low, high = map(float, vertices.detach().aminmax())
        if not -FARTHEST <= low <= high <= FARTHEST:  # false for NaN
            raise ValueError(
                f"vertices_px hold NaN, or numbers beyond {FARTHEST:.0e}: "
                "the mesh diverged, or a point lies in the camera's plane"
            )


def check_faces(faces: Tensor, count: int, name: str = "faces") -> None:
    """Raises `ValueError` for corners that are no vertex numbers below `count`."""
    if faces.numel() and not captured(faces):
        low, high = map(int, faces.aminmax())
        if low < 0 or high >= count:
            raise ValueError(f"{name} must be vertex numbers, 0 … {count - 1}: got {low} … {high}")


def captured(tensor: Tensor) -> bool:
    """Returns whether a CUDA graph is being captured, during which reading a value is an error."""
    return tensor.is_cuda and torch.cuda.is_current_stream_capturing()
