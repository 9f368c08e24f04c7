"""Turns face indices into images: attributes of the corners blended by barycentric weights, differentiable in both."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def barycentrics(triangles: Float[Tensor, "n 3 2"], points: Float[Tensor, "n 2"]) -> Float[Tensor, "n 3"]:
    """Returns the weights of the three corners that give each point; they sum to 1."""
    to_corner = triangles - points[:, None]
    a, b = to_corner.roll(-1, 1), to_corner.roll(-2, 1)
    areas = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return areas / areas.sum(-1, keepdim=True)


def interpolate(
    attributes: Float[Tensor, "#b f 3 c"],
    vertices: Float[Tensor, "b v 3"],
    faces: Int[Tensor, "#b f 3"],
    face: Int[Tensor, "b h w"],
    background: Float[Tensor, "#b #h #w c"],
) -> Float[Tensor, "b h w c"]:
    """Blends the attributes of the faces' corners over the pixels that see them; other pixels show `background`."""
    image, row, column = (face >= 0).nonzero(as_tuple=True)
    number = face[image, row, column]
    corner = faces[image if len(faces) != 1 else 0, number]
    center = torch.stack([column, row], -1).to(vertices) + 0.5
    weights = barycentrics(vertices[image[:, None], corner, :2], center)
    color = (weights[..., None] * attributes[image if len(attributes) != 1 else 0, number]).sum(1)
    canvas = background.expand(*face.shape, -1).clone()
    return canvas.index_put((image, row, column), color)
