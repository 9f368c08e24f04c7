"""A folder of photographs of hands whose joints somebody has measured, described by one JSON file.

    FOLDER/annotations.json     [{"image": "images/a.jpg", "side": "left", "K": […], "xyz": […]}, …]

| field | what |
|---|---|
| `image` | path of the picture within the folder, stored upright |
| `side` | "right" or "left": which hand it shows |
| `K` | 3×3, of that picture, in pixels; whole numbers are pixel centers (`first_pixel`) |
| `xyz` | 21 points x, y, z in meters, camera frame, C21 order; null for a joint that is not known; or null for all |

More fields may stand beside them. What is in the picture's camera frame is what its K projects onto the hand.
"""

import math
import os
from pathlib import Path
from typing import Any

import torch

from ...camera import CROP_FACTOR
from ...support.json_text import parse_json
from ..crop import Crop, Frame
from .frames import RealHands, intrinsics
from .pictures import read_rgb

MAX_BYTES = 256 << 20  # of the JSON file; an entry has about 1 kB
FARTHEST_M = 20.0  # a joint may be from the camera; what is farther is in millimeters


class PhotoFolder(RealHands):
    """Every entry of the JSON file, in its order.

    folder: what the paths in the file start from. annotations: the file, in that folder. first_pixel: the coordinate of
    the first pixel's center in its K. fingertips: the set of `joints.FINGERTIPS` to compare with. The other arguments:
    `Crop`, `RealHands`.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        annotations: str = "annotations.json",
        size: int = 224,
        crop: str = "joints",
        crop_factor: float = CROP_FACTOR,
        first_pixel: float = 0.0,
        fingertips: str = "smplx",
        skip_broken: bool = False,
    ):
        self.split, self.first_pixel, self.fingertips = "test", first_pixel, fingertips
        self.folder = Path(folder).expanduser()
        self.path = self.folder / annotations
        self.entries = read_annotations(self.path)
        title = f"PhotoFolder {self.folder.resolve().name} fingertips={fingertips}"
        super().__init__(title, len(self.entries), size, Crop(crop, crop_factor), skip_broken)

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
        known = [row is not None for row in rows]
        given = _matrix([r for r in rows if r is not None], sum(known), f"{where}: the field 'xyz'")
        if any(abs(value) > FARTHEST_M for point in given for value in point):
            raise ValueError(f"{where}: the field 'xyz' must be in meters, not more than {FARTHEST_M:g} of them")
        points = iter(given)
        joints = torch.tensor([next(points) if there else [math.nan] * 3 for there in known], dtype=torch.float64)
        shifted = intrinsics(*(float(K[i, j]) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2))), self.first_pixel)
        shifted[0, 1] = K[0, 1]
        return Frame(
            name=str(entry["image"]),
            side=entry["side"],
            image=read_rgb(self._picture(entry["image"], where), "save it as PNG or JPEG"),
            joints_cam=joints,
            visible=torch.tensor(known),
            K=shifted,
        )

    def _picture(self, image: Any, where: str) -> Path:
        """The path of an entry's picture, which must not lead out of the folder."""
        if not isinstance(image, str) or not image or "\0" in image:
            raise ValueError(f"{where}: the field 'image' must be the path of a picture")
        path = self.folder / image
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise ValueError(f"{where}: the field 'image' leads out of the folder; put the picture into it")
        return path


def read_annotations(path: Path) -> list:
    """The entries of a JSON file, not looked at yet."""
    if not path.is_file():
        raise FileNotFoundError(f"no annotations at {path}: a JSON list of {{image, side, K, xyz}}, one an image")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path}: {path.stat().st_size >> 20} MB; refused unread. Split the folder")
    entries = parse_json(path.read_bytes(), path, "write it as UTF-8 with finite numbers")
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{path}: must be a JSON list of {{image, side, K, xyz}}, one an image")
    return entries


def _matrix(rows: Any, count: int, where: str) -> list[list[float]]:
    """`count` rows of three finite numbers."""
    good = isinstance(rows, list) and len(rows) == count and all(isinstance(r, list) and len(r) == 3 for r in rows)
    values = [value for row in rows for value in row] if good else []
    if not good or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        raise ValueError(f"{where} must be rows of three numbers")
    if not all(abs(v) < 1e6 for v in values):  # false for NaN, which Python's JSON admits
        raise ValueError(f"{where} must hold finite numbers")
    return [[float(v) for v in row] for row in rows]
