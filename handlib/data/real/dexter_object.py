"""Dexter+Object, the paper's DO (Sridhar et al. 2016), for tests only: a left hand with an object, 3,145 pictures of
640×480 in six sequences. Only the fingertips are annotated.

    data/{Grasp1,Grasp2,Occlusion,Rigid,Pinch,Rotate}/color/Color_%04d.bmp            from 1 on
    data/<sequence>/annotations/<sequence>{2D,3D}.txt           one line per frame, five entries separated by ";"

| theirs | here |
|---|---|
| an entry of 3D: "x, y, z" in mm, thumb … little; z = 32001: not annotated | NaN and not visible |
| 3D frame: the depth camera with x and y negated | X = (−x, −y, z)/1000, then R X + t: the color camera |
| an entry of 2D: "u, v" in the depth picture of 320×240 | read by `handlib data check` only |
| no wrist, no other joint, no mask | rows 4, 8, 12, 16, 20 of C21 are given; `mask` None |

Five tips do not give a 2D box of the hand, and a protocol must choose a substitute for the missing root:
`protocols.dexter_object`. Some of the labels are known to be wrong.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...hand.joints import TIPS
from ...support.files import check_file
from ..crop import Frame
from .frames import RealHands, find_root, intrinsics
from .pictures import SUFFIXES, read_rgb

FRAMES = {"Grasp1": 356, "Grasp2": 648, "Occlusion": 354, "Rigid": 531, "Pinch": 458, "Rotate": 798}
SOURCE = "https://handtracker.mpi-inf.mpg.de/projects/RealtimeHO/"
MISSING_Z = 32001
MAX_BYTES = 16 << 20  # of a text file of labels; the originals have about 0.1 MB
DEPTH_INTRINSICS = (224.502, 230.494, 160.0, 120.0)  # fx, fy, cx, cy, of 320×240
COLOR_INTRINSICS = (587.45209, 600.67456, 325.0, 249.0)
COLOR_ROTATION = ((0.9999, 0.0034, 0.0161), (-0.0033, 1.0, -0.0079), (-0.0162, 0.0079, 0.9998))  # depth to color
COLOR_TRANSLATION_M = (0.0190473, -0.0018514, -0.0047501)
WHICH = {"all": 0, "scored": 2}  # smallest number of annotated tips


@dataclass(eq=False, repr=False)
class DexterObject(RealHands):
    """Every frame of the six sequences, in their published order; `scored` are the tips.

    root: the unpacked download. which: "all": the 3,145 frames that the paper counts; "scored": only those with at
    least two annotated tips, which public code evaluates.
    crop: "metric": a square of `crop_meters` around the tips at their distance, since the box of the tips does not
    contain the palm. It is larger than training crops and off center, so scores use a second crop (`passes`). "joints":
    `crop_factor` times the box of the tips. Other arguments: `RealHands`.
    """

    root: str | os.PathLike[str]
    which: str = "all"
    crop: str = field(default="metric", kw_only=True)
    fingertips: str = field(default="paper", kw_only=True)

    split, trains = "test", False
    scored = TIPS
    passes = 2

    def __post_init__(self):
        if self.which not in WHICH:
            raise ValueError(f"unknown choice of frames '{self.which}': choose one of {', '.join(WHICH)}")
        self.root = sequences_root(self.root)
        self.tips_mm: dict[str, np.ndarray] = {}
        self.frames: list[tuple[str, int]] = []  # sequence and number of the frame, from 0
        for sequence in FRAMES:
            tips = read_tips(label_path(self.root, sequence, "3D"), 3)
            self.tips_mm[sequence] = tips
            count = valid_tips(tips).sum(1)
            self.frames += [(sequence, i) for i in range(len(tips)) if count[i] >= WHICH[self.which]]
        self.start(f"DexterObject which={self.which}", len(self.frames))

    def read(self, row: int) -> Frame:
        sequence, i = self.frames[row]
        image = read_rgb(picture_path(self.root / sequence / "color", i + 1))
        tips = self.tips_mm[sequence][i]
        valid = valid_tips(tips)
        joints = torch.full((21, 3), torch.nan, dtype=torch.float64)
        joints[list(TIPS)] = to_color_camera(torch.from_numpy(np.where(valid[:, None], tips, np.nan)) / 1000)
        return Frame(
            name=f"do-{sequence}-{i + 1:04d}",
            side="left",
            image=image,
            joints_cam=joints,
            visible=joints.isfinite().all(-1),
            K=intrinsics(*COLOR_INTRINSICS, self.first_pixel),
        )


def to_color_camera(tips_m: Float[Tensor, "*batch n 3"]) -> Float[Tensor, "*batch n 3"]:
    """Converts labels, whose x and y are negated, to the frame of the color camera."""
    rotation, translation = tips_m.new_tensor(COLOR_ROTATION), tips_m.new_tensor(COLOR_TRANSLATION_M)
    return (tips_m * tips_m.new_tensor([-1.0, -1.0, 1.0])) @ rotation.mT + translation


def valid_tips(tips_mm: Float[np.ndarray, "*batch 3"]) -> Bool[np.ndarray, "*batch"]:
    return tips_mm[..., 2] != MISSING_Z


# ---- files


def sequences_root(root: str | os.PathLike[str]) -> Path:
    """Finds the folder of the six sequences, usually called `data`."""
    marks = [f"{folder}{sequence}" for folder in ("data/", "") for sequence in FRAMES]
    folder = find_root(root, marks, "Dexter+Object")
    return folder / "data" if any((folder / "data" / sequence).is_dir() for sequence in FRAMES) else folder


def label_path(root: Path, sequence: str, dimensions: str) -> Path:
    """Returns the path of the labels of a sequence, whatever the case of its name."""
    folder, name = root / sequence / "annotations", f"{sequence}{dimensions}.txt"
    paths = {path.name.lower(): path for path in folder.iterdir()} if folder.is_dir() else {}
    return paths.get(name.lower(), folder / name)


def picture_path(folder: Path, number: int) -> Path:
    """Returns the path of picture `number`, counted from 1, in the original format or another."""
    paths = [folder / f"Color_{number:04d}{suffix}" for suffix in (".bmp", *SUFFIXES)]
    return next((path for path in paths if path.is_file()), paths[0])


def read_tips(path: Path, dimensions: int) -> Float[np.ndarray, "n 5 d"]:
    """Reads the five tips of each frame, thumb to little, in the units of the file.

    Raises `FileNotFoundError`, and `ValueError` with the line that is wrong.
    """
    check_file(path, MAX_BYTES, f"no labels at {path}; is Dexter+Object unpacked completely?")
    rows = []
    for number, line in enumerate(path.read_text(encoding="ascii", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        entries = line.strip().rstrip(";").split(";")
        try:
            row = np.array([[float(value) for value in entry.replace(",", " ").split()] for entry in entries])
            good = row.shape == (5, dimensions) and np.isfinite(row).all()
        except ValueError:
            good = False
        if not good:
            raise ValueError(
                f"{path}, line {number}: '{line.strip()[:60]}' is not five entries of {dimensions} numbers separated "
                f"by ';'; download it again from {SOURCE}"
            )
        rows.append(row)
    return np.array(rows).reshape(-1, 5, dimensions)
