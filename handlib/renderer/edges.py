"""The gradient of visibility, which rasterization lacks.

A hard image is piecewise constant in the vertices: its derivative is zero wherever it exists, yet moving an outline
moves the boundary between two colors. Take two neighboring pixels a and c with an outline between them. If the face
that occludes the other moves by d pixels along the axis, the boundary sweeps d pixels from one color to the other, and
the loss changes by d·(I_a − I_c)·(g_a + g_c)/2, where g is the gradient at the two pixels. This push is divided among
the vertices of the face by its barycentric weights half-way between the pixels, where the boundary is on average. Only
pixels at an outline cost any work. The idea is from Pidhorskyi et al., "Rasterized Edge Gradients", 2024.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .interpolate import barycentrics
from .rasterize import EMPTY, twice_area


class VisibilityGradient(torch.autograd.Function):
    """Identity on an image; in the backward pass, `push` computes the gradient of its outlines by the vertices."""

    @staticmethod
    def forward(
        ctx,
        image: Float[Tensor, "b h w c"],
        vertices: Float[Tensor, "b v 3"],
        faces: Int[Tensor, "#b f 3"],
        face: Int[Tensor, "b h w"],
        push: Callable[..., Tensor],
    ) -> Float[Tensor, "b h w c"]:
        ctx.save_for_backward(image, vertices, faces, face)
        ctx.push = push
        return image.view_as(image)

    @staticmethod
    def backward(ctx, gradient):
        image, vertices, faces, face = ctx.saved_tensors
        moved = ctx.push(image, gradient, vertices, faces, face) if ctx.needs_input_grad[1] else None
        if torch.is_grad_enabled() and moved is not None and not moved.requires_grad:
            raise RuntimeError("the fast renderer is differentiable once: choose backend='reference' for create_graph")
        return gradient, moved, None, None, None


def edge_push(
    image: Float[Tensor, "b h w c"],
    gradient: Float[Tensor, "b h w c"],
    vertices: Float[Tensor, "b v 3"],
    faces: Int[Tensor, "#b f 3"],
    face: Int[Tensor, "b h w"],
) -> Float[Tensor, "b v 3"]:
    """Computes the gradient of the loss by the vertices along the outlines; it is zero in z.

    image, gradient: the colors and the loss's gradient by them. face: the face that each pixel sees (−1: none).
    """
    b, h, w, c = image.shape
    colors, pulls = image.reshape(-1, c), gradient.reshape(-1, c)
    face = face.reshape(-1)
    number = torch.arange(b * h * w, device=image.device).view(b, h, w)
    push = torch.zeros_like(vertices)
    for axis, first, second in (
        (0, number[:, :, :-1], number[:, :, 1:]),  # left, right
        (1, number[:, :-1], number[:, 1:]),  # above, below
    ):
        first, second = first.reshape(-1), second.reshape(-1)
        boundary = (face[first] != face[second]).nonzero()[:, 0]
        first, second = first[boundary], second[boundary]
        step = ((colors[first] - colors[second]) * (pulls[first] + pulls[second])).sum(1) / 2
        pulling = ((step != 0) & torch.isfinite(step)).nonzero()[:, 0]
        first, second, step = first[pulling], second[pulling], step[pulling]
        batch = first // (h * w)
        a, c_ = centers(first, h, w, vertices), centers(second, h, w, vertices)
        near, occludes = _occluder(vertices, faces, batch, face[first], face[second], a, c_)
        batch, near, step = batch[occludes], near[occludes], step[occludes]
        corner = faces[batch if len(faces) != 1 else 0, near]  # (n, 3) vertex numbers
        middle = (a[occludes] + c_[occludes]) / 2
        weights = barycentrics(vertices[batch[:, None], corner, :2], middle)
        push[..., axis].index_put_((batch[:, None], corner), weights * step[:, None], accumulate=True)
    return push


def centers(pixel: Int[Tensor, " n"], height: int, width: int, like: Tensor) -> Float[Tensor, "n 2"]:
    """Returns the centers (x, y) of pixels that are numbered row by row, image by image."""
    return torch.stack([pixel % width, pixel // width % height], -1).to(like) + 0.5


def _occluder(
    vertices: Tensor,
    faces: Tensor,
    batch: Int[Tensor, " n"],
    f: Int[Tensor, " n"],
    g: Int[Tensor, " n"],
    a: Float[Tensor, "n 2"],
    c: Float[Tensor, "n 2"],
) -> tuple[Int[Tensor, " n"], Bool[Tensor, " n"]]:
    """Finds which of two faces, seen at the neighboring centers a and c, is in front, and whether there is an outline.

    There is an outline against the background, and where the plane of one face is in front of the other at both pixels.
    If the planes cross in between, or the faces share a corner, the surface continues from one face to the other and
    shading accounts for its gradient, unless the surface folds back there.
    """
    corner_f, corner_g = (faces[batch if len(faces) != 1 else 0, number.clamp(min=0)] for number in (f, g))
    triangle_f, triangle_g = vertices[batch[:, None], corner_f], vertices[batch[:, None], corner_g]
    gap_a, gap_c = (_depth(triangle_f, point) - _depth(triangle_g, point) for point in (a, c))
    touch = (corner_f[:, :, None] == corner_g[:, None]).flatten(1).any(1)
    one_side = twice_area(triangle_f) * twice_area(triangle_g) > 0
    outline = (f == EMPTY) | (g == EMPTY) | ((gap_a * gap_c > 0) & ~(touch & one_side))
    first_is_near = (g == EMPTY) | ((f != EMPTY) & (gap_a < 0))
    return torch.where(first_is_near, f, g), outline


def _depth(triangles: Float[Tensor, "n 3 3"], points: Float[Tensor, "n 2"]) -> Float[Tensor, " n"]:
    """Returns the depth of the plane of each triangle at a point."""
    return (barycentrics(triangles[..., :2], points) * triangles[..., 2]).sum(-1)
