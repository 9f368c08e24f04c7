"""The texture of a hand in a picture: sampled where the mesh is seen, completed where it is not (the paper, Sec. 3.5).

With `Renderer.rgb` this is the paper's "neural texture renderer": the same hand, in its own skin, in a new view.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from .renderer import Renderer


def sample_colors(
    image: Float[Tensor, "b c h w"], vertices_px: Float[Tensor, "b v 3"], faces: Int[Tensor, "f 3"]
) -> tuple[Float[Tensor, "b v c"], Bool[Tensor, "b v"]]:
    """The color of the image under every vertex, and which vertices it shows.

    A vertex is shown if one of the four pixels around it sees a face of which it is a corner, and all four see the
    mesh: beside the outline the background shines in.
    """
    b, _, h, w = image.shape
    face, _ = Renderer((h, w)).rasterize(vertices_px.detach(), faces)
    xy = vertices_px[..., :2]
    first = (xy.detach() - 0.5).floor().long()
    seen = []
    for right in (0, 1):
        for down in (0, 1):
            column, row = first[..., 0] + right, first[..., 1] + down
            inside = (column >= 0) & (column < w) & (row >= 0) & (row < h)
            place = row.clamp(0, h - 1) * w + column.clamp(0, w - 1)
            seen.append(torch.where(inside, face.view(b, -1).gather(1, place), -1))
    seen = torch.stack(seen, -1)  # (b, v, 4)
    number = torch.arange(vertices_px.shape[1], device=image.device)[:, None, None]
    shown = (faces[seen.clamp(min=0)] == number).flatten(2).any(-1) & (seen >= 0).all(-1)
    place = 2 * xy / xy.new_tensor([w, h]) - 1
    colors = functional.grid_sample(image, place[:, :, None], padding_mode="border", align_corners=False)
    return colors[..., 0].transpose(1, 2), shown


def complete_colors(
    colors: Float[Tensor, "b v c"], known: Bool[Tensor, "b v"], faces: Int[Tensor, "f 3"]
) -> Float[Tensor, "b v c"]:
    """Diffuses the known colors over the mesh: every other vertex becomes the mean of its neighbours.

    This is Laplace's equation with the known vertices as its boundary. `ValueError` where a mesh has none.
    """
    if not known.any(1).all():
        raise ValueError("no vertex of a mesh is known, so there is nothing to diffuse: does the image show the hand?")
    v = colors.shape[1]
    near = colors.new_zeros(v, v)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        near[faces[:, i], faces[:, j]] = near[faces[:, j], faces[:, i]] = 1
    mean = near / near.sum(1, keepdim=True).clamp(min=1)
    held = known[..., None].to(colors)
    system = torch.eye(v, dtype=colors.dtype, device=colors.device) - (1 - held) * mean
    return torch.linalg.solve(system, held * colors)
