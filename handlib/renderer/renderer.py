"""`Renderer`: one interface to silhouettes, depth and colours of a mesh in pixel coordinates."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .edges import EdgeGradient
from .interpolate import barycentrics, interpolate
from .rasterize import rasterize

BACKENDS = ("reference",)
GRADIENTS = ("antialias",)


class Renderer:
    """Renders meshes whose vertices are in pixels: x right, y down, centres at +0.5, z a depth (smaller is nearer).

    size: side of a square image, or (height, width). backend: `"reference"` is plain torch on any device; `"auto"`
    picks the fastest there is. gradient: `"antialias"`, the exact gradient of occlusion boundaries (edges.py).

    Every method takes any leading dimensions of `vertices_px` and is deterministic on the CPU.
    """

    def __init__(self, size: int | tuple[int, int] = 224, backend: str = "auto", gradient: str = "antialias"):
        if backend not in ("auto", *BACKENDS):
            raise ValueError(f"unknown backend '{backend}': choose auto or one of {', '.join(BACKENDS)}")
        if gradient not in GRADIENTS:
            raise ValueError(f"unknown gradient '{gradient}': choose one of {', '.join(GRADIENTS)}")
        self.height, self.width = (size, size) if isinstance(size, int) else size
        self.backend = BACKENDS[0] if backend == "auto" else backend
        self.gradient = gradient

    def silhouette(
        self, vertices_px: Float[Tensor, "*batch v 3"], faces: Int[Tensor, "f 3"]
    ) -> Float[Tensor, "*batch h w"]:
        """1 where a face is seen, 0 elsewhere; differentiable along the outline."""
        vertices, face = self._rasterize(vertices_px, faces)
        covered = (face >= 0).to(vertices.dtype)[..., None]
        # An outline always belongs to the side that is covered, so any depth in front of infinity does.
        depth = torch.where(face >= 0, 0.0, torch.inf).to(vertices.dtype)
        image = EdgeGradient.apply(covered, vertices, faces, face, depth)
        return image.view(*vertices_px.shape[:-2], self.height, self.width)

    def depth(self, vertices_px: Float[Tensor, "*batch v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "*batch h w"]:
        """z of the nearest surface, +inf where there is none; differentiable inside the outline."""
        vertices, face = self._rasterize(vertices_px, faces)
        return self._depth(vertices, faces, face).view(*vertices_px.shape[:-2], self.height, self.width)

    def rgb(
        self,
        vertices_px: Float[Tensor, "*batch v 3"],
        faces: Int[Tensor, "f 3"],
        vertex_colors: Float[Tensor, "*#batch v 3"],
        background: Float[Tensor, "*#batch 3 h w"] | None = None,
    ) -> Float[Tensor, "*batch 3 h w"]:
        """Vertex colours blended over the faces, in front of `background` (black when none is given).

        Differentiable in the colours, in the vertices (shading and outlines) and in the background.
        """
        lead = vertices_px.shape[:-2]
        vertices, face = self._rasterize(vertices_px, faces)
        colors = vertex_colors.expand(*lead, -1, -1).reshape(len(vertices), -1, 3)
        if background is None:
            behind = vertices.new_zeros(1, 1, 1, 3)
        else:
            behind = background.expand(*lead, 3, self.height, self.width)
            behind = behind.reshape(-1, 3, self.height, self.width).movedim(1, -1)
        image = interpolate(colors, vertices, faces, face, behind)
        if vertices.requires_grad:
            with torch.no_grad():
                depth = self._depth(vertices, faces, face)
            image = EdgeGradient.apply(image, vertices, faces, face, depth)
        return image.movedim(-1, 1).view(*lead, 3, self.height, self.width)

    def rasterize(
        self, vertices_px: Float[Tensor, "*batch v 3"], faces: Int[Tensor, "f 3"]
    ) -> tuple[Int[Tensor, "*batch h w"], Float[Tensor, "*batch h w 3"]]:
        """Face index at each pixel (−1: none) and the barycentric weights there (0 where none)."""
        lead = vertices_px.shape[:-2]
        vertices, face = self._rasterize(vertices_px, faces)
        weights = vertices.new_zeros(*face.shape, 3)
        image, row, column = (face >= 0).nonzero(as_tuple=True)
        triangles = vertices[image[:, None], faces[face[image, row, column]], :2]
        centre = torch.stack([column, row], -1).to(vertices.dtype) + 0.5
        weights = weights.index_put((image, row, column), barycentrics(triangles, centre))
        return face.view(*lead, *face.shape[1:]), weights.view(*lead, *weights.shape[1:])

    def _rasterize(self, vertices_px: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
        """Flattens the batch; returns vertices (B, V, 3) and face index (B, H, W)."""
        if vertices_px.shape[-1] != 3:
            raise ValueError(
                f"vertices must be (..., V, 3): x, y in pixels and a depth; got {tuple(vertices_px.shape)}"
            )
        if not torch.isfinite(vertices_px).all():
            raise ValueError("vertices hold NaN or infinity: the mesh diverged, or a point lies in the camera's plane")
        vertices = vertices_px.reshape(-1, *vertices_px.shape[-2:])
        return vertices, rasterize(vertices, faces, self.height, self.width)

    @staticmethod
    def _depth(vertices: Tensor, faces: Tensor, face: Tensor) -> Tensor:
        far = vertices.new_tensor([[[[torch.inf]]]])
        return interpolate(vertices[..., 2:], vertices, faces, face, far)[..., 0]
