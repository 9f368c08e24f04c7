"""Writes and reads submissions to the servers of FreiHAND and HO3D: JSON lists of all joints and all vertices.

    [[[[x, y, z], … 21 joints], … hands], [[[x, y, z], … 778 vertices], … hands]]          pred.json, inside a zip

| server | number of hands: order | joints | camera |
|---|---|---|---|
| `freihand` | 3,960: `evaluation/rgb` | C21 | ours: x right, y down, z forward |
| `ho3d_v2` | 11,524: `evaluation.txt` | MANO21 | OpenGL's: y and z negated |
| `ho3d_v3` | 20,137: `evaluation.txt` | MANO21 | OpenGL's: y and z negated |

Right hands, in meters, in the camera frame of the whole image. The test splits of `FreiHAND` and `HO3D` have these
orders, and `evaluate.predictions` keeps the order of its data. Fingertips must be those of the data set
(`joints.FINGERTIPS`). The layout is that of the servers' own scripts.
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
from ..support.files import atomic_path, check_file

JOINTS, VERTICES = (21, 3), (778, 3)
DECIMALS = 6  # of coordinates in meters
MAX_NUMBER_BYTES = 40  # most bytes of a file for each of its numbers
_BETWEEN = re.compile(rb"\]\s{0,64}\]\s{0,64}\]\s{0,64},\s{0,64}(?=\[\s{0,64}\[\s{0,64}\[)")


@dataclass(frozen=True)
class Server:
    """The format of a server: the number of hands, the joint order, and whether it uses OpenGL's camera."""

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
    """Writes estimates for every hand of a test split in the format of a server, atomically.

    server: a key of `SERVERS`. joints_cam (n, 21, 3), vertices_cam (n, 778, 3): in C21 order, meters, z forward. Raises
    `ValueError` with the hand that is wrong.
    """
    form = _server(server)
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


def read_submission(
    path: str | os.PathLike[str], server: str
) -> tuple[Float[Tensor, "n 21 3"], Float[Tensor, "n 778 3"]]:
    """Reads joints and vertices from a file in the format of a server: C21 order, meters, z forward.

    Raises `FileNotFoundError`, and `ValueError` with file and row.
    """
    form, path = _server(server), Path(path)
    most = MAX_NUMBER_BYTES * form.hands * 3 * (JOINTS[0] + VERTICES[0])
    check_file(path, most, f"no submission at {path}; if it is in a zip, unpack it")
    arrays = []
    for shape, span in zip((JOINTS, VERTICES), _halves(path), strict=True):
        rows = JsonRows(path, shape, "whoever wrote it", span)
        if len(rows) != form.hands:
            raise ValueError(f"{path}: {len(rows)} hands of {shape[0]} points, {server} has {form.hands}")
        points = torch.empty(len(rows), *shape)
        for i in range(len(rows)):
            points[i] = torch.from_numpy(rows[i])
        arrays.append(opengl(points) if form.opengl else points)
    return convert(arrays[0], form.order, C21), arrays[1]


def _server(name: str) -> Server:
    if name not in SERVERS:
        raise ValueError(f"unknown server '{name}': choose one of {', '.join(SERVERS)}")
    return SERVERS[name]


def _halves(path: Path) -> tuple[tuple[int, int], tuple[int, int]]:
    """Returns the ranges of bytes of the two lists of a submission."""
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
