"""`Renderer`: renders silhouettes, depth, normals and colors of a mesh in pixel coordinates."""

import math
from numbers import Integral
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from ..support.arguments import checked
from .backends import Backend, check, choose
from .edges import VisibilityGradient
from .interpolate import interpolate
from .rasterize import captured, check_faces, check_mesh, corners

LARGEST = 1 << 14  # side of an image in pixels
GRADIENTS = ("antialias", "kato", "soft")


class _Scene(NamedTuple):
    """A batch of meshes in sample coordinates, and the face that each sample sees."""

    vertices: Float[Tensor, "b v 3"]
    faces: Int[Tensor, "#b f 3"]
    face: Int[Tensor, "b h w"]
    backend: Backend


class Renderer:
    """Renders meshes whose vertices are in pixels: x right, y down, centers at +0.5, z a depth (smaller is nearer).

    size: side of a square image, or (height, width).
    backend: `"reference"` is plain torch on any device; `"fast"` is compiled loops on the CPU (numba) and on CUDA
        (Triton); `"auto"` picks one of these; `"pytorch3d"` is that library's rasterizer, if installed.
    gradient: how visibility is differentiated by the vertices. `"antialias"`: the exact gradient of outlines
        (edges.py). `"kato"`: the pseudo-gradient of the paper's renderer (kato.py), which also acts on a mesh that does
        not touch its target. `"soft"`: blurred faces (soft.py), for silhouettes only.
    supersampling: each pixel is the mean over a square of this many samples a side; 2 for `"kato"`, as in the paper,
        and 1 otherwise by default.
    sigma: the blur of `"soft"`.
    near: faces with a corner at this depth or nearer are left out; 0 for a perspective camera.

    Every method takes any leading dimensions of `vertices_px`; `faces` are the same for all meshes, or one set per
    mesh. Results are deterministic, except on CUDA the gradients of `"reference"` and of textures, which torch sums in
    arbitrary order.
    """

    @checked
    def __init__(
        self,
        size: int | tuple[int, int] = 224,
        backend: str = "auto",
        gradient: str = "antialias",
        supersampling: int | None = None,
        sigma: float = 1e-4,
        near: float | None = None,
    ):
        if gradient not in GRADIENTS:
            raise ValueError(f"unknown gradient '{gradient}': choose one of {', '.join(GRADIENTS)}")
        if supersampling is None:
            supersampling = 2 if gradient == "kato" else 1
        sides = tuple(size) if isinstance(size, tuple | list) else (size, size)
        for name, values in (("size", sides), ("supersampling", (supersampling,) * 2)):
            if len(values) != 2 or not all(isinstance(v, Integral) and 1 <= v <= LARGEST for v in values):
                raise ValueError(f"{name} must be whole numbers from 1 to {LARGEST}, not {values}"[:200])
        self.height, self.width = map(int, sides)
        if self.height * self.width * supersampling**2 > LARGEST**2:
            raise ValueError(f"supersampling must leave at most {LARGEST} samples a side")
        if not 0 < sigma < math.inf:
            raise ValueError(f"sigma must be above 0, not {sigma!r}")
        self.backend, self.gradient, self.sigma, self.near = backend, gradient, sigma, near
        self.supersampling = supersampling
        check(backend)  # fails here rather than at the first image

    def __repr__(self) -> str:
        return f"Renderer(({self.height}, {self.width}), backend={self.backend!r}, gradient={self.gradient!r})"

    @checked
    def silhouette(
        self, vertices_px: Float[Tensor, "*batch v 3"], faces: Int[Tensor, "*#batch f 3"]
    ) -> Float[Tensor, "*batch h w"]:
        """Renders 1 where a face is seen and 0 elsewhere; differentiable along the outline."""
        lead = vertices_px.shape[:-2]
        if self.gradient == "soft":
            vertices, faces, backend = self._flat(vertices_px, faces, self.supersampling)
            image = backend.soft_silhouette(vertices, faces, *self._samples(self.supersampling), self.sigma)[..., None]
        else:
            scene = self._scene(vertices_px, faces, self.supersampling)
            seen = (scene.face >= 0).view(torch.uint8)  # converting from bool would take twice as long
            image = self._visible(seen.to(scene.vertices)[..., None], scene)
        return self._mean(image).reshape(*lead, self.height, self.width)

    @checked
    def depth(
        self,
        vertices_px: Float[Tensor, "*batch v 3"],
        faces: Int[Tensor, "*#batch f 3"],
        background: float = torch.inf,
    ) -> Float[Tensor, "*batch h w"]:
        """Renders z of the nearest surface at the pixel centers, and `background` where there is none.

        Differentiable on the surface and at its outlines; at outlines against the background only if that is finite.
        """
        scene = self._scene(vertices_px, faces)
        z = corners(scene.vertices[..., 2:], scene.faces)
        image = interpolate(z, *scene[:3], scene.vertices.new_full((1, 1, 1, 1), background))
        return self._visible(image, scene)[..., 0].view(*vertices_px.shape[:-2], self.height, self.width)

    @checked
    def rgb(
        self,
        vertices_px: Float[Tensor, "*batch v 3"],
        faces: Int[Tensor, "*#batch f 3"],
        vertex_colors: Float[Tensor, "*#batch v 3"],
        background: Float[Tensor, "*#batch 3 h w"] | None = None,
    ) -> Float[Tensor, "*batch 3 h w"]:
        """Renders vertex colors blended over the faces, in front of `background` (black by default).

        Differentiable in the colors, in the vertices (shading and outlines) and in the background.
        """
        scene = self._scene(vertices_px, faces, self.supersampling)
        colors = vertex_colors.expand(*vertices_px.shape[:-2], -1, -1).reshape(scene.vertices.shape)
        image = interpolate(
            corners(colors, scene.faces), *scene[:3], self._behind(background, scene, vertices_px.shape[:-2])
        )
        return self._picture(image, scene, vertices_px)

    @checked
    def textured(
        self,
        vertices_px: Float[Tensor, "*batch v 3"],
        faces: Int[Tensor, "*#batch f 3"],
        texture: Float[Tensor, "*#batch c ht wt"],
        uv: Float[Tensor, "n 2"],
        uv_faces: Int[Tensor, "f 3"],
        background: Float[Tensor, "*#batch c h w"] | None = None,
    ) -> Float[Tensor, "*batch c h w"]:
        """Renders a texture laid over the faces, bilinearly sampled; otherwise like `rgb`.

        uv: texture coordinates in [0, 1], u to the right and v up, as in .obj files. uv_faces: the three rows of `uv`
        of each face; a vertex may have different coordinates in different faces.
        """
        uv_faces = uv_faces.long()  # bytes would be read as a mask
        check_faces(uv_faces, len(uv), "uv_faces")
        scene = self._scene(vertices_px, faces, self.supersampling)
        outside = scene.vertices.new_full((1, 1, 1, 2), 0.5)
        lookup = interpolate(uv[uv_faces][None], *scene[:3], outside) * uv.new_tensor([2, -2]) + uv.new_tensor([-1, 1])
        channels = texture.shape[-3]
        sheets = texture.expand(*vertices_px.shape[:-2], *texture.shape[-3:]).reshape(-1, *texture.shape[-3:])
        image = functional.grid_sample(sheets, lookup, padding_mode="border", align_corners=False).movedim(1, -1)
        image = torch.where(
            (scene.face >= 0)[..., None], image, self._behind(background, scene, vertices_px.shape[:-2], channels)
        )
        return self._picture(image, scene, vertices_px)

    @checked
    def normals(
        self,
        vertices_px: Float[Tensor, "*batch v 3"],
        faces: Int[Tensor, "*#batch f 3"],
        vertex_normals: Float[Tensor, "*#batch v 3"],
    ) -> Float[Tensor, "*batch 3 h w"]:
        """Renders unit normals at the pixel centers, blended from those of the vertices; 0 where there is no mesh."""
        if not (captured(vertex_normals) or torch.isfinite(vertex_normals).all()):
            raise ValueError("vertex_normals hold NaN or infinity: take those of faces without area as zero")
        scene = self._scene(vertices_px, faces)
        normals = vertex_normals.expand(*vertices_px.shape[:-2], -1, -1).reshape(scene.vertices.shape)
        image = interpolate(corners(normals, scene.faces), *scene[:3], normals.new_zeros(1, 1, 1, 3))
        image = functional.normalize(image, dim=-1)
        return image.movedim(-1, 1).view(*vertices_px.shape[:-2], 3, self.height, self.width)

    @checked
    def rasterize(
        self, vertices_px: Float[Tensor, "*batch v 3"], faces: Int[Tensor, "*#batch f 3"]
    ) -> tuple[Int[Tensor, "*batch h w"], Float[Tensor, "*batch h w 3"]]:
        """Returns the face index at each pixel (−1: none) and the barycentric weights there (0 where none)."""
        lead = vertices_px.shape[:-2]
        scene = self._scene(vertices_px, faces)
        corner = torch.eye(3).to(scene.vertices).expand(1, faces.shape[-2], 3, 3)
        weights = interpolate(corner, *scene[:3], corner.new_zeros(1, 1, 1, 3))
        return scene.face.long().view(*lead, *scene.face.shape[1:]), weights.view(*lead, *weights.shape[1:])

    def _samples(self, supersampling: int) -> tuple[int, int]:
        return self.height * supersampling, self.width * supersampling

    def _flat(self, vertices_px: Tensor, faces: Tensor, supersampling: int) -> tuple[Tensor, Tensor, Backend]:
        """Converts the inputs to one batch dimension, with x and y in samples."""
        if faces.dtype not in (torch.int64, torch.int32):
            faces = faces.long()
        single = torch.promote_types(vertices_px.dtype, torch.float32)  # half precision would move outlines
        lead = vertices_px.shape[:-2]
        vertices = vertices_px.to(single).reshape(lead.numel(), *vertices_px.shape[-2:])
        if faces.ndim == 2:
            faces = faces[None]
        else:
            faces = faces.expand(*lead, -1, -1).reshape(lead.numel(), *faces.shape[-2:])
        backend = choose(self.backend, vertices.device.type)
        if not backend.checks or self.near is not None or not len(vertices):
            check_mesh(vertices, faces)
        if self.near is not None:  # a face whose three corners are the same vertex is not drawn
            far = (corners(vertices[..., 2:], faces)[..., 0] > self.near).all(-1, keepdim=True)
            faces = faces.where(far, faces[..., :1])
        if supersampling > 1:
            vertices = torch.cat([vertices[..., :2] * supersampling, vertices[..., 2:]], -1)
        return vertices, faces, backend

    def _scene(self, vertices_px: Tensor, faces: Tensor, supersampling: int = 1) -> _Scene:
        vertices, faces, backend = self._flat(vertices_px, faces, supersampling)
        return _Scene(vertices, faces, backend.rasterize(vertices, faces, *self._samples(supersampling)), backend)

    def _behind(self, background: Tensor | None, scene: _Scene, lead: tuple[int, ...], channels: int = 3) -> Tensor:
        """Returns the background as a batch, in samples and channels-last; one black pixel if there is none."""
        if background is None:
            return scene.vertices.new_zeros(1, 1, 1, channels)
        expected = (channels, self.height, self.width)
        if background.shape[-3:] != expected:
            raise ValueError(f"background must end in {expected}: got {tuple(background.shape)}")
        background = background.expand(*lead, *background.shape[-3:]).reshape(-1, *background.shape[-3:])
        k = self.supersampling
        return background.repeat_interleave(k, -1).repeat_interleave(k, -2).movedim(1, -1)

    def _visible(self, image: Float[Tensor, "b h w c"], scene: _Scene) -> Float[Tensor, "b h w c"]:
        """Returns the same image, with the gradient of visibility by the vertices attached."""
        if not scene.vertices.requires_grad:
            return image
        if self.gradient == "soft":
            raise ValueError("the soft gradient is for silhouettes: choose gradient='antialias' or 'kato'")
        push = scene.backend.edge_push if self.gradient == "antialias" else scene.backend.kato_push
        return VisibilityGradient.apply(image, *scene[:3], push)

    def _picture(self, image: Tensor, scene: _Scene, vertices_px: Tensor) -> Tensor:
        image = self._mean(self._visible(image, scene))
        return image.reshape(*vertices_px.shape[:-2], *image.shape[1:])

    def _mean(self, image: Float[Tensor, "b hs ws c"]) -> Float[Tensor, "b c h w"]:
        """Averages samples to pixels."""
        image, k = image.movedim(-1, 1), self.supersampling
        if k == 1:
            return image
        return functional.avg_pool2d(image / k**2, k, divisor_override=1)  # a sum of the largest numbers overflows
