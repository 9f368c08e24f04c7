"""A folder of photographs of hands with measured joints, described by one JSON file.

    FOLDER/annotations.json     [{"image": "images/a.jpg", "side": "left", "K": […], "xyz": […]}, …]

| field | what |
|---|---|
| `image` | path of the picture within the folder, stored upright |
| `side` | "right" or "left" |
| `K` | 3×3, of that picture, in pixels; whole numbers are pixel centers (`first_pixel`) |
| `xyz` | 21 points x, y, z in meters, camera frame, C21 order; null for an unknown joint; or null for all |

Other fields are ignored. Points in the camera frame are those that K projects onto the hand.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...support.files import check_file
from ...support.json_text import parse_json
from ..crop import Frame
from .frames import RealHands, intrinsics_of
from .pictures import read_rgb

MAX_BYTES = 256 << 20  # of the JSON file; an entry has about 1 kB
FARTHEST_M = 20.0  # of a joint from the camera; larger numbers must be in millimeters


@dataclass(eq=False, repr=False)
class PhotoFolder(RealHands):
    """Every entry of the JSON file, in order.

    folder: the folder of the file, to which its paths are relative. annotations: the name of the file. Other arguments:
    `RealHands`.
    """

    folder: str | os.PathLike[str]
    annotations: str = "annotations.json"

    split, trains = "test", False

    def __post_init__(self):
        self.folder = Path(self.folder).expanduser()
        self.path = self.folder / self.annotations
        self.entries = read_annotations(self.path)
        self.start(f"PhotoFolder {self.folder.resolve().name}", len(self.entries))

    def read(self, row: int) -> Frame:
        entry, where = self.entries[row], f"{self.path}, entry {row}"
        if not isinstance(entry, dict):
            raise ValueError(f"{where}: must be an object with the fields image, side, K and xyz")
        for key in ("image", "side", "K", "xyz"):
            if key not in entry:
                raise ValueError(f"{where}: the field '{key}' is missing")
        if entry["side"] not in ("right", "left"):
            raise ValueError(f"{where}: the field 'side' must be 'right' or 'left'")
        K = torch.tensor(_matrix(entry["K"], 3, f"{where}: the field 'K'"), dtype=torch.float64)
        if not (K[0, 0] > 0 and K[1, 1] > 0 and K[1, 0] == 0 and K[2].tolist() == [0, 0, 1]):
            raise ValueError(f"{where}: the field 'K' must be [[fx, skew, cx], [0, fy, cy], [0, 0, 1]] in pixels")
        rows = [None] * 21 if entry["xyz"] is None else entry["xyz"]
        if not isinstance(rows, list) or len(rows) != 21:
            raise ValueError(f"{where}: the field 'xyz' must be a list of 21 points; write null for an unknown one")
        annotated = [row is not None for row in rows]
        points = _matrix([r for r in rows if r is not None], sum(annotated), f"{where}: the field 'xyz'")
        if any(abs(value) > FARTHEST_M for point in points for value in point):
            raise ValueError(f"{where}: the field 'xyz' must be in meters, at most {FARTHEST_M:g}")
        joints = torch.full((21, 3), math.nan, dtype=torch.float64)
        joints[annotated] = torch.tensor(points, dtype=torch.float64).reshape(-1, 3)
        return Frame(
            name=str(entry["image"]),
            side=entry["side"],
            image=read_rgb(self._picture(entry["image"], where), "save it as PNG or JPEG"),
            joints_cam=joints,
            visible=torch.tensor(annotated),
            K=intrinsics_of(K, self.first_pixel),
        )

    def _picture(self, image: Any, where: str) -> Path:
        """Returns the path of the picture of an entry. Raises `ValueError` if it leads out of the folder."""
        if not isinstance(image, str) or not image or "\0" in image:
            raise ValueError(f"{where}: the field 'image' must be the path of a picture")
        path = self.folder / image
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise ValueError(f"{where}: the field 'image' leads out of the folder; move the picture into it")
        return path


def read_annotations(path: Path) -> list:
    """Reads the entries of a JSON file without checking them. Raises `FileNotFoundError` or `ValueError`."""
    check_file(path, MAX_BYTES, f"no annotations at {path}: write a JSON list of {{image, side, K, xyz}}")
    entries = parse_json(path.read_bytes(), path, "write it as UTF-8 with finite numbers")
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{path}: must be a JSON list of {{image, side, K, xyz}}, one per image")
    return entries


def _matrix(rows: Any, count: int, where: str) -> list[list[float]]:
    """Checks and returns `count` rows of three finite numbers."""
    good = isinstance(rows, list) and len(rows) == count and all(isinstance(r, list) and len(r) == 3 for r in rows)
    values = [value for row in rows for value in row] if good else []
    if not good or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        raise ValueError(f"{where} must be rows of three numbers")
    if not all(abs(v) < 1e6 for v in values):  # false for NaN, which Python's JSON accepts
        raise ValueError(f"{where} must hold finite numbers")
    return [[float(v) for v in row] for row in rows]
