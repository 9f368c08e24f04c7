"""The check before every loop over a mesh, inside of the compiled code: a hundredth of what the loop takes.

Each loop looks for itself, in the backward pass, too, since faces may be changed in place at any time.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...support.jit import each, jit
from ..rasterize import FARTHEST, check_mesh

_FARTHEST = np.float32(FARTHEST)  # single precision stays single


def each_mesh(kernel: Callable, vertices: Tensor, faces: Tensor, *arguments: Tensor | float) -> None:
    """`jit.each` for a kernel that returns at once, with False, if its vertices and faces are not `sound`.

    Raises `ValueError` that says what is wrong with the mesh.
    """
    if not all(each(kernel, len(vertices), vertices, faces, *arguments)):
        check_mesh(vertices, faces)


def pushed(
    kernel: Callable,
    image: Float[Tensor, "b h w c"],
    gradient: Float[Tensor, "b h w c"],
    vertices: Float[Tensor, "b v 3"],
    faces: Int[Tensor, "#b f 3"],
    face: Int[Tensor, "b h w"],
) -> Float[Tensor, "b v 3"]:
    """Computes `edges.edge_push` or `kato.kato_push`, by the kernel."""
    push = torch.zeros_like(vertices, memory_format=torch.contiguous_format)
    each_mesh(kernel, vertices, faces, image, gradient, face, push)
    return push


@jit
def sound(vertices, faces):
    """Returns whether all corners are vertex numbers and all vertices are finite. Without branches, for SIMD."""
    last, corners, coordinates = len(vertices) - 1, faces.reshape(-1), vertices.reshape(-1)
    signs = 0
    for n in range(len(corners)):
        corner = int(corners[n])
        signs |= corner | (last - corner)  # negative where either is
    far = False
    for n in range(len(coordinates)):
        far |= not (abs(coordinates[n]) <= _FARTHEST)
    return signs >= 0 and not far
