"""Writes submissions to the servers of FreiHAND and HO3D: JSON lists of all joints and all vertices.

    [[[[x, y, z], … 21 joints], … hands], [[[x, y, z], … 778 vertices], … hands]]          pred.json, inside a zip

| server | number of hands: order | joints | camera | crop |
|---|---|---|---|---|
| `freihand` | 3,960: `evaluation/rgb` | C21 | ours: x right, y down, z forward | all, then the estimate's |
| `ho3d_v2` | 11,524: `evaluation.txt` | MANO21 | OpenGL's: y and z negated | HO3D's box |
| `ho3d_v3` | 20,137: `evaluation.txt` | MANO21 | OpenGL's: y and z negated | HO3D's box |

Right hands, in meters, in the camera frame of the whole image. The test splits of `FreiHAND` and `HO3D` have these
orders, and `estimates` keeps the order of its data. Fingertips must be those of the data set (`joints.FINGERTIPS`). The
layout is that of the servers' own scripts.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..data import CachedHands
from ..data.real import freihand, ho3d
from ..data.real.frames import RealHands
from ..data.real.freihand import FreiHAND
from ..data.real.ho3d import HO3D, opengl
from ..dhpe import DHPE
from ..hand import HandModel
from ..hand.joints import C21, MANO21, JointOrder, convert
from ..support.files import atomic_path
from .evaluate import estimated
from .refinement_report import by_batch

JOINTS, VERTICES = (21, 3), (778, 3)
DECIMALS = 6  # of coordinates in meters


class Server(NamedTuple):
    """The format of a server, and how a hand is cropped without its labels."""

    hands: int
    order: JointOrder
    opengl: bool  # its camera
    crop: str  # a rule of `Crop`
    passes: int  # crops of each hand; those after the first are around the estimate


SERVERS = {
    "freihand": Server(freihand.COUNTS["test"], C21, False, "picture", 2),
    "ho3d_v2": Server(*ho3d.COUNTS[2]["test"], MANO21, True, "box", 1),
    "ho3d_v3": Server(*ho3d.COUNTS[3]["test"], MANO21, True, "box", 1),
}


def server_of(data: RealHands) -> str:
    """Returns the server, a key of `SERVERS`, that takes estimates of a test split.

    Raises `ValueError` for a data set without a server, and for one that lacks hands.
    """
    if isinstance(data, FreiHAND):
        server = "freihand"
    elif isinstance(data, HO3D):
        server = f"ho3d_v{data.version}"
    else:
        raise ValueError(f"{data.title}: it has no evaluation server; FreiHAND (freihand:PATH) and HO3D (ho3d:PATH) do")
    if len(data) != SERVERS[server].hands:
        raise ValueError(
            f"{data.root}: the test split has {len(data)} hands, but the server takes all {SERVERS[server].hands}; is "
            "the download complete?"
        )
    return server


def estimates(
    model: DHPE, hands: CachedHands, server: str, fingertips: str, iterations: int = 0
) -> tuple[Float[Tensor, "n 21 3"], Float[Tensor, "n 778 3"]]:
    """Estimates joints and vertices of all hands, in the camera frame, in meters; no label is used.

    hands: a test split, cropped by the rule in `SERVERS`. fingertips: those of the data set. iterations: of refinement.
    A hand is placed as far away as its estimated size says.
    """

    def place(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        output, batch = estimated(model, batch, SERVERS[server].passes, iterations)
        with torch.no_grad():
            return {"vertices_cam": output.in_camera(batch["K"]).vertices}

    vertices = by_batch(place, hands, 32, progress=True)["vertices_cam"]
    return HandModel.load(model.config.hand, fingertips).regress_joints(vertices), vertices


def write_submission(path: str | os.PathLike[str], server: str, joints_cam: Tensor, vertices_cam: Tensor) -> Path:
    """Writes estimates for every hand of a test split in the format of a server, atomically.

    server: a key of `SERVERS`. joints_cam (n, 21, 3), vertices_cam (n, 778, 3): in C21 order, meters, z forward. Raises
    `ValueError` with the hand that is wrong.
    """
    if server not in SERVERS:
        raise ValueError(f"unknown server '{server}': choose one of {', '.join(SERVERS)}")
    form = SERVERS[server]
    joints, vertices = (torch.as_tensor(x).detach().cpu() for x in (joints_cam, vertices_cam))
    for name, points, shape in (("joints_cam", joints, JOINTS), ("vertices_cam", vertices, VERTICES)):
        if points.shape != (form.hands, *shape):
            raise ValueError(
                f"{server}: {name} has shape {tuple(points.shape)}, expected {(form.hands, *shape)}: every hand of "
                "the test split, in its order"
            )
        bad = ~points.isfinite().flatten(1).all(1)
        if bad.any():
            raise ValueError(
                f"{server}: {name} of hand {int(bad.nonzero()[0])} is not finite; give every hand an estimate"
            )
        behind = (points[..., 2] < 0).all(1)
        if form.opengl and behind.any():
            raise ValueError(
                f"{server}: {name} of hand {int(behind.nonzero()[0])} is behind the camera (z < 0): give handlib's "
                "camera frame, z forward; it is converted to OpenGL's here"
            )
    joints = convert(joints, C21, form.order)
    if form.opengl:
        joints, vertices = opengl(joints), opengl(vertices)
    path = Path(path)
    with atomic_path(path) as temporary, open(temporary, "w", encoding="ascii") as file:
        for before, points in (("[[", joints), ("], [", vertices)):
            file.write(before)
            file.writelines(_rows(points))
        file.write("]]\n")
    return path


def _rows(points: Float[Tensor, "n k 3"]) -> Iterable[str]:
    """Yields the text of each hand, so that the whole text is never in memory."""
    for i, hand in enumerate(points):
        yield (", " if i else "") + json.dumps(hand.double().numpy().round(DECIMALS).tolist())
