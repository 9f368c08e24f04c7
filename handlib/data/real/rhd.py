"""RHD, the Rendered Handpose Dataset (Zimmermann & Brox 2017): 41,258 and 2,728 rendered people, 320×320.

    RHD_published_v2/{training,evaluation}/{color,mask,depth}/%05d.png
                                          /anno_{training,evaluation}.pickle       or next to the two folders

| theirs | here |
|---|---|
| `xyz` (42, 3) meters, camera frame; 0–20 the left hand, 21–41 the right | `joints_cam` of one of the two |
| order RHD21: wrist, then thumb … little, each tip → base | C21 |
| `uv_vis` (42, 3): u, v, visible; whole numbers are pixel centers | `visible`; `joints_px` is the projection |
| `K` (3, 3), another for every picture | + 0.5 in cx and cy, then that of the crop |
| mask: 0 nothing, 1 person, 2–16 left fingers, 17 left palm, 18–32, 33 right | `mask`, `parts` |
| depth, two bytes R and G, R the high one: (256 R + G)/65535 · 5 meters | `depth`, if asked for |

Public code differs on which of the two hands of a picture to use: see `RHD`.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8

from ...hand.joints import C21, RHD21, convert
from ...support.files import check_file
from ...support.pickles import ARRAYS, BYTES, array_of, read_pickle
from ..crop import Frame
from ..sample import PARTS
from .frames import RealHands, find_root, intrinsics_of, split_of
from .palm import palm_visible, wrist_to_palm
from .pictures import read_codes, read_rgb, same_size

FOLDERS = {"train": "training", "test": "evaluation"}
COUNTS = {"train": 41258, "test": 2728}
SOURCE = "https://lmb.informatik.uni-freiburg.de/resources/datasets/RenderedHandposeDataset.en.html"
PALM_RULE = "half"
HANDS = ("mask", "visible", "left", "right")
SHAPES = {"xyz": (42, 3), "uv_vis": (42, 3), "K": (3, 3)}
FARTHEST_M = 5.0  # depth of the code 65535
MAX_BYTES = 1 << 30  # of a pickle; the original training labels have about 150 MB
MAX_STEPS = 20_000_000  # opcodes; the original has about 100 per picture
PERSON, FIRST_FINGER, PALM, CODES = 1, {"left": 2, "right": 18}, {"left": 17, "right": 33}, 34


def _part_table(side: str) -> UInt8[np.ndarray, "256"]:
    """Makes the table from RHD's mask codes to codes of `PARTS` for one hand; person and other hand are "other"."""
    table = np.zeros(256, np.uint8)
    table[PERSON:CODES] = PARTS.index("other")
    table[PALM[side]] = PARTS.index("wrist")
    segments = [f"{finger}{n}" for finger in ("thumb", "index", "middle", "ring", "little") for n in (3, 2, 1)]
    for i, segment in enumerate(segments):  # from tip to base, like the joints
        table[FIRST_FINGER[side] + i] = PARTS.index(segment)
    return table


_PARTS = {side: _part_table(side) for side in ("left", "right")}


@dataclass(eq=False, repr=False)
class RHD(RealHands):
    """One hand of every picture of RHD. Reading the labels of the training split once takes about ten seconds.

    root: the unpacked download. split: "train" ("training") or "test" ("evaluation").
    hand: "mask": the hand with more pixels in the mask, the right one if equal, as in the field's reference code;
    "visible": the hand with more visible joints, the right one if equal; "left", "right": always that hand.
    joint0: "wrist": as annotated and in `HandModel`; scores convert both sides to ½ (wrist + middle MCP), which the
    reference code and the paper's 21 keypoints use (`palm`). "palm": samples have that point, only to look at it.
    depth: samples also have a depth map. Other arguments: `RealHands`.
    """

    root: str | os.PathLike[str]
    split: str
    hand: str = "mask"
    joint0: str = "wrist"
    depth: bool = False
    fingertips: str = field(default="paper", kw_only=True)

    def __post_init__(self):
        if self.hand not in HANDS:
            raise ValueError(f"unknown choice of hand '{self.hand}': choose one of {', '.join(HANDS)}")
        if self.joint0 not in ("palm", "wrist"):
            raise ValueError(f"unknown joint0 '{self.joint0}': choose wrist or palm")
        self.split, self.palm = split_of(self.split), PALM_RULE if self.joint0 == "wrist" else ""
        self.folder = find_root(self.root, FOLDERS.values(), "RHD") / FOLDERS[self.split]
        self.labels = read_labels(self.folder)
        self.xyz, self.uv_vis, self.K, self.frames = (self.labels[key] for key in ("xyz", "uv_vis", "K", "frames"))
        self.start(f"RHD {self.split} hand={self.hand} joint0={self.joint0}", len(self.frames))

    def read(self, row: int) -> Frame:
        file = f"{self.frames[row]:05d}.png"
        image = read_rgb(self.folder / "color" / file)
        path, depth_path = self.folder / "mask" / file, self.folder / "depth" / file
        codes = same_size(read_codes(path), image, path)
        if codes.max(initial=0) >= CODES:
            raise ValueError(f"{path}: code {codes.max()} is out of range 0 … {CODES - 1}; download it again")
        side = self._side(row, codes)
        hand = slice(0, 21) if side == "left" else slice(21, 42)
        joints = convert(torch.from_numpy(self.xyz[row, hand]).double(), RHD21, C21)
        visible = convert(torch.from_numpy(self.uv_vis[row, hand, 2:]), RHD21, C21)[:, 0] > 0.5
        if self.joint0 == "palm":
            joints, visible = wrist_to_palm(joints, PALM_RULE), palm_visible(visible, PALM_RULE)
        parts = _PARTS[side][codes]
        return Frame(
            name=f"rhd-{self.split}-{self.frames[row]:05d}",
            side=side,
            image=image,
            joints_cam=joints,
            visible=visible,
            K=intrinsics_of(self.K[row], self.first_pixel),
            mask=parts > PARTS.index("other"),
            parts=parts,
            depth=same_size(read_depth(depth_path), image, depth_path) if self.depth else None,
        )

    def _side(self, row: int, codes: UInt8[np.ndarray, "h w"]) -> str:
        if self.hand == "mask":
            left, right = (
                int(((codes >= FIRST_FINGER[side]) & (codes <= PALM[side])).sum()) for side in ("left", "right")
            )
        elif self.hand == "visible":
            left, right = (self.uv_vis[row, :, 2] > 0.5).reshape(2, 21).sum(1)
        else:
            return self.hand
        return "left" if left > right else "right"


def read_depth(path: str | os.PathLike[str]) -> Float[np.ndarray, "h w"]:
    """Reads depth in meters from RHD's two bytes; the high byte is in the red channel."""
    picture = read_rgb(path).astype(np.uint16)
    return (picture[..., 0] * 256 + picture[..., 1]).astype(np.float32) * np.float32(FARTHEST_M / 65535)


def read_labels(folder: Path) -> dict[str, np.ndarray]:
    """Reads `frames` (n), `xyz` (n, 42, 3), `uv_vis` (n, 42, 3), `K` (n, 3, 3) from a pickle without running it.

    Raises `FileNotFoundError`, and `ValueError` with the field and the picture that are wrong.
    """
    name = f"anno_{folder.name}.pickle"
    path = next((path for path in (folder / name, folder.parent / name) if path.is_file()), folder / name)
    check_file(path, MAX_BYTES, f"no {name} in {folder} or next to it; is RHD unpacked completely?")
    try:
        labels = read_pickle(path.read_bytes(), ARRAYS | BYTES, MAX_STEPS, "label file of RHD", SOURCE)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not labels or not all(type(frame) is int and 0 <= frame < 100_000 for frame in labels):
        raise ValueError(f"{path}: its keys must be the numbers of pictures; download it again from {SOURCE}")
    frames = sorted(labels)
    return {"frames": np.array(frames)} | {key: _stack(labels, frames, key, path) for key in SHAPES}


def _stack(labels: dict, frames: list[int], key: str, path: Path) -> np.ndarray:
    stacked = np.empty((len(frames), *SHAPES[key]), np.float32)
    for i, frame in enumerate(frames):
        where = f"{path}: the field '{key}' of picture {frame}"
        label = labels[frame]
        if not isinstance(label, dict) or key not in label:
            raise ValueError(f"{where} is missing; download it again from {SOURCE}")
        try:
            array = array_of(label[key])
        except ValueError as error:
            raise ValueError(f"{where} {error}; download it again from {SOURCE}") from error
        if array.shape != SHAPES[key]:
            raise ValueError(f"{where} has shape {array.shape}, expected {SHAPES[key]}")
        if not (np.abs(array) < 1e6).all():  # false for NaN
            raise ValueError(f"{where} must hold finite numbers of meters or pixels")
        stacked[i] = array
    return stacked
