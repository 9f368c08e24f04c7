"""The hand model: pose and shape to a mesh of 778 vertices and 21 joints, by linear blend skinning.

Frame of the model, as MANO's: metres; fingers towards −x, back of the hand towards +y, thumb towards +z, wrist near
(0.096, 0.006, 0.006). `pose` is 15 axis-angle rotations in MANO's joint order, each relative to its parent; zero is
the flat hand. Joints come out in C21 order. Notation of the comments: Loper et al., "SMPL", 2015.
"""

import os
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from .collision import bone_radii, penetration_depth
from .files import J, V, read_hand
from .joints import C21, FINGERTIPS, MANO16, MANO21, FingertipSet, convert
from .rotations import rotmat_minus_identity

TOLERATED_PENETRATION = 1e-3  # metres by which the digits of a sampled hand may overlap


class HandOutput(NamedTuple):
    vertices: Float[Tensor, "*batch 778 3"]
    joints: Float[Tensor, "*batch 21 3"]


class HandModel(nn.Module):
    """A hand of 778 vertices with MANO's interface; no trained weights, so it holds buffers only.

    Make one with `HandModel.load("openhand")`. It is always a right hand. `side` is "left" when it was read from the
    file of a left hand and mirrored; it then stands for the mirror images of left hands: mirror the pictures first.
    """

    def __init__(self, fields: dict, fingertips: FingertipSet, name: str = "hand"):
        super().__init__()
        array = {k: torch.as_tensor(v.astype("float32")) for k, v in fields.items() if v.dtype.kind in "fiu"}
        self.name, self.fingertips, self.names = name, fingertips, C21.joints
        self.side = str(fields.get("side", "right"))
        self.register_buffer("faces", torch.as_tensor(fields["f"].astype("int64")))
        self.register_buffer("template", array["v_template"])
        self.register_buffer("weights", array["weights"])
        self.register_buffer("mean_pose", array["hands_mean"])
        self.register_buffer("pose_components", array["hands_components"])
        # Shape and pose blend shapes, so that one matrix product applies both; its columns are all x, all y, all z.
        blend = torch.cat([array["shapedirs"], array["posedirs"]], -1)
        self.register_buffer("blend_shapes", blend.permute(2, 1, 0).reshape(145, 3 * V).contiguous())
        # The rest joints are linear in the shape: J(β) = 𝒥(T̄) + 𝒥(S)·β.
        regressor = array["J_regressor"]
        self.register_buffer("joint_template", regressor @ array["v_template"])
        self.register_buffer("joint_shapes", torch.einsum("jv,vck->kjc", regressor, array["shapedirs"]).reshape(10, -1))
        self.register_buffer("joint_regressor", _joint_regressor(regressor, fingertips))
        self.register_buffer("used_vertices", self.joint_regressor.abs().sum(0).nonzero()[:, 0])
        coefficients = array.get("hands_coeffs", torch.zeros(0, 45))
        self.register_buffer("pose_samples", self.mean_pose + coefficients @ self.pose_components)
        self._pose_names = tuple(map(str, fields.get("pose_names", ())))
        self.register_buffer("_named_poses", array["named_poses"] if self._pose_names else torch.zeros(0, 45))
        self.register_buffer("uv", array.get("vt", torch.zeros(0, 2)))  # texture coordinates, v upwards
        self.register_buffer("uv_faces", array.get("ft", torch.zeros(0, 3)).long())  # three rows of `uv` a face
        self.register_buffer("vertex_colors", array.get("vertex_colors", torch.full((V, 3), 0.7)))
        self.register_buffer("bone_radii", bone_radii(self.template, self.weights, self.regress_joints(self.template)))

    @classmethod
    def load(cls, model: str | os.PathLike[str] = "openhand", fingertips: str = "smplx") -> "HandModel":
        """The open hand that handlib ships, or by its path MANO's `MANO_RIGHT.pkl`, `MANO_LEFT.pkl` or such an `.npz`.

        `fingertips` names the vertices that stand for the tips, one of `handlib.joints.FINGERTIPS`.
        """
        if fingertips not in FINGERTIPS:
            raise ValueError(f"unknown fingertip set '{fingertips}': choose one of {', '.join(FINGERTIPS)}")
        name = "openhand" if str(model) == "openhand" else os.path.basename(model)
        return cls(read_hand(model), FINGERTIPS[fingertips], name)

    @property
    def named_poses(self) -> dict[str, Float[Tensor, "45"]]:
        """The poses that the file has names for, such as "fist"; empty for a file without any, as MANO's are."""
        return dict(zip(self._pose_names, self._named_poses, strict=True))

    def forward(
        self,
        pose: Float[Tensor, "*batch 45"],
        shape: Float[Tensor, "*#batch 10"],
        rotation: Float[Tensor, "*#batch 3 3"] | None = None,
    ) -> HandOutput:
        """Mesh and joints in metres; `rotation` turns the whole hand about its wrist.

        `shape` is in standard deviations of the population, zero being the average hand.
        """
        coordinates = self._skin(pose, shape, rotation, self.template, self.blend_shapes, self.weights)
        return HandOutput(_as_points(coordinates), _as_points(coordinates @ self.joint_regressor.T))

    def skeleton(
        self,
        pose: Float[Tensor, "*batch 45"],
        shape: Float[Tensor, "*#batch 10"],
        rotation: Float[Tensor, "*#batch 3 3"] | None = None,
    ) -> Float[Tensor, "*batch 21 3"]:
        """The joints of `forward`, without the mesh: only the vertices that some joint depends on are skinned."""
        used = self.used_vertices
        blend = self.blend_shapes.unflatten(1, (3, V))[..., used].flatten(1)
        coordinates = self._skin(pose, shape, rotation, self.template[used], blend, self.weights[used])
        return _as_points(coordinates @ self.joint_regressor[:, used].T)

    def _skin(
        self,
        pose: Tensor,
        shape: Tensor,
        rotation: Tensor | None,
        template: Tensor,
        blend_shapes: Tensor,
        weights: Tensor,
    ) -> Tensor:
        """Posed vertices, of all rows of the template or of some, as (..., 3, vertices).

        All x, then all y, then all z: so every product over the mesh is one large matrix product, or runs along
        memory. This and few steps are what makes it fast.
        """
        if pose.shape[-1] != 45 or shape.shape[-1] != 10:
            raise ValueError(
                f"pose must end in 45 and shape in 10 numbers: got {tuple(pose.shape)}, {tuple(shape.shape)}"
            )
        lead, v = pose.shape[:-1], len(template)
        n = lead.numel()
        shape = shape.expand(*lead, 10).reshape(n, 10)
        rotation = None if rotation is None else rotation.expand(*lead, 3, 3).reshape(n, 3, 3)

        turns = rotmat_minus_identity(pose.reshape(n, 15, 3))
        coefficients = torch.cat([shape, turns.flatten(1)], 1)
        rest = torch.addmm(template.T.flatten(), coefficients, blend_shapes)  # T̄ + B_S(β) + B_P(θ)
        rest_joints = torch.addmm(self.joint_template.flatten(), shape, self.joint_shapes)

        bones = _bone_transforms(turns, rest_joints.view(n, J, 3), rotation)
        columns = bones.permute(3, 0, 2, 1).reshape(4 * n * 3, J)
        along_x, along_y, along_z, offset = (columns @ weights.T).view(4, n, 3, v)  # one affine map a vertex
        x, y, z = rest.view(n, 3, v).split(1, 1)
        return offset.addcmul(along_x, x).addcmul(along_y, y).addcmul(along_z, z).view(*lead, 3, v)

    def regress_joints(self, vertices: Float[Tensor, "*batch 778 3"]) -> Float[Tensor, "*batch 21 3"]:
        """Reg(m): the skeleton of any mesh of this topology, by one fixed 21×778 matrix; C21 order.

        It is linear in the vertices, as in the paper; a few millimetres from the skinning tree in a closed fist.
        """
        return self.joint_regressor @ vertices

    def sample(self, n: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """n plausible hands: `pose` (n, 45) and `shape` (n, 10), on the CPU, the same for the same generator state.

        Poses are drawn from the model's pose samples with a little noise; those whose digits overlap are drawn again.
        Shapes are standard normal, cut at ±2.5.
        """
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
    """The file's 16 rows and one row a fingertip, in C21 order."""
    tips = torch.zeros(5, V)
    tips[torch.arange(5), torch.tensor(fingertips.vertices)] = 1
    return convert(torch.cat([regressor, tips]), MANO21, C21).contiguous()


def _as_points(coordinates: Float[Tensor, "*batch 3 n"]) -> Float[Tensor, "*batch n 3"]:
    """The transpose, written out: the mesh, and its gradient on the way back, are contiguous."""
    return torch.stack(coordinates.unbind(-2), -1)


def _bone_transforms(
    turns: Float[Tensor, "n 15 3 3"], joints: Float[Tensor, "n 16 3"], rotation: Float[Tensor, "n 3 3"] | None
) -> Float[Tensor, "n 16 3 4"]:
    """Forward kinematics: what moves a point of the rest pose with each bone, from R − I of the joints' rotations.

    A joint at j turns all that hangs from it about itself: x ↦ x + (R − I)(x − j). As 4×4 matrices these moves
    multiply down MANO's tree: five chains of three joints hang from the wrist, so three levels do it all.
    """
    assert MANO16.joints[1:4] == ("index1", "index2", "index3")  # chains are contiguous in MANO's order
    n = len(turns)
    identity = torch.eye(4, dtype=turns.dtype, device=turns.device)
    wrist = turns.new_zeros(n, 3, 3) if rotation is None else rotation - identity[:3, :3]
    turns = torch.cat([wrist[:, None], turns], 1).flatten(0, 1)
    shifts = torch.bmm(-turns, joints.reshape(n * J, 3, 1))
    moves = (F.pad(torch.cat([turns, shifts], -1), (0, 0, 0, 1)) + identity).view(n, J, 4, 4)
    # One batch of 5 n chains: torch.bmm has a fraction of the overhead of @ on more dimensions.
    first, second, third = moves[:, 1:].reshape(n * 5, 3, 4, 4).unbind(1)
    first = torch.bmm(moves[:, :1].expand(n, 5, 4, 4).reshape(n * 5, 4, 4), first)
    second = torch.bmm(first, second)
    third = torch.bmm(second, third)
    fingers = torch.stack([first, second, third], 1).view(n, 15, 4, 4)
    return torch.cat([moves[:, :1], fingers], 1)[:, :, :3]
