"""HO3D (HO-3D) v2 and v3 (Hampali et al. 2020): right hands of 10 people with objects, 640×480.

    {train,evaluation}/<sequence>/rgb/%04d.png            v3: .jpg
                                 /depth/%04d.png
                                 /meta/%04d.pkl
                                 /seg/%04d.png            v3 alone
    {train,evaluation}.txt        one line per frame, "<sequence>/<frame>"; the server's order is that of evaluation.txt
    evaluation_{xyz,verts}.json   a separate download; without it the joints of the evaluation are unknown

| theirs | here |
|---|---|
| OpenGL's camera: x right, y **up**, z **backward** | y and z negated |
| `handJoints3D` 21×3 meters, order MANO21: the 16 joints of MANO, then the tips thumb … little | C21 |
| evaluation: `handJoints3D` is the wrist alone, three numbers | the wrist given, nothing visible |
| `camMat` 3×3; whole numbers are pixel centers | + 0.5 in cx and cy, then that of the crop |
| `handBoundingBox` of the evaluation: left, top, right, bottom | `Frame.box_px` |
| depth: (R + 256 G) · 0.000125 meters, R the low byte | `depth`, if asked for |
| seg: blue where the hand is | `mask`, if asked for |
| `handPose`, `handBeta`, `handTrans`: MANO's | not read |

The layout is that of the authors' own scripts. They leave two questions open: how many training frames v3 has (their
script says 78,297, their counts of all frames give 83,325), and the colors of seg, for which this reader follows public
code. The code that they annotate with, HOnnotate, takes MANO's vertices 728, 353, 442, 576, 694 as fingertips, thumb to
little. The open hand has other numbers there, so `fingertips` names manopth's instead.
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...hand.joints import C21, MANO21, convert
from ...support.files import check_file
from ...support.pickles import ARRAYS, BYTES, array_of, read_pickle
from ..crop import Frame
from .frames import RealHands, find_root, intrinsics_of, split_of
from .json_rows import JsonRows
from .pictures import read_rgb, same_size

FOLDERS = {"train": "train", "test": "evaluation"}
COUNTS = {2: {"train": (66034,), "test": (11524,)}, 3: {"train": (83325, 78297), "test": (20137,)}}  # frames
SOURCE = "https://github.com/shreyashampali/ho3d"
SUFFIXES = {".png": 2, ".jpg": 3}  # of the pictures, and the version that uses them
DEPTH_M = 0.00012498664727900177  # meters per step of depth
THRESHOLD = 127  # of seg's colors
MAX_META_BYTES = 4 << 20  # of a pickle; its largest fields are a few values per vertex
MAX_LIST_BYTES = 64 << 20  # of a list of frames
MAX_STEPS = 200_000  # opcodes of a pickle; the fields that are arrays have about 100 in all
FARTHEST = 1e6  # meters or pixels; larger numbers are damage
_NAMES = ARRAYS | BYTES | {f"numpy.{core}.multiarray scalar": "scalar" for core in ("core", "_core")}
_LINE = re.compile(r"[A-Za-z0-9_-]+/[0-9]+")


@dataclass(eq=False, repr=False)
class HO3D(RealHands):
    """Every frame of a split, in the order of its list.

    root: the unpacked download. split: "train" or "test" ("evaluation").
    version: 2 or 3; by default from the suffix of the first picture.
    vertices: samples of the evaluation have the mesh if `evaluation_verts.json` exists; the training split has only
    MANO's parameters. masks: reads v3's segmentation. depth: samples have a depth map.
    crop: "box" is the box that the evaluation gives to methods. Other arguments: `RealHands`.
    """

    root: str | os.PathLike[str]
    split: str
    version: int | None = None
    vertices: bool = False
    masks: bool = False
    depth: bool = False
    fingertips: str = field(default="manopth", kw_only=True)

    def __post_init__(self):
        self.split = split_of(self.split)
        self.root = find_root(self.root, (f"{folder}.txt" for folder in FOLDERS.values()), "HO3D")
        self.folder = self.root / FOLDERS[self.split]
        self.frames = read_frames(self.root / f"{self.folder.name}.txt")
        self.version = SUFFIXES[self.picture(0).suffix] if self.version is None else self.version
        if self.version not in COUNTS:
            raise ValueError(f"unknown version {self.version} of HO3D: choose 2 or 3")
        self.xyz = self._truth("xyz", (21, 3))
        self.verts = self._truth("verts", (778, 3)) if self.vertices else None
        # All cameras of a sequence show the same hand at the same time, so the number of a frame gives its time.
        self.ends: dict[str, int] = {}
        for sequence, frame in self.frames:
            self.ends[sequence] = max(self.ends.get(sequence, 0), int(frame) + 1)
        self.start(f"HO3D v{self.version} {self.split}", len(self.frames))

    def _truth(self, what: str, shape: tuple[int, int]) -> JsonRows | None:
        path = self.root / f"evaluation_{what}.json"
        if self.split == "train" or not path.is_file():
            return None
        rows = JsonRows(path, shape, SOURCE)
        if len(rows) != len(self.frames):
            raise ValueError(
                f"{path} has {len(rows)} rows, evaluation.txt {len(self.frames)}; get both of one version from {SOURCE}"
            )
        return rows

    def picture(self, row: int) -> Path:
        """Returns the path of the color picture of a row, with the suffix that exists."""
        sequence, frame = self.frames[row]
        paths = [self.folder / sequence / "rgb" / f"{frame}{suffix}" for suffix in SUFFIXES]
        return next((path for path in paths if path.is_file()), paths[0])

    def time(self, row: int) -> float:
        sequence, frame = self.frames[row]
        return int(frame) / self.ends[sequence]

    def read(self, row: int) -> Frame:
        sequence, frame = self.frames[row]
        folder = self.folder / sequence
        image = read_rgb(self.picture(row))
        path = folder / "meta" / f"{frame}.pkl"
        meta = read_meta(path)
        K = intrinsics_of(_field(meta, "camMat", (3, 3), path), self.first_pixel)
        joints, box = torch.full((21, 3), torch.nan, dtype=torch.float64), None
        if self.split == "train":
            joints = from_ho3d(_field(meta, "handJoints3D", (21, 3), path))
        else:
            box = torch.from_numpy(_field(meta, "handBoundingBox", (4,), path)).reshape(2, 2) + 0.5 - self.first_pixel
            if self.xyz is None:
                joints[0] = opengl(torch.from_numpy(_field(meta, "handJoints3D", (3,), path)))
            else:
                joints = from_ho3d(self.xyz[row])
        return Frame(
            name=f"ho3d-{self.split}-{sequence}-{frame}",
            side="right",
            image=image,
            joints_cam=joints,
            visible=joints.isfinite().all(-1) & joints.isfinite().all(),  # a wrist alone is not scored
            K=K,
            mask=read_mask(folder / "seg" / f"{frame}.png", image) if self.masks else None,
            depth=read_depth(folder / "depth" / f"{frame}.png", image) if self.depth else None,
            vertices_cam=None if self.verts is None else opengl(torch.from_numpy(self.verts[row])),
            box_px=box,
        )


def opengl(points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Converts points from handlib's camera frame to OpenGL's or back: negates y and z."""
    return points * points.new_tensor([1.0, -1.0, -1.0])


def from_ho3d(joints: Float[np.ndarray, "21 3"]) -> Float[Tensor, "21 3"]:
    """Converts HO3D's joints to handlib's camera frame and C21 order."""
    return convert(opengl(torch.from_numpy(joints)), MANO21, C21)


# ---- files


def read_frames(path: Path) -> list[tuple[str, str]]:
    """Reads sequence and frame from each line of a list such as `train.txt`.

    Raises `FileNotFoundError`, and `ValueError` with the line that is wrong.
    """
    check_file(path, MAX_LIST_BYTES, f"no {path.name} in {path.parent}; is HO3D unpacked completely?")
    lines = [line.strip() for line in path.read_text(encoding="ascii", errors="replace").splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, 1):
        if not _LINE.fullmatch(line):
            raise ValueError(f"{path}, line {number}: '{line[:60]}' is not <sequence>/<frame>; get it from {SOURCE}")
    if not lines:
        raise ValueError(f"{path}: the list is empty; get it from {SOURCE}")
    return [tuple(line.split("/")) for line in lines]


def read_meta(path: Path) -> dict[str, Any]:
    """Reads the fields of the pickle of a frame without running it. Raises `FileNotFoundError` or `ValueError`."""
    check_file(path, MAX_META_BYTES, f"no labels at {path}; is HO3D unpacked completely?")
    try:
        return read_pickle(path.read_bytes(), _NAMES, MAX_STEPS, "label file of HO3D", SOURCE)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _field(meta: dict[str, Any], name: str, shape: tuple[int, ...], path: Path) -> np.ndarray:
    """Returns a field, an array or a list, as an array of finite numbers. Raises `ValueError` for anything else."""
    where = f"{path}: the field '{name}'"
    if meta.get(name) is None:
        raise ValueError(
            f"{where} is {'None' if name in meta else 'missing'}: this frame is not annotated; leave it out"
        )
    try:
        value = meta[name]
        array = np.array(value) if isinstance(value, list | tuple) else array_of(value)
        array = array.astype(np.float64)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "must be an array of numbers"
        raise ValueError(f"{where} {reason}; get it again from {SOURCE}") from error
    if array.shape != shape:
        raise ValueError(f"{where} has shape {array.shape}, expected {shape}; get it again from {SOURCE}")
    if not (np.abs(array) < FARTHEST).all():  # false for NaN
        raise ValueError(f"{where} must hold finite numbers of meters or pixels; get it again from {SOURCE}")
    return array


def read_depth(path: Path, image: np.ndarray) -> Float[np.ndarray, "h w"]:
    """Reads depth in meters, in the color camera; the low byte is in the red channel."""
    picture = same_size(read_rgb(path), image, path).astype(np.uint16)
    return (picture[..., 0] + picture[..., 1] * 256).astype(np.float32) * np.float32(DEPTH_M)


def read_mask(path: Path, image: np.ndarray) -> np.ndarray:
    """Reads where v3's segmentation is blue; it is enlarged by a whole factor to the size of the picture."""
    mask = read_rgb(path)[..., 2] > THRESHOLD
    times = max(image.shape[0] // max(mask.shape[0], 1), 1)
    return same_size(mask.repeat(times, 0).repeat(times, 1), image, path)
