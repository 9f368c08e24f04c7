"""What is estimated of each hand in a photograph, in the camera frame of the whole photograph."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..camera import project
from ..hand import HandModel
from ..hand.joints import C21
from ..support.arguments import as_path
from ..support.files import write_json
from .arrays import REQUIRED, stacked, write_hands
from .mano_parameters import mano_parameters
from .meshes import WRITERS, Mesh, write_meshes


@dataclass(frozen=True, eq=False)
class HandEstimate:
    """One hand. Camera frame: x right, y down, z forward, meters; pixels of the upright photograph, centers at +0.5.

    Joints are in C21 order. `score` is the probability that this is a hand and that the estimate is right, `confidence`
    that of each joint (confidence.py). K is the photograph's; where it was assumed, depths and distances follow from
    the assumption, the pose hardly does.
    """

    side: str  # "right" or "left"
    score: float
    confidence: Float[Tensor, "21"]
    vertices_cam: Float[Tensor, "778 3"]
    joints_cam: Float[Tensor, "21 3"]
    K: Float[Tensor, "3 3"]
    K_assumed: bool
    h: Float[Tensor, "63"]  # of the right hand, or of the mirror image of a left one, in its crop
    placement: tuple[Float[Tensor, "3 3"], Float[Tensor, "3"]]  # rotation and translation of that hand in the camera
    hand: HandModel
    track: int | None = None  # in a video: the number of the hand, the same from frame to frame

    @cached_property
    def joints_px(self) -> Float[Tensor, "21 2"]:
        return project(self.joints_cam, self.K)

    @cached_property
    def vertices_px(self) -> Float[Tensor, "778 3"]:
        """The mesh in pixels, z in meters: what a renderer draws."""
        return torch.cat([project(self.vertices_cam, self.K), self.vertices_cam[:, 2:]], 1)

    @property
    def box_px(self) -> tuple[float, float, float]:
        """The smallest square around the joints: left, top, side."""
        low, high = self.joints_px.amin(0), self.joints_px.amax(0)
        side = (high - low).max()
        left, top = ((low + high - side) / 2).tolist()
        return left, top, float(side)

    @property
    def faces(self) -> Tensor:
        """A mirror turns triangles inside out."""
        return self.hand.faces.flip(1) if self.side == "left" else self.hand.faces

    def mano(self) -> dict[str, Any]:
        """Parameters under smplx's names (mano_parameters.py); of a left hand those of a left hand."""
        return mano_parameters(self.hand, self.h[:45], self.h[45:55], *self.placement, self.side)

    def mesh(self) -> Mesh:
        return Mesh(self.vertices_cam, self.faces, self.hand.vertex_colors, f"{self.side} hand")

    def save(self, path: str | Path) -> Path:
        """Writes this hand alone: a mesh (.obj, .ply, .glb, .stl), or its numbers (.npz, .json)."""
        path = Path(as_path("path", path))
        suffix = path.suffix.lower()
        if suffix in WRITERS:
            return write_meshes(path, [self.mesh()])
        if suffix == ".npz":
            return write_hands(path, stacked([self.row()]))
        if suffix == ".json":
            return write_json(path, [self.described()])
        raise ValueError(f"{path}: name it .npz, .json or {', '.join(WRITERS)}")

    def __repr__(self) -> str:
        x, y, z = self.joints_cam[0].tolist()
        camera = "assumed K" if self.K_assumed else "given K"
        return (
            f"HandEstimate({self.side} hand, score {self.score:.2f}, wrist at x {x:.2f} y {y:.2f} z {z:.2f} m, "
            f"{camera}; vertices_cam (778, 3), joints_cam (21, 3), joints_px (21, 2))"
        )

    def row(self, frame: int = 0, **more: Any) -> dict[str, Any]:
        """As in the .npz of a video (arrays.py): one of its rows."""
        row = {key: value for key, value in self.mano().items() if key in REQUIRED} | {
            "frame": frame,
            "score": self.score,
            "box_px": self.box_px,
            "joints_px": self.joints_px,
            "joints_cam_m": self.joints_cam,
            "confidence": self.confidence,
            "h": self.h,
        }
        return {key: value.numpy() if isinstance(value, Tensor) else value for key, value in (row | more).items()}

    def described(self) -> dict[str, Any]:
        """As in the JSON file of a photograph."""
        mano = {key: value.tolist() if isinstance(value, Tensor) else value for key, value in self.mano().items()}
        return {
            "side": self.side,
            "score": round(self.score, 4),
            "box_px": [round(value, 2) for value in self.box_px],
            "joints_px": _rounded(self.joints_px, 2),
            "joints_cam_m": _rounded(self.joints_cam, 5),
            "confidence": _rounded(self.confidence, 3),
            "mano": {key: _round(value, 8) for key, value in mano.items()},
            "h": _rounded(self.h, 6),
        }


def describe_photo(hands: Sequence[HandEstimate], size: tuple[int, int], K: Tensor, assumed: bool) -> dict[str, Any]:
    """The JSON of a photograph of this width and height."""
    return {
        "image_size": list(size),
        "camera": {"K": _rounded(K, 3), "assumed": assumed},
        "joint_names": list(C21.joints),
        "hands": [hand.described() for hand in hands],
    }


def _rounded(values: Tensor, digits: int) -> list:
    return _round(values.tolist(), digits)


def _round(value: Any, digits: int) -> Any:
    if isinstance(value, list):
        return [_round(part, digits) for part in value]
    return round(value, digits) if isinstance(value, float) else value
