"""h: the 63 numbers that are one hand in one image (Sec. 3.2), and their names."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .camera import Camera
from .hand import HandModel, HandOutput
from .support.arguments import checked, common_lead, shapes, unified

SIZES = {"pose": 45, "shape": 10, "quaternion": 4, "scale": 1, "translation": 3}
SIZE = sum(SIZES.values())
FRONTAL = (0.5, -0.5, 0.5, -0.5)  # w x y z: palm to the viewer, fingers up
INITIAL_SCALE = 0.7  # an open hand of 0.19 m then spans two thirds of the crop, as it does in a crop of 1.5 × its box


class MeshParameters(NamedTuple):
    """The parts of h: `MeshParameters.split(h)`, and `.join()` back."""

    pose: Float[Tensor, "*batch 45"]  # axis-angle, 0 = flat
    shape: Float[Tensor, "*batch 10"]  # standard deviations
    quaternion: Float[Tensor, "*batch 4"]  # w x y z, of any length
    scale: Float[Tensor, "*batch 1"]  # crop units per 0.1 m
    translation: Float[Tensor, "*batch 3"]  # crop units

    @classmethod
    @checked
    def split(cls, h: Float[Tensor, "*batch 63"]) -> "MeshParameters":
        return cls(*h.split(list(SIZES.values()), dim=-1))

    @classmethod
    def initial(cls, hand: HandModel) -> Float[Tensor, "63"]:
        """h(0): mean pose, else zeros (Sec. 3.2); but a unit quaternion, and a scale that puts the hand in the crop."""
        new = hand.mean_pose.new_tensor
        return cls(hand.mean_pose, new([0.0] * 10), new(FRONTAL), new([INITIAL_SCALE]), new([0.0] * 3)).join()

    def join(self) -> Float[Tensor, "*batch 63"]:
        """The 63 numbers; parts may be arrays and lists, and their leading dimensions are broadcast."""
        parts = list(self)
        if not all(isinstance(part, Tensor) and part.dtype is self[0].dtype for part in self):
            parts = unified(self._asdict())
        if any(part.shape[:-1] != parts[0].shape[:-1] for part in parts):
            lead = common_lead(", ".join(self._fields), *(part.shape[:-1] for part in parts))
            parts = [part.expand(*lead, *part.shape[-1:]) for part in parts]
        if [part.shape[-1:] for part in parts] != [(size,) for size in SIZES.values()]:
            shown = ", ".join(f"{name} {tuple(part.shape)}" for name, part in zip(SIZES, parts, strict=True))
            raise ValueError(f"the parts must end in {SIZES}: got {shown}")
        return torch.cat(parts, -1)

    def __repr__(self) -> str:
        return shapes("MeshParameters", self._asdict().items())

    @property
    def camera(self) -> Camera:
        return Camera(self.quaternion, self.scale, self.translation)


def posed_skeleton(hand: HandModel, h: Float[Tensor, "*batch 63"]) -> Float[Tensor, "*batch 21 3"]:
    """Reg(m(h)) in crop coordinates without the mesh."""
    parameters = MeshParameters.split(h)
    return hand.skeleton(parameters.pose, parameters.shape, placement=parameters.camera.matrix())


def posed_hand(hand: HandModel, h: Float[Tensor, "*batch 63"]) -> HandOutput:
    """m(h) and Reg(m(h)): the mesh and skeleton of h in crop coordinates."""
    parameters = MeshParameters.split(h)
    return hand(parameters.pose, parameters.shape, placement=parameters.camera.matrix())
