"""The texture of a hand in an image: sampled where the mesh is visible, completed elsewhere (the paper, Sec. 3.5).

Together with `Renderer.rgb` this is the paper's "neural texture renderer", which shows the same hand from a new view.
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
    """Returns the color of the image at every vertex, and which vertices are visible.

    A vertex is visible if one of the four pixels around it sees a face that has it as a corner, and all four see the
    mesh; next to the outline, the background would mix in.
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
    """Completes colors to all vertices, by `complete_colors` alone or after symmetry.

    colored: which vertices have a color. template: the mesh at rest. hidden: one of `COMPLETIONS`; with `"symmetry"` a
    vertex first takes the color of its opposite vertex if that has one. An image shows one side of a hand, so this
    leaves little to diffusion.
    """
    if hidden not in COMPLETIONS:
        raise ValueError(f"unknown completion '{hidden}': choose one of {', '.join(COMPLETIONS)}")
    if hidden == "symmetry":
        opposite = opposite_vertices(template, faces)
        colors = torch.where(colored[..., None], colors, colors[:, opposite])
        colored = colored | colored[:, opposite]
    return complete_colors(colors, colored, faces)


def opposite_vertices(template: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"]) -> Int[Tensor, " v"]:
    """Returns for every vertex of a hand at rest the vertex on the other side of the palm or finger.

    This is the nearest in x and z (y is the axis from the palm to the back) among the vertices whose normal has the
    opposite sign in y.
    """
    side = vertex_normals(template, faces)[:, 1] > 0
    distance = torch.cdist(template[:, [0, 2]], template[:, [0, 2]])
    return distance.masked_fill(side[:, None] == side, torch.inf).argmin(1)


def complete_colors(
    colors: Float[Tensor, "b v c"], colored: Bool[Tensor, "b v"], faces: Int[Tensor, "f 3"]
) -> Float[Tensor, "b v c"]:
    """Diffuses colors over the mesh: every vertex without a color becomes the mean of its neighbors.

    This is Laplace's equation with the colored vertices as boundary. With these on the right-hand side the system is
    symmetric, and conjugate gradients solve it for all meshes at once, to a few units in the last place. Raises
    `ValueError` for a mesh without any colored vertex.
    """
    if not colored.any(1).all():
        raise ValueError("a mesh has no vertex with a color, so there is nothing to diffuse: is the hand in the image?")
    b, v, c = colors.shape
    neighbors, first, degree = _neighbors(faces, v)
    free = (~colored).T.to(colors).repeat_interleave(c, 1)  # (v, b·c): one column per channel of each mesh
    fixed = (1 - free) * colors.movedim(1, 0).reshape(v, b * c)
    degree = degree.to(colors)[:, None].clamp(min=1)

    def around(x: Tensor) -> Tensor:
        """Sums over the neighbors of each vertex."""
        return functional.embedding_bag(neighbors, x, first, mode="sum")

    x = free * fixed.sum(0) / (1 - free).sum(0)  # starts from the mean color
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
    """Returns the neighbors of all vertices in one list, where those of each vertex start, and how many there are."""
    ends = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = torch.unique(torch.cat([ends, ends.flip(1)]), dim=0)  # sorted by their first end
    degree = torch.bincount(edges[:, 0], minlength=v)
    return edges[:, 1].contiguous(), degree.cumsum(0) - degree, degree
