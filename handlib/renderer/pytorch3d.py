"""pytorch3d's rasterizer behind our interface, where it is installed: a peer to compare with, and soft faces on CUDA.

Its soft silhouette is that of soft.py over the nearest `FACES` faces of a pixel instead of all; a hand needs fifty.
"""

import torch
from jaxtyping import Float, Int
from pytorch3d.renderer.blending import BlendParams, sigmoid_alpha_blend
from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
from pytorch3d.renderer.mesh.rasterizer import Fragments
from pytorch3d.structures import Meshes
from torch import Tensor

from .soft import CUT

FACES = 50  # of a pixel; with fewer, silhouettes have holes


def rasterize(
    vertices: Float[Tensor, "b v 3"], faces: Int[Tensor, "#b f 3"], height: int, width: int
) -> Int[Tensor, "b h w"]:
    """rasterize.rasterize, but for the pixels whose centers lie on an edge."""
    meshes = _meshes(vertices.detach(), faces, height, width)
    face = rasterize_meshes(meshes, (height, width), blur_radius=0.0, faces_per_pixel=1)[0][..., 0]
    return torch.where(face < 0, face, face % faces.shape[1]).int()


def soft_silhouette(
    vertices: Float[Tensor, "b v 3"], faces: Int[Tensor, "#b f 3"], height: int, width: int, sigma: float
) -> Float[Tensor, "b h w"]:
    """soft.soft_silhouette, over the nearest faces."""
    meshes = _meshes(vertices, faces, height, width)
    fragments = Fragments(*rasterize_meshes(meshes, (height, width), CUT * sigma, FACES))
    image = sigmoid_alpha_blend(torch.ones_like(fragments.bary_coords), fragments, BlendParams(sigma=sigma))
    return image[..., 3]


def _meshes(vertices: Tensor, faces: Tensor, height: int, width: int) -> Meshes:
    """In its coordinates: x to the left, y up, the shorter side from −1 to 1.

    It drops a pixel where the plane of the face has a negative depth, which a steep one soon has beside its edges: so
    all depths are brought close to 100. Only their order matters.
    """
    center = vertices.new_tensor([width / 2, height / 2])
    xy = (center - vertices[..., :2]) * (2 / min(height, width))
    z = 100 + vertices[..., 2:] / vertices[..., 2:].detach().abs().amax((1, 2), keepdim=True).clamp(min=1)
    return Meshes(torch.cat([xy, z], -1), faces.expand(len(vertices), -1, -1))
