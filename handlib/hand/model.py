"""The hand model: maps pose and shape to a mesh of 778 vertices and 21 joints by linear blend skinning.

The model's frame is MANO's: meters; fingers towards −x, back of the hand towards +y, thumb towards +z, wrist near
(0.096, 0.006, 0.006). `pose` is 15 axis-angle rotations in MANO's joint order, each relative to its parent; zero is
the flat hand. Joints are returned in C21 order. The notation of the comments is that of Loper et al., "SMPL", 2015.
"""

import math
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..support import jit
from ..support.arguments import as_path, as_tensor, at_least, checked, common_lead
from . import skinning
from .collision import bone_radii, penetration_depth
from .files import V, as_right_hand, check_hand, read_hand
from .joints import C21, FINGERTIPS, MANO21, FingertipSet, convert
from .skinning import Rig

TOLERATED_PENETRATION = 1e-3  # meters by which the digits of a sampled hand may overlap


class HandOutput(NamedTuple):
    vertices: Float[Tensor, "*batch 778 3"]
    joints: Float[Tensor, "*batch 21 3"]


class HandModel(nn.Module):
    """A hand of 778 vertices with MANO's interface. It has buffers and no trained weights.

    model: "openhand", which ships with handlib; the path of MANO's `MANO_RIGHT.pkl` or `MANO_LEFT.pkl` or of an `.npz`
        with the same fields; or a dict of those fields.
    fingertips: the vertices that stand for the tips, one of `handlib.hand.joints.FINGERTIPS`.
    backend: "reference" is plain torch; "auto" uses compiled loops on the CPU if numba is installed, which cannot be
        differentiated twice.

    `hand()` is the mean hand, `hand(pose, shape)` any other. It is always a right hand. If the file or the dict is of
    a left hand, it was mirrored and `side` is "left": mirror the images of left hands before you use it on them.
    """

    @checked
    def __init__(
        self,
        model: str | os.PathLike[str] | dict = "openhand",
        fingertips: str | FingertipSet = "smplx",
        backend: str = "auto",
    ):
        super().__init__()
        if isinstance(fingertips, str):
            if fingertips not in FINGERTIPS:
                raise ValueError(f"unknown fingertip set '{fingertips}': choose one of {', '.join(FINGERTIPS)}")
            fingertips = FINGERTIPS[fingertips]
        if not isinstance(fingertips, FingertipSet):
            raise TypeError(f"fingertips must be a name or a FingertipSet, not {type(fingertips).__name__}")
        if isinstance(model, dict):
            check_hand(model, "the hand model")
        fields = as_right_hand(model) if isinstance(model, dict) else read_hand(as_path("model", model))
        name = "hand" if isinstance(model, dict) else os.path.basename(model)
        array = {k: torch.as_tensor(v.astype("float32")) for k, v in fields.items() if v.dtype.kind in "fiu"}
        if backend not in ("auto", "reference"):
            raise ValueError(f"unknown backend '{backend}': choose auto or reference")
        self.name, self.fingertips, self.names, self.backend = name, fingertips, C21.joints, backend
        self.side = str(fields.get("side", "right"))
        self._constant("faces", torch.as_tensor(fields["f"].astype("int64")))
        self._constant("template", array["v_template"])
        self._constant("weights", array["weights"])
        self._constant("mean_pose", array["hands_mean"])
        self._constant("pose_components", array["hands_components"])
        # Shape and pose blend shapes in one matrix, so that one product applies both; its columns are all x, y, z.
        blend = torch.cat([array["shapedirs"], array["posedirs"]], -1)
        self._constant("blend_shapes", blend.permute(2, 1, 0).reshape(145, 3 * V).contiguous())
        # The rest joints are linear in the shape: J(β) = 𝒥(T̄) + 𝒥(S)·β.
        regressor = array["J_regressor"]
        self._constant("joint_template", regressor @ array["v_template"])
        self._constant("joint_shapes", torch.einsum("jv,vck->kjc", regressor, array["shapedirs"]).reshape(10, -1))
        self._constant("joint_regressor", _joint_regressor(regressor, fingertips))
        self._constant("used_vertices", self.joint_regressor.abs().sum(0).nonzero()[:, 0])
        coefficients = array.get("hands_coeffs", torch.zeros(0, 45))
        self._constant("pose_samples", self.mean_pose + coefficients @ self.pose_components)
        self._pose_names = tuple(map(str, fields.get("pose_names", ())))
        self._constant("_named_poses", array["named_poses"] if self._pose_names else torch.zeros(0, 45))
        self._constant("uv", array.get("vt", torch.zeros(0, 2)))  # texture coordinates, v upwards
        self._constant("uv_faces", array.get("ft", torch.zeros(0, 3)).long())  # three rows of `uv` per face
        self._constant("vertex_colors", array.get("vertex_colors", torch.full((V, 3), 0.7)))
        self._constant("bone_radii", bone_radii(self.template, self.weights, self.regress_joints(self.template)))

    def _constant(self, name: str, value: Tensor) -> None:
        """Registers a buffer that moves with the model but is not saved: a hand is read from its own file."""
        self.register_buffer(name, value, persistent=False)

    @classmethod
    def load(
        cls, model: str | os.PathLike[str] = "openhand", fingertips: str = "smplx", backend: str = "auto"
    ) -> "HandModel":
        """`HandModel(model, fingertips, backend)`."""
        return cls(model, fingertips, backend)

    def extra_repr(self) -> str:
        return f"{self.name!r}, side={self.side!r}, fingertips={self.fingertips.name!r}, backend={self.backend!r}"

    @property
    def named_poses(self) -> dict[str, Float[Tensor, "45"]]:
        """The poses named in the file, such as "fist"; empty for MANO's files, which name none."""
        return dict(zip(self._pose_names, self._named_poses, strict=True))

    def forward(
        self,
        pose: Float[Tensor, "*batch 45"] | None = None,
        shape: Float[Tensor, "*#batch 10"] | None = None,
        rotation: Float[Tensor, "*#batch 3 3"] | None = None,
        placement: Float[Tensor, "*#batch 3 4"] | None = None,
    ) -> HandOutput:
        """Computes mesh and joints in meters.

        pose: axis-angles in radians; the mean pose by default. shape: in standard deviations of the population; zero,
        the average hand, by default. rotation: turns the whole hand about its wrist. placement (A | t), such as
        `Camera.matrix()`: then maps every point x to A x + t, at less cost than mapping the mesh afterwards.
        """
        pose = self.mean_pose if pose is None else pose
        shape = self.mean_pose.new_zeros(10) if shape is None else shape
        with self._full_precision():
            return HandOutput(*self._skin(self._rig(), pose, shape, rotation, placement))

    def skeleton(
        self,
        pose: Float[Tensor, "*batch 45"],
        shape: Float[Tensor, "*#batch 10"],
        rotation: Float[Tensor, "*#batch 3 3"] | None = None,
        placement: Float[Tensor, "*#batch 3 4"] | None = None,
    ) -> Float[Tensor, "*batch 21 3"]:
        """Computes the joints of `forward` alone: only the vertices that some joint depends on are skinned."""
        used = self.used_vertices
        rig = self._rig()
        blend = rig.blend_shapes.unflatten(1, (3, V))[..., used].flatten(1)
        rig = Rig(rig.template[used], blend, rig.weights[used], *rig[3:5], rig.joint_regressor[:, used])
        with self._full_precision():
            return self._skin(rig, pose, shape, rotation, placement)[1]

    def _full_precision(self) -> AbstractContextManager:
        """Without autocast: half precision would move vertices and joints."""
        kind = self.template.device.type
        return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()

    def _rig(self) -> Rig:
        return Rig(*(getattr(self, name) for name in Rig._fields))

    def _skin(
        self, rig: Rig, pose: Tensor, shape: Tensor, rotation: Tensor | None, placement: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        pose, shape = self._given("pose", pose), self._given("shape", shape)
        rotation = None if rotation is None else self._given("rotation", rotation)
        placement = None if placement is None else self._given("placement", placement)
        if pose.shape[-1:] != (45,) or shape.shape[-1:] != (10,):
            raise ValueError(
                f"pose must end in 45 and shape in 10 numbers: got {tuple(pose.shape)}, {tuple(shape.shape)}"
            )
        for name, matrix, ends in (("rotation", rotation, (3, 3)), ("placement", placement, (3, 4))):
            if matrix is not None and matrix.shape[-2:] != ends:  # compiled loops would read past its end
                raise ValueError(f"{name} must end in {ends[0]}×{ends[1]} numbers: got {tuple(matrix.shape)}")
        matrices = [x for x in (rotation, placement) if x is not None]
        lead = common_lead("pose, shape, rotation and placement", pose.shape[:-1], shape.shape[:-1],
                           *(x.shape[:-2] for x in matrices))  # fmt: skip
        n = math.prod(lead)  # numel() would fix the batch of an exported model
        pose, shape = pose.expand(*lead, 45).reshape(n, 45), shape.expand(*lead, 10).reshape(n, 10)
        rotation, placement = (
            None if x is None else x.expand(*lead, *x.shape[-2:]).reshape(n, *x.shape[-2:])
            for x in (rotation, placement)
        )
        vertices, joints = self._skinning(rig, pose, shape, rotation, placement)(rig, pose, shape, rotation, placement)
        return vertices.view(*lead, *vertices.shape[1:]), joints.view(*lead, 21, 3)

    def _given(self, name: str, value: Tensor) -> Tensor:
        """A user's argument as a tensor like the model's own."""
        own = self.template
        if isinstance(value, Tensor) and value.dtype is own.dtype and value.layout is own.layout:
            if value.device == own.device:
                return value
        return as_tensor(name, value, device=own.device).to(own.dtype)

    def _skinning(self, rig: Rig, *inputs: Tensor | None) -> Callable[..., tuple[Tensor, Tensor]]:
        """Chooses the compiled implementation where it applies, else the one in plain torch."""
        tensors = [t for t in inputs if t is not None]
        if self.backend == "reference" or not jit.serves(*tensors) or any(t.requires_grad for t in rig):
            return skinning.skin
        from .numba import skinning as compiled  # late: importing numba takes half a second

        return compiled.skin

    @checked
    def regress_joints(self, vertices: Float[Tensor, "*batch 778 3"]) -> Float[Tensor, "*batch 21 3"]:
        """Reg(m): returns the skeleton of any mesh of this topology in C21 order, by one fixed 21×778 matrix.

        It is linear in the vertices, as in the paper; in a closed fist it is a few millimeters from the skinning tree.
        """
        with self._full_precision():
            return self.joint_regressor @ self._given("vertices", vertices)

    @checked
    def sample(self, n: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draws n plausible hands: `pose` (n, 45) and `shape` (n, 10), on the CPU, determined by the generator's state.

        Poses come from the model's pose samples with a little noise; poses whose digits overlap are drawn again. Shapes
        are standard normal, clamped to ±2.5. Raises `ValueError` if the model has no pose samples.
        """
        at_least(0, 1 << 24, n=n)
        if not len(self.pose_samples):
            raise ValueError(f"{self.name} holds no pose samples (the field 'hands_coeffs'), so poses cannot be drawn")
        samples, dtype = self.pose_samples.cpu(), self.pose_samples.dtype
        shape = torch.randn(n, 10, generator=generator, dtype=dtype).clamp(-2.5, 2.5)
        pose = torch.empty(n, 45, dtype=dtype)
        todo = torch.arange(n)
        while len(todo):
            row = torch.randint(len(samples), (len(todo),), generator=generator)
            pose[todo] = samples[row] + 0.03 * torch.randn(len(todo), 45, generator=generator, dtype=dtype)
            with torch.no_grad():
                device = self.template.device
                joints = self.skeleton(pose[todo].to(device), shape[todo].to(device))
                overlap = penetration_depth(joints, self.bone_radii).cpu()
            todo = todo[overlap > TOLERATED_PENETRATION]
        return pose, shape


def _joint_regressor(regressor: Float[Tensor, "16 778"], fingertips: FingertipSet) -> Float[Tensor, "21 778"]:
    """Joins the 16 rows of the file and one row per fingertip, in C21 order."""
    tips = torch.zeros(5, V)
    tips[torch.arange(5), torch.tensor(fingertips.vertices)] = 1
    return convert(torch.cat([regressor, tips]), MANO21, C21).contiguous()
