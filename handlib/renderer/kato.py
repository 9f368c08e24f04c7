"""The pseudo-gradient of the neural mesh renderer (Kato, Ushiku, Harada, CVPR 2018), which the paper used.

For every edge of every face and every row and column of pixels that it crosses, the method asks: how far would the edge
have to move for the loss to fall at some pixel of that line, and by how much would it fall? A pixel outside the face
would take the face's color if the edge moved out to it; a pixel that the face covers would take the color beyond the
edge if it moved back. The pull on the edge is gain over distance, summed over the pixels, and is divided between its
two ends according to where the line crosses it. This is not the derivative of any function, but it acts across the
whole image.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .rasterize import corners, span

NEAR = 0.01  # pixels by which distances are pushed away from zero
_CHUNK = 4096  # lines at a time, for memory


def kato_push(
    image: Float[Tensor, "b h w c"],
    gradient: Float[Tensor, "b h w c"],
    vertices: Float[Tensor, "b v 3"],
    faces: Int[Tensor, "#b f 3"],
    face: Int[Tensor, "b h w"],
) -> Float[Tensor, "b v 3"]:
    """Computes the pseudo-gradient of the loss by the vertices; a replacement for `edges.edge_push`."""
    b, f = len(vertices), faces.shape[1]
    triangles = corners(vertices[..., :2], faces).reshape(b * f, 3, 2)
    across = _pull(triangles, image, gradient, face, f)
    turned = (t.transpose(1, 2) for t in (image, gradient, face))
    down = _pull(triangles.flip(-1), *turned, f)
    pull = torch.stack([across, down, torch.zeros_like(down)], -1).view(b, f * 3, 3)
    index = faces.reshape(len(faces), f * 3, 1).expand(b, -1, 3)
    return torch.zeros_like(vertices).scatter_add(1, index, pull)


def _pull(
    triangles: Float[Tensor, "n 3 2"],
    image: Float[Tensor, "b h w c"],
    gradient: Float[Tensor, "b h w c"],
    face: Int[Tensor, "b h w"],
    f: int,
) -> Float[Tensor, "n 3"]:
    """Computes the pull on the corners of each triangle along x."""
    h, w = face.shape[1:]
    p, q, third = (triangles.roll(-k, 1).reshape(-1, 2) for k in range(3))  # one edge per row, from p to q
    top, bottom = span(torch.stack([p[:, 1], q[:, 1]], 1), h)
    count = torch.where(p[:, 1] == q[:, 1], 0, bottom - top)
    edge = torch.repeat_interleave(count)
    row = top[edge] + torch.arange(len(edge), device=edge.device) - (count.cumsum(0) - count)[edge]

    slope = (q[:, 0] - p[:, 0]) / (q[:, 1] - p[:, 1])
    outwards = torch.where(third[:, 0] < p[:, 0] + slope * (third[:, 1] - p[:, 1]), 1, -1)[edge]
    share = (row + 0.5 - p[edge, 1]) / (q - p)[edge, 1]  # weight of q at the crossing
    crossing = p[edge, 0] + slope[edge] * (row + 0.5 - p[edge, 1])
    inner = torch.where(outwards > 0, (crossing - 0.5).floor(), (crossing - 0.5).ceil()).long()
    outer = inner + outwards
    on_image = ((inner >= 0) & (inner < w) & (outer >= 0) & (outer < w)).nonzero()[:, 0]

    line = torch.arange(w, device=face.device)
    pull = triangles.new_zeros(len(p))
    pulls = [pull, pull.clone()]  # on p and on q
    for chunk in on_image.split(_CHUNK):
        e, r, i, o, side = edge[chunk], row[chunk], inner[chunk], outer[chunk], outwards[chunk]
        batch, own = e // (3 * f), (e // 3 % f)[:, None]
        colors, wish, owner = image[batch, r], gradient[batch, r], face[batch, r]
        number = torch.arange(len(chunk), device=e.device)
        beyond = ((line - o[:, None]) * side[:, None] >= 0) & (owner[number, i, None] == own)
        gain = (((colors - colors[number, i, None]) * wish).sum(-1).clamp(min=0) * beyond) + (
            ((colors - colors[number, o, None]) * wish).sum(-1).clamp(min=0) * (owner == own)
        )
        distance = line + 0.5 - crossing[chunk, None]
        distance = torch.where(distance < 0, distance - NEAR, distance + NEAR)
        total = -(gain / distance).sum(1)
        pulls[0].index_add_(0, e, (1 - share[chunk]) * total)
        pulls[1].index_add_(0, e, share[chunk] * total)
    at_p, at_q = (t.view(-1, 3) for t in pulls)
    return at_p + at_q.roll(1, 1)
