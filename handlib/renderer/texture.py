"""The texture of a hand in a picture: sampled where the mesh is seen, completed where it is not (the paper, Sec. 3.5).

With `Renderer.rgb` this is the paper's "neural texture renderer": the same hand, in its own skin, in a new view.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from ..hand.mesh import vertex_normals
from .renderer import Renderer

COMPLETIONS = ("diffusion", "symmetry")


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
            position = row.clamp(0, h - 1) * w + column.clamp(0, w - 1)
            seen.append(torch.where(inside, face.view(b, -1).gather(1, position), -1))
    seen = torch.stack(seen, -1)  # (b, v, 4)
    number = torch.arange(vertices_px.shape[1], device=image.device)[:, None, None]
    shown = (faces[seen.clamp(min=0)] == number).flatten(2).any(-1) & (seen >= 0).all(-1)
    position = 2 * xy / xy.new_tensor([w, h]) - 1
    colors = functional.grid_sample(image, position[:, :, None], padding_mode="border", align_corners=False)
    return colors[..., 0].transpose(1, 2), shown


def complete(
    colors: Float[Tensor, "b v c"],
    colored: Bool[Tensor, "b v"],
    template: Float[Tensor, "v 3"],
    faces: Int[Tensor, "f 3"],
    hidden: str = "diffusion",
) -> Float[Tensor, "b v c"]:
    """Colors for all vertices from those of the known ones: by `complete_colors`, or first by symmetry.

    hidden: one of `COMPLETIONS`. `"symmetry"`: a vertex takes the color of its `opposite_vertices` if that is known; an
    image shows one side of a hand, so this leaves little to diffusion. `template` is the mesh at rest.
    """
    if hidden not in COMPLETIONS:
        raise ValueError(f"unknown completion '{hidden}': choose one of {', '.join(COMPLETIONS)}")
    if hidden == "symmetry":
        opposite = opposite_vertices(template, faces)
        colors = torch.where(colored[..., None], colors, colors[:, opposite])
        colored = colored | colored[:, opposite]
    return complete_colors(colors, colored, faces)


def opposite_vertices(template: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"]) -> Int[Tensor, " v"]:
    """For every vertex of a hand at rest that one on its other side: through the palm, or through the finger.

    The nearest in x and z (y is the axis from the palm to its back) among the vertices whose normal has the other sign
    of y.
    """
    side = vertex_normals(template, faces)[:, 1] > 0
    distance = torch.cdist(template[:, [0, 2]], template[:, [0, 2]])
    return distance.masked_fill(side[:, None] == side, torch.inf).argmin(1)


def complete_colors(
    colors: Float[Tensor, "b v c"], colored: Bool[Tensor, "b v"], faces: Int[Tensor, "f 3"]
) -> Float[Tensor, "b v c"]:
    """Diffuses the known colors over the mesh: every other vertex becomes the mean of its neighbors.

    This is Laplace's equation with the known vertices as its boundary. With these moved to the right it is symmetric,
    and conjugate gradients solve it for all meshes at once, to a few units of the last digit. `ValueError` where a mesh
    has no known vertex.
    """
    if not colored.any(1).all():
        raise ValueError("no vertex of a mesh is known, so there is nothing to diffuse: does the image show the hand?")
    b, v, c = colors.shape
    neighbors, first, degree = _neighbors(faces, v)
    free = (~colored).T.to(colors).repeat_interleave(c, 1)  # (v, b·c): a column for each channel of each mesh
    fixed = (1 - free) * colors.movedim(1, 0).reshape(v, b * c)
    degree = degree.to(colors)[:, None].clamp(min=1)

    def around(x: Tensor) -> Tensor:
        """The sum over each vertex's neighbors."""
        return functional.embedding_bag(neighbors, x, first, mode="sum")

    x = free * fixed.sum(0) / (1 - free).sum(0)  # the mean of what is known
    residual = free * (around(fixed) + around(x) - degree * x)
    direction = residual / degree  # Jacobi's preconditioner
    power = (residual * direction).sum(0)
    enough = power.new_tensor((4 * torch.finfo(colors.dtype).eps) ** 2)
    for step in range(v):
        image = free * (degree * direction - around(direction))
        length = power / (direction * image).sum(0).clamp(min=enough**2)
        x = x + length * direction
        residual = residual - length * image
        before, power = power, (residual**2 / degree).sum(0)
        if step % 16 == 15 and bool((power <= enough).all()):
            break
        direction = residual / degree + power / before.clamp(min=enough**2) * direction
    return (fixed + x).view(v, b, c).movedim(0, 1)


def _neighbors(faces: Int[Tensor, "f 3"], v: int) -> tuple[Int[Tensor, " e"], Int[Tensor, " v"], Int[Tensor, " v"]]:
    """Neighbors of all vertices one after the other, where each vertex's begin, and how many they are."""
    ends = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = torch.unique(torch.cat([ends, ends.flip(1)]), dim=0)  # sorted by their first end
    degree = torch.bincount(edges[:, 0], minlength=v)
    return edges[:, 1].contiguous(), degree.cumsum(0) - degree, degree
