"""The gradient of visibility, which rasterisation lacks.

A hard image is piecewise constant in the vertices: its derivative is zero wherever it exists, yet moving an edge moves
the boundary between two colours. For neighbouring pixels that see different faces, the boundary between them belongs
to the nearer face. If that face moves by d pixels along the axis, the boundary sweeps d pixels from one colour to the
other, and the loss changes by d·(I_a − I_c)·(g_a + g_c)/2, g being the gradient at the two pixels. The face's vertices
share the push by the barycentric weights of the nearer pixel. Only the contour's pixels do any work. The idea:
Pidhorskyi et al., "Rasterized Edge Gradients", 2024.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .interpolate import barycentrics


class EdgeGradient(torch.autograd.Function):
    """Identity on an image that sends the gradient of its occlusion boundaries to the vertices."""

    @staticmethod
    def forward(
        ctx,
        image: Float[Tensor, "b h w c"],
        vertices: Float[Tensor, "b v 3"],
        faces: Int[Tensor, "f 3"],
        face: Int[Tensor, "b h w"],
        depth: Float[Tensor, "b h w"],
    ) -> Float[Tensor, "b h w c"]:
        ctx.save_for_backward(image, vertices, faces, face, depth)
        return image.clone()

    @staticmethod
    def backward(ctx, gradient):
        image, vertices, faces, face, depth = ctx.saved_tensors
        b, h, w, c = image.shape
        colours, pulls = image.reshape(-1, c), gradient.reshape(-1, c)
        face, depth = face.reshape(-1), depth.reshape(-1)
        number = torch.arange(b * h * w, device=image.device).view(b, h, w)
        push = torch.zeros_like(vertices)
        for axis, first, second in (
            (0, number[:, :, :-1], number[:, :, 1:]),  # left, right
            (1, number[:, :-1], number[:, 1:]),  # above, below
        ):
            first, second = first.reshape(-1), second.reshape(-1)
            boundary = face[first] != face[second]
            first, second = first[boundary], second[boundary]
            step = ((colours[first] - colours[second]) * (pulls[first] + pulls[second])).sum(1) / 2
            first, second, step = first[step != 0], second[step != 0], step[step != 0]
            near = torch.where(depth[first] <= depth[second], first, second)
            corners = faces[face[near]]  # (n, 3) vertex numbers
            image_number = near // (h * w)
            centre = torch.stack([near % w, near // w % h], -1) + 0.5
            weights = barycentrics(vertices[image_number[:, None], corners, :2], centre.to(vertices.dtype))
            push[..., axis].index_put_((image_number[:, None], corners), weights * step[:, None], accumulate=True)
        return gradient, push, None, None, None
