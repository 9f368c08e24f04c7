"""Self-supervised data augmentation (Sec. 3.5): the hands that the model sees in its images, seen anew.

A *seed* is an estimate of the current model on a training image. Each gives some new instances: the seed's pose in
another shape, from another side, in the skin that the image shows under the seed mesh, before another background. The
model need not be right about the image: mask and skeleton of a new instance belong to its picture exactly, since all
three are projections of one mesh.

The new hand stands in meters before a pinhole camera, so that `project(joints_cam, K)` is `joints_px` to rounding and
Eq. 8 applies as to any other sample; its crop is `CROP_FACTOR` times the box of its joints.
"""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn import functional

from .camera import FLIP, crop_box, crop_intrinsics, crop_to_px, project, px_to_crop, quaternion_to_rotation, unproject
from .dhpe import DHPE, check_images
from .hand.joints import MIDDLE_MCP
from .hand.mesh import boundary_loop
from .losses import PAPER_SIZE, LossWeights, shape_weight
from .output import DHPEOutput
from .parameters import MeshParameters
from .renderer import Renderer
from .renderer.texture import COMPLETIONS, complete, sample_colors
from .support import roma
from .support.arguments import as_tensor, check_fields

ROTATIONS, CAMERAS = ("axes", "sphere"), ("seed", "orthographic")
FAR = 20.0  # meters: from there on a hand, being 0.1 m deep about its root, is seen orthographically to 0.5 %
NEAREST = 0.3  # meters: a camera nearer than this to the root could be inside a hand


@runtime_checkable
class Photographs(Protocol):
    """What is asked of a source of backgrounds, such as `data.BuiltinBackgrounds`."""

    def __len__(self) -> int: ...

    def photograph(self, index: int) -> UInt8[Tensor, "3 h w"]: ...


@dataclass(frozen=True)
class AugmentationConfig:
    """What Sec. 3.5 says, and what it leaves open. The defaults are the paper's where it is exact.

    rotation: `"axes"`: an angle about each of the three axes uniform in [0, 2π), as the paper writes it, which looks
        along the middle axis' poles more often than elsewhere; `"sphere"`: uniform over all rotations.
    camera: `"seed"`: the camera of the seed's image, the root as far away as the seed's true root, so that new
        pictures have the perspective of the real ones; `"orthographic"`: the method's own camera, as a pinhole `FAR`
        away, which needs no truth.
    hidden: where the colors of vertices that the image hides come from: `"symmetry"`: from the other side of the hand
        (of a finger: its back for its front), then their neighbors; `"diffusion"`: from their neighbors alone, which
        leaves the hidden side flat.
    masked: take colors only where the image's mask says hand; a seed that misses its hand would wear the background.
    threshold_px: T of Eq. 12, for a seed whose mask is not known: it is usable where its mean 2D joint error is at most
        this, in pixels of the paper's crop, as the shape loss trusts such an estimate.
    """

    per_seed: int = 3
    shape_range: float = 3.0  # standard deviations; every β is uniform in ± this
    rotation: str = "axes"
    camera: str = "seed"
    hidden: str = "symmetry"
    masked: bool = True
    threshold_px: float = LossWeights.threshold_px
    least_shown: float = 0.1  # of the vertices; a seed with fewer is rejected. A true mesh shows 0.2 to 0.4 of its own
    supersampling: int = 2  # pictures are drawn this many times larger and averaged

    def __post_init__(self):
        check_fields(self)
        for name, choices in (("rotation", ROTATIONS), ("camera", CAMERAS), ("hidden", COMPLETIONS)):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"augmentation: {name} must be one of {', '.join(choices)}, not {getattr(self, name)!r}"
                )
        if self.per_seed < 1 or self.supersampling < 1 or not 0 <= self.shape_range < math.inf:
            raise ValueError(
                "augmentation: per_seed and supersampling must be at least 1, shape_range a number from 0: got "
                f"{self.per_seed}, {self.supersampling}, {self.shape_range}"
            )


def augment(
    model: DHPE,
    output: DHPEOutput,
    images: Float[Tensor, "b 3 s s"],
    batch: dict[str, Tensor],
    generator: torch.Generator,
    backgrounds: Photographs,
    config: AugmentationConfig | None = None,
) -> dict[str, Tensor]:
    """New training instances from the estimates `output` of `model` on `images`, which are those of `batch`.

    The result has the fields of `data.collate` (image, mask, joints_px, joints_cam, visible, K, vertices_cam), on the
    device of the images, at their size; `pool` puts them beside the batch. Its rows are `per_seed` for each usable
    seed (`seed_colors`), in the seeds' order; where no seed is usable there are none. `generator` alone decides what is
    drawn. backgrounds: what to put behind them, such as `data.BuiltinBackgrounds("train")`.
    """
    config = config or AugmentationConfig()
    images = as_tensor("images", images, "n", model.laplacian.device)
    check_images(images)
    images = images.to(model.laplacian.dtype)
    size = images.shape[-1]
    with torch.no_grad(), torch.autocast(images.device.type, enabled=False):  # half precision would move vertices
        colors, usable = seed_colors(model, output, images, batch, config)
        seeds = usable.nonzero()[:, 0].repeat_interleave(config.per_seed)
        pose = MeshParameters.split(output.h).pose[seeds]
        shape = random_shapes(len(seeds), config.shape_range, generator).to(pose)
        rotation = random_rotations(len(seeds), config.rotation, generator).to(pose)
        root, K = _placement(output, batch, seeds, size, config.camera)
        instance = _placed(model, pose, shape, rotation, root, K, size)
        behind = [random_background(backgrounds, size, generator) for _ in seeds]
        scene = torch.stack(behind).to(images) if behind else images[:0]
        return instance | _pictures(model, instance, colors[seeds], scene, config.supersampling)


def seed_colors(
    model: DHPE,
    output: DHPEOutput,
    images: Float[Tensor, "b 3 s s"],
    batch: dict[str, Tensor],
    config: AugmentationConfig,
) -> tuple[Float[Tensor, "b 778 3"], Bool[Tensor, " b"]]:
    """The skin of each seed, and which seeds are usable.

    A seed is not if its mesh is not finite, if the image shows less than `least_shown` of its vertices (the mesh lies
    beside the hand, or out of the image), or if its camera is unknown. Where the batch has no mask, or NaN for one, the
    2D joints decide instead whether the mesh is on its hand. The skin of an unusable seed is black.
    """
    if output.mesh_crop is None:
        raise ValueError("only an estimate made by a DHPE can be a seed; one made by `fit` has no crop coordinates")
    mask = batch.get("mask", images.new_full((), torch.nan).expand(images[:, 0].shape))
    if images[:, 0].shape != mask.shape:
        raise ValueError(f"images {tuple(images.shape)} and masks {tuple(mask.shape)} must be of the same crops")
    vertices = output.mesh_crop.vertices
    finite = torch.isfinite(vertices).flatten(1).all(1) & torch.isfinite(output.h).all(1)
    vertices_px = crop_to_px(torch.where(finite[:, None, None], vertices, -9.0), images.shape[-1])
    sampled, shown = sample_colors(torch.cat([images, mask.nan_to_num(1.0)[:, None]], 1), vertices_px, model.hand.faces)
    if config.masked:
        shown = shown & (sampled[..., 3] > 0.99)  # all of the pixels that the color is mixed from are hand
    usable = finite & (shown.float().mean(1) >= config.least_shown) & shown.any(1)
    if config.masked:
        joints, size = output.mesh_crop.joints[..., :2], images.shape[-1]
        near = shape_weight(joints, px_to_crop(batch["joints_px"], size), config.threshold_px / (PAPER_SIZE / 2)) > 0
        usable = usable & (near | ~mask.isnan().flatten(1).any(1))
    if config.camera == "seed":
        depth = batch["joints_cam"][:, MIDDLE_MCP, 2]
        K = batch["K"]
        usable = usable & (depth > 0) & torch.isfinite(K).flatten(1).all(1) & (K.diagonal(dim1=1, dim2=2) > 0).all(1)
    colors = torch.zeros_like(sampled[..., :3])
    if usable.any():
        hand = model.hand
        colors[usable] = complete(sampled[usable, :, :3], shown[usable], hand.template, hand.faces, config.hidden)
    return colors, usable


def pool(real: dict[str, Tensor], generated: dict[str, Tensor]) -> dict[str, Tensor]:
    """One batch of both, the real first, with the fields that both have."""
    return {name: torch.cat([value, generated[name].to(value)]) for name, value in real.items() if name in generated}


def random_shapes(n: int, spread: float, generator: torch.Generator) -> Float[Tensor, "{n} 10"]:
    """Shapes β, each number uniform in ±`spread` standard deviations."""
    return spread * (2 * torch.rand(n, 10, generator=generator, device=generator.device) - 1)


def random_rotations(n: int, kind: str, generator: torch.Generator) -> Float[Tensor, "{n} 3 3"]:
    """Rotations, uniform about each axis in turn (`"axes"`) or over all rotations (`"sphere"`)."""
    if kind == "sphere":
        return quaternion_to_rotation(torch.randn(n, 4, generator=generator, device=generator.device))
    angles = 2 * math.pi * torch.rand(n, 3, generator=generator, device=generator.device)
    return roma.euler_to_rotmat("xyz", angles)


def random_background(source: Photographs, size: int, generator: torch.Generator) -> Float[Tensor, "3 {size} {size}"]:
    """A square cut from one of the photographs, in [0, 1]."""
    on = {"generator": generator, "device": generator.device}
    if not len(source):
        raise ValueError("the source of backgrounds holds no photographs")
    photograph = source.photograph(int(torch.randint(len(source), (), **on)))
    side = max(1, int(min(photograph.shape[1:]) * (0.4 + 0.6 * torch.rand((), **on))))
    top, left = (int(torch.randint(length - side + 1, (), **on)) for length in photograph.shape[1:])
    cut = photograph[None, :, top : top + side, left : left + side].float() / 255
    return functional.interpolate(cut, (size, size), mode="bilinear", antialias=side > size)[0].cpu()


def _placement(
    output: DHPEOutput, batch: dict[str, Tensor], seeds: Int[Tensor, " n"], size: int, camera: str
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3 3"]]:
    """Where each seed's root is in the camera frame, in meters, and the K of its crop."""
    if camera == "seed":
        root_px = crop_to_px(output.mesh_crop.joints[seeds, MIDDLE_MCP, :2], size)
        depth, K = batch["joints_cam"][seeds, MIDDLE_MCP, 2].clamp(min=NEAREST), batch["K"][seeds]
        return unproject(root_px[:, None], depth[:, None], K)[:, 0], K
    K = torch.diag(output.h.new_tensor([size, size, 1.0])).expand(len(seeds), 3, 3)  # the new crop sets the zoom
    return output.h.new_tensor([0.0, 0.0, FAR]).expand(len(seeds), 3), K


def _placed(
    model: DHPE,
    pose: Float[Tensor, "n 45"],
    shape: Float[Tensor, "n 10"],
    rotation: Float[Tensor, "n 3 3"],
    root_cam: Float[Tensor, "n 3"],
    K: Float[Tensor, "n 3 3"],
    size: int,
) -> dict[str, Tensor]:
    """Mesh and skeleton with the root where the seed's was, and the camera of the crop around them."""
    turned = model.hand(pose, shape, rotation=rotation.new_tensor(FLIP)[:, None] * rotation).vertices
    joints = model.hand.regress_joints(turned)
    shift = root_cam[:, None] - joints[:, MIDDLE_MCP : MIDDLE_MCP + 1]
    vertices, joints = turned + shift, joints + shift
    K = crop_intrinsics(K, crop_box(project(joints, K)), size)
    joints_px = project(joints, K)
    visible = ((joints_px >= 0) & (joints_px < size)).all(-1)
    return {"joints_px": joints_px, "joints_cam": joints, "visible": visible, "K": K, "vertices_cam": vertices}


def _pictures(
    model: DHPE,
    instance: dict[str, Tensor],
    colors: Float[Tensor, "n 778 3"],
    behind: Float[Tensor, "n 3 s s"],
    supersampling: int,
) -> dict[str, Tensor]:
    """Image and mask of placed hands. The open wrist is closed, or one would look through it at the fingers' inside."""
    if not len(behind):
        return {"image": behind, "mask": behind[:, 0]}
    loop = boundary_loop(model.hand.faces)
    center = torch.full_like(loop, len(model.hand.template))
    faces = torch.cat([model.hand.faces, torch.stack([loop.roll(-1), loop, center], 1)])
    vertices, colors = (torch.cat([x, x[:, loop].mean(1, keepdim=True)], 1) for x in (instance["vertices_cam"], colors))
    vertices_px = torch.cat([project(vertices, instance["K"]), vertices[..., 2:]], -1)
    renderer = Renderer(behind.shape[-1], supersampling=supersampling)
    mask = (renderer.silhouette(vertices_px, faces) >= 0.5).to(behind)
    return {"image": renderer.rgb(vertices_px, faces, colors, behind).clamp(0, 1), "mask": mask}
