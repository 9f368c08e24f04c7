"""STB, the Stereo hand pose Tracking Benchmark (Zhang et al. 2016), the paper's SHD: one left hand, 640×480, 36,000
stereo pictures in 12 sequences, six rooms.

    [images/]B{1-6}{Counting,Random}/{BB_left,BB_right,SK_color,SK_depth}_{0..1499}.png
    labels/B{1-6}{Counting,Random}_{BB,SK}.mat          `handPara` (3, 21, 1500) in millimeters

| theirs | here |
|---|---|
| order STB21: palm, then little … thumb, each base → tip | C21 |
| BB: the stereo camera; labels in the frame of the left camera, the right one is 120.054 mm to its right | meters |
| SK: the depth camera's frame; its color camera: X_color = Rᵀ(X − t) | the color camera's frame |
| SK depth in mm: R + 256 G, R the **low** byte, the opposite of RHD | `read_depth`, in the depth camera |
| no masks; every joint of every picture is annotated | `mask` None, `visible` all true |

Their intrinsics have pixel centers at whole numbers; 0.5 is added to cx and cy. Public code differs on which pictures
to use and on joint 0: see `STB`.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...hand.joints import C21, STB21, convert
from ...support import roma
from ...support.files import check_file
from ..crop import Frame
from .frames import RealHands, find_root, intrinsics, split_of
from .palm import palm_to_wrist
from .pictures import read_rgb

SEQUENCES = {
    "train": tuple(f"B{i}{what}" for i in range(2, 7) for what in ("Counting", "Random")),
    "test": ("B1Counting", "B1Random"),
}
FRAMES = 1500  # per sequence
SOURCE = "https://sites.google.com/site/zhjw1988/"
CAMERAS = {"BB": ("BB_left", "BB_right"), "BB_left": ("BB_left",), "BB_right": ("BB_right",), "SK": ("SK_color",)}
JOINT0 = ("ring", "middle", "mean", "palm")
MAX_BYTES = 64 << 20  # of a .mat file; the originals have about 0.7 MB
MAX_FRAMES = 100_000

INTRINSICS = {  # fx, fy, cx, cy
    "BB_left": (822.79041, 822.79041, 318.47345, 250.31296),
    "BB_right": (822.79041, 822.79041, 318.47345, 250.31296),
    "SK_color": (607.92271, 607.88192, 314.78337, 236.42484),
    "SK_depth": (475.62768, 474.77709, 336.41179, 238.77962),
}
BASELINE_M = 0.120054
SK_ROTATION = (0.00531, -0.01196, 0.00301)  # rotation vector, color to depth camera
SK_TRANSLATION_M = (-0.0240381, -0.0004563, -0.0012326)


@dataclass(eq=False, repr=False)
class STB(RealHands):
    """The left hand of every picture of one kind of camera, sorted by sequence, camera and frame.

    root: the unpacked download. split: "train" (B2–B6) or "test" (B1Counting, B1Random).
    camera: "BB": both pictures of the stereo camera, 30,000 and 6,000 as in the paper; "BB_left", "BB_right": one of
    them; "SK": the color pictures of the other camera, 15,000 and 3,000, in the frame of the color camera.
    joint0: "ring", "middle", "mean": the wrist, as in `HandModel`, estimated from the annotated palm by that rule of
    palm.py; scores convert both sides back to the palm, as in the paper and the field (`palm`). "palm": as annotated,
    only to look at it.
    Other arguments: `RealHands`. Needs scipy: pip install 'handlib[data]'.
    """

    root: str | os.PathLike[str]
    split: str
    camera: str = "BB"
    joint0: str = "ring"
    fingertips: str = field(default="paper", kw_only=True)

    def __post_init__(self):
        if self.camera not in CAMERAS:
            raise ValueError(f"unknown camera '{self.camera}': choose one of {', '.join(CAMERAS)}")
        if self.joint0 not in JOINT0:
            raise ValueError(f"unknown joint0 '{self.joint0}': choose one of {', '.join(JOINT0)}")
        self.split, self.palm = split_of(self.split), "" if self.joint0 == "palm" else self.joint0
        self.root = find_root(self.root, ("labels",), "STB")
        self.frames: list[tuple[str, str, int]] = []  # sequence, stem of its pictures, number of the frame
        self.labels: dict[str, np.ndarray] = {}
        for sequence in SEQUENCES[self.split]:
            labels = read_labels(self.root / "labels" / f"{sequence}_{self.camera[:2]}.mat")
            self.labels[sequence] = labels
            self.frames += [(sequence, stem, i) for stem in CAMERAS[self.camera] for i in range(len(labels))]
        self.start(f"STB {self.split} camera={self.camera} joint0={self.joint0}", len(self.frames))

    def time(self, row: int) -> float:
        sequence, _, i = self.frames[row]
        return i / len(self.labels[sequence])

    def read(self, row: int) -> Frame:
        sequence, stem, i = self.frames[row]
        image = read_rgb(folder_of(self.root, sequence) / f"{stem}_{i}.png")
        label = torch.from_numpy(self.labels[sequence][i])
        if not label.isfinite().all():
            raise ValueError(
                f"{self.root / 'labels'}/{sequence}_{self.camera[:2]}.mat: 'handPara' of frame {i} is not finite"
            )
        joints = convert(to_camera(label, stem), STB21, C21)
        return Frame(
            name=f"stb-{sequence}-{stem}-{i}",
            side="left",
            image=image,
            joints_cam=joints if self.joint0 == "palm" else palm_to_wrist(joints, self.joint0),
            visible=torch.ones(21, dtype=torch.bool),
            K=intrinsics(*INTRINSICS[stem], self.first_pixel),
        )


def folder_of(root: Path, sequence: str) -> Path:
    """Returns the folder of the pictures of a sequence, in a folder `images` or not."""
    folders = (root / sequence, root / "images" / sequence)
    return next((folder for folder in folders if folder.is_dir()), folders[0])


def to_camera(points_m: Float[Tensor, "*batch n 3"], stem: str) -> Float[Tensor, "*batch n 3"]:
    """Converts labels from their frame (BB: the left camera; SK: the depth camera) to the camera of a picture."""
    if stem == "BB_right":
        return points_m - points_m.new_tensor([BASELINE_M, 0, 0])
    if stem == "SK_color":
        rotation = roma.rotvec_to_rotmat(points_m.new_tensor(SK_ROTATION))
        return (points_m - points_m.new_tensor(SK_TRANSLATION_M)) @ rotation  # Rᵀ(X − t) for points as rows
    return points_m


def read_depth(path: str | os.PathLike[str]) -> Float[np.ndarray, "h w"]:
    """Reads depth in meters from an `SK_depth` picture, in the depth camera; the low byte is in the red channel."""
    picture = read_rgb(path).astype(np.uint16)
    return (picture[..., 0] + picture[..., 1] * 256).astype(np.float32) / np.float32(1000)


def read_labels(path: Path) -> Float[np.ndarray, "n 21 3"]:
    """Reads `handPara` of a sequence in meters, in the order STB21; its shape is checked first.

    Raises `ModuleNotFoundError` without scipy, `FileNotFoundError`, or `ValueError`.
    """
    try:
        from scipy import io
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("STB's .mat files need scipy: pip install 'handlib[data]'") from error
    check_file(path, MAX_BYTES, f"no labels at {path}; is STB unpacked completely?")
    mend = f"download it again from {SOURCE}"
    try:
        shapes = {name: shape for name, shape, _ in io.whosmat(path)}
        shape = shapes.get("handPara")
        if shape is not None and len(shape) == 3 and shape[:2] == (3, 21) and 0 < shape[2] <= MAX_FRAMES:
            labels = io.loadmat(path, variable_names=["handPara"])["handPara"]
        else:
            labels = None
    except Exception as error:  # a damaged file can make scipy raise anything
        raise ValueError(f"{path}: not a readable .mat file ({' '.join(str(error).split())[:100]}); {mend}") from error
    if labels is None:
        fault = f"has shape {shape}" if shape is not None else f"is missing among {', '.join(shapes) or 'none'}"
        raise ValueError(f"{path}: the field 'handPara' {fault}, expected (3, 21, frames); {mend}")
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "fiu" or labels.shape != shape:
        raise ValueError(f"{path}: the field 'handPara' must hold numbers; {mend}")
    return np.ascontiguousarray(labels.astype(np.float64).transpose(2, 1, 0) / 1000)
