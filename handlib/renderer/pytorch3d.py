"""pytorch3d's rasterizer behind handlib's interface, for comparison and for the soft silhouette on CUDA.

Its soft silhouette blends only the nearest `FACES` faces of a pixel, where soft.py blends all; a hand needs fifty.
"""

import torch
from jaxtyping import Float, Int
from pytorch3d.renderer.blending import BlendParams, sigmoid_alpha_blend
from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
from pytorch3d.renderer.mesh.rasterizer import Fragments
from pytorch3d.structures import Meshes
from torch import Tensor

from .soft import CUT

FACES = 50  # per pixel; with fewer, silhouettes have holes


def rasterize(
    vertices: Float[Tensor, "b v 3"], faces: Int[Tensor, "#b f 3"], height: int, width: int
) -> Int[Tensor, "b h w"]:
    """Computes `rasterize.rasterize`; only pixels whose centers lie exactly on an edge may differ."""
    meshes = _meshes(vertices.detach(), faces, height, width)
    face = rasterize_meshes(meshes, (height, width), blur_radius=0.0, faces_per_pixel=1)[0][..., 0]
    return torch.where(face < 0, face, face % faces.shape[1]).int()


def soft_silhouette(
    vertices: Float[Tensor, "b v 3"], faces: Int[Tensor, "#b f 3"], height: int, width: int, sigma: float
) -> Float[Tensor, "b h w"]:
    """Computes `soft.soft_silhouette` over the nearest faces."""
    meshes = _meshes(vertices, faces, height, width)
    fragments = Fragments(*rasterize_meshes(meshes, (height, width), CUT * sigma, FACES))
    image = sigmoid_alpha_blend(torch.ones_like(fragments.bary_coords), fragments, BlendParams(sigma=sigma))
    return image[..., 3]


def _meshes(vertices: Tensor, faces: Tensor, height: int, width: int) -> Meshes:
    """Converts to pytorch3d's coordinates: x to the left, y up, the shorter side from −1 to 1.

    pytorch3d drops a pixel where the plane of the face has a negative depth, which happens beside the edges of a steep
    face. All depths are therefore moved close to 100; only their order matters.
    """
    center = vertices.new_tensor([width / 2, height / 2])
    xy = (center - vertices[..., :2]) * (2 / min(height, width))
    z = 100 + vertices[..., 2:] / vertices[..., 2:].detach().abs().amax((1, 2), keepdim=True).clamp(min=1)
    return Meshes(torch.cat([xy, z], -1), faces.expand(len(vertices), -1, -1))
