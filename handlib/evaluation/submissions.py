"""Estimates in the form that the servers of FreiHAND and HO3D take: a JSON list of two, all joints and all vertices.

    [[[[x, y, z], … 21 joints], … hands], [[[x, y, z], … 778 vertices], … hands]]          pred.json, inside a zip

| server | hands, in the order of | joints | camera |
|---|---|---|---|
| `freihand` | 3,960: `evaluation/rgb` | C21 | ours: x right, y down, z forward |
| `ho3d_v2` | 11,524: `evaluation.txt` | MANO21 | OpenGL's: y and z negated |
| `ho3d_v3` | 20,137: `evaluation.txt` | MANO21 | OpenGL's: y and z negated |

Meters, in the camera of the whole picture, not of a crop; right hands. `FreiHAND` and `HO3D` have their test splits in
these orders, and `evaluate.predictions` answers in the order of its data. Joints are those that the data set has:
`joints.FINGERTIPS` says which vertices are tips. The layout is that of the servers' own scripts.
"""

import json
import mmap
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ..data.real import freihand, ho3d
from ..data.real.ho3d import opengl
from ..data.real.json_rows import JsonRows
from ..hand.joints import C21, MANO21, JointOrder, convert
from ..support.files import atomic_path

JOINTS, VERTICES = (21, 3), (778, 3)
DECIMALS = 6  # of a meter
MAX_NUMBER_BYTES = 40  # of a file, for each of its numbers
_BETWEEN = re.compile(rb"\]\s{0,64}\]\s{0,64}\]\s{0,64},\s{0,64}(?=\[\s{0,64}\[\s{0,64}\[)")


@dataclass(frozen=True)
class Server:
    """What a server takes: how many hands, in which order of joints, and whether in OpenGL's camera."""

    hands: int
    order: JointOrder
    opengl: bool
    source: str


SERVERS = {
    "freihand": Server(freihand.COUNTS["test"], C21, False, freihand.SOURCE),
    "ho3d_v2": Server(*ho3d.COUNTS[2]["test"], MANO21, True, ho3d.SOURCE),
    "ho3d_v3": Server(*ho3d.COUNTS[3]["test"], MANO21, True, ho3d.SOURCE),
}


def write_submission(path: str | os.PathLike[str], server: str, joints_cam: Tensor, vertices_cam: Tensor) -> Path:
    """Writes estimates of every hand of a test split as a key of `SERVERS` wants them, whole or not at all.

    joints_cam (n, 21, 3), vertices_cam (n, 778, 3): ours, that is C21, meters, z forward. `ValueError` says what is
    wrong with which hand.
    """
    asked = _server(server)
    joints, vertices = (torch.as_tensor(x).detach().cpu() for x in (joints_cam, vertices_cam))
    for name, points, shape in (("joints_cam", joints, JOINTS), ("vertices_cam", vertices, VERTICES)):
        if points.shape != (asked.hands, *shape):
            raise ValueError(
                f"{server}: {name} has shape {tuple(points.shape)}, expected {(asked.hands, *shape)}: every hand of "
                "the test split, in its order"
            )
        lost = ~points.isfinite().flatten(1).all(1)
        if lost.any():
            raise ValueError(
                f"{server}: {name} of hand {int(lost.nonzero()[0])} is not finite; give every hand an estimate"
            )
        behind = (points[..., 2] < 0).all(1)
        if asked.opengl and behind.any():
            raise ValueError(
                f"{server}: {name} of hand {int(behind.nonzero()[0])} is behind the camera (z < 0): give our camera "
                "frame, z forward; it is turned to OpenGL's here"
            )
    joints = convert(joints, C21, asked.order)
    if asked.opengl:
        joints, vertices = opengl(joints), opengl(vertices)
    path = Path(path)
    with atomic_path(path) as temporary, open(temporary, "w", encoding="ascii") as file:
        for before, points in (("[[", joints), ("], [", vertices)):
            file.write(before)
            file.writelines(_rows(points))
        file.write("]]\n")
    return path


def _rows(points: Float[Tensor, "n k 3"]) -> Iterable[str]:
    """The matrices of a list one by one, so that no text of the whole is made."""
    for i, hand in enumerate(points):
        yield (", " if i else "") + json.dumps(hand.double().numpy().round(DECIMALS).tolist())


def read_submission(
    path: str | os.PathLike[str], server: str
) -> tuple[Float[Tensor, "n 21 3"], Float[Tensor, "n 778 3"]]:
    """Joints and vertices of a file made for a server, whoever wrote it, as ours: C21, meters, z forward.

    Errors name the file and the row.
    """
    asked, path = _server(server), Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no submission at {path}; unpack it, if it is in a zip")
    most = MAX_NUMBER_BYTES * asked.hands * 3 * (JOINTS[0] + VERTICES[0])
    if path.stat().st_size > most:
        raise ValueError(f"{path}: more than the {most >> 20} MB that {asked.hands} hands have; refused unread")
    found = []
    for shape, span in zip((JOINTS, VERTICES), _halves(path), strict=True):
        rows = JsonRows(path, shape, "whoever wrote it", span)
        if len(rows) != asked.hands:
            raise ValueError(f"{path}: {len(rows)} hands of {shape[0]} points, {server} has {asked.hands}")
        points = torch.empty(len(rows), *shape)
        for i in range(len(rows)):
            points[i] = torch.from_numpy(rows[i])
        found.append(opengl(points) if asked.opengl else points)
    return convert(found[0], asked.order, C21), found[1]


def _server(name: str) -> Server:
    if name not in SERVERS:
        raise ValueError(f"unknown server '{name}': choose one of {', '.join(SERVERS)}")
    return SERVERS[name]


def _halves(path: Path) -> tuple[tuple[int, int], tuple[int, int]]:
    """Between which bytes the two lists of a submission lie."""
    wrong = f"{path}: not a JSON list of all joints and all vertices; write it again"
    if path.stat().st_size == 0:
        raise ValueError(wrong)
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        middle = _BETWEEN.search(text)
        start, end = text.find(b"["), text.rfind(b"]")
        if middle is None or not 0 <= start < middle.start() < middle.end() < end:
            raise ValueError(wrong)
        comma = text.rfind(b",", middle.start(), middle.end())
        return (start + 1, comma), (middle.end(), end)
