"""InterHand2.6M (Moon et al. 2020): two hands of 26 people in a dome of about 100 cameras, 512×334, v1.0 at 5 fps.

    annotations/{train,val,test}/InterHand2.6M_{train,val,test}_{data,camera,joint_3d}.json        v1.0
    annotations/{all,human_annot,machine_annot}/InterHand2.6M_…                                    before; `annotations`
    images/{train,val,test}/<file_name>              such as Capture0/<sequence>/cam400002/image12345.jpg

| theirs | here |
|---|---|
| data, `images`: id, file_name, capture, camera, frame_idx, seq_name, … | one picture |
| data, `annotations`: image_id, hand_type (right, left, interacting), joint_valid 42, … | one sample for each hand |
| joint_3d[capture][frame]: `world_coord` 42×3 millimeters, `joint_valid` 42×1 | `joints_cam`; NaN where not valid |
| rows 0–20 the right hand, 21–41 the left; thumb … little, tip → base, wrist last | C21 |
| `joint_valid` of data: of a picture, not of the world | `visible` |
| camera[capture]: `campos` millimeters, `camrot`; X_cam = R (X − campos) | meters, camera frame |
| `focal`, `princpt` in pixels; whole numbers are pixel centers | + 0.5 in cx and cy, then that of the crop |
| `bbox` of both hands together; MANO_NeuralAnnot: MANO's parameters of both hands in the world | not read |

Joints are as annotated, not MANO's. `joint_valid` is in two files: that of joint_3d says which coordinates exist, that
of data which of them count in a picture; their code uses only the second. Public code differs on which annotations are
measured (`annotations`, `ids`), on hands without a valid wrist (`roots`), and on whether pictures of two hands count
(`which`). The layout is that of the authors' page and scripts.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float

from ...hand.joints import C21, INTERHAND21, convert
from ...support.files import check_file
from ...support.json_text import parse_json
from ..crop import Frame
from .frames import RealHands, find_root, intrinsics, split_of
from .json_objects import json_objects
from .pictures import read_rgb

SPLITS = ("train", "val", "test")
COUNTS = {"train": 1361062, "val": 380125, "test": 849160}  # pictures of v1.0 at 5 fps, human and machine labels
SOURCE = "https://mks0601.github.io/InterHand2.6M/"
FOLDERS = (*SPLITS, "all", "human_annot", "machine_annot")  # of annotations
ROWS = {"right": slice(0, 21), "left": slice(21, 42)}
SIDES = {"both": ("right", "left"), "right": ("right",), "left": ("left",)}
WHICH = {"all": ("right", "left", "interacting"), "single": ("right", "left"), "interacting": ("interacting",)}
WRIST = INTERHAND21.index("wrist")
FEWEST_VALID = 2  # joints that a hand needs to be a sample
MAX_BYTES = 1 << 30  # of the files that are read whole; those at 5 fps have about 60 MB
FARTHEST_MM = 1e6


class Picture(NamedTuple):
    """One of `images`."""

    file_name: str
    capture: str
    camera: str
    frame: str
    sequence: str


class Hand(NamedTuple):
    """One hand in one picture: its row `world` of the coordinates, and which of its joints are valid in the picture."""

    picture: Picture
    side: str
    world: int
    valid: Bool[np.ndarray, "21"]


@dataclass(eq=False, repr=False)
class InterHand26M(RealHands):
    """Every hand of every annotated picture, sorted by picture, the right hand first.

    root: the folder of `annotations` and `images`. split: "train", "val" or "test". Reading the labels of the training
    split once takes minutes and a gigabyte of memory.
    hand: "both", "right" or "left". which: "all" pictures, those of a "single" hand, or of "interacting" hands.
    roots: only hands with a valid wrist, which their own code measures; False: also the others.
    annotations: the folder in `annotations`, by default that of the split. ids: a file beside the labels with the
    numbers of the annotations to keep, one per line, such as those made by people.
    Other arguments: `RealHands`.
    """

    root: str | os.PathLike[str]
    split: str
    hand: str = "both"
    which: str = "all"
    roots: bool = True
    annotations: str = ""
    ids: str = ""

    validates = True

    def __post_init__(self):
        for name, choices in (("hand", SIDES), ("which", WHICH), ("annotations", ("", *FOLDERS))):
            if (value := getattr(self, name)) not in choices:
                raise ValueError(f"unknown {name} '{value}': choose one of {', '.join(filter(None, choices))}")
        self.split = split_of(self.split, SPLITS)
        self.root = find_root(self.root, (f"annotations/{name}" for name in FOLDERS), "InterHand2.6M")
        self.labels = self.root / "annotations" / (self.annotations or self.split)
        self.images = self.root / "images" / self.split
        self.cameras = read_whole(self._file("camera"))
        self.world, self.valid, rows = read_world(self._file("joint_3d"))
        self.hands = self._hands(rows, read_ids(self.labels / self.ids) if self.ids else None)
        self.pictures = len({hand.picture.file_name for hand in self.hands})
        # All cameras show the same hand at the same time, so the number of a frame gives its time in the sequence.
        frames: dict[tuple[str, str], list[int]] = {}
        for picture in (hand.picture for hand in self.hands):
            frames.setdefault((picture.capture, picture.sequence), []).append(int(picture.frame))
        self.spans = {key: (min(numbers), max(numbers) + 1) for key, numbers in frames.items()}
        options = f"hand={self.hand} which={self.which} roots={'yes' if self.roots else 'no'}"
        options += "".join(f" {name}={getattr(self, name)}" for name in ("annotations", "ids") if getattr(self, name))
        self.start(f"InterHand2.6M {self.split} {options}", len(self.hands))

    def _file(self, what: str) -> Path:
        return self.labels / f"InterHand2.6M_{self.split}_{what}.json"

    def _hands(self, rows: dict[tuple[str, str], int], kept: set[int] | None) -> list[Hand]:
        path, hands = self._file("data"), []
        pictures = {number: picture for number, picture in _each(path, "images", _picture)}
        for number, (image, type_, valid) in _each(path, "annotations", _annotation):
            if type_ not in WHICH[self.which] or (kept is not None and number not in kept):
                continue
            where = f"{path}: annotation {number}"
            if image not in pictures:
                raise ValueError(f"{where}: the field 'image_id' names no image; get it again from {SOURCE}")
            picture = pictures[image]
            if (world := rows.get((picture.capture, picture.frame))) is None:
                raise ValueError(
                    f"{where}: {self._file('joint_3d').name} has no frame {picture.frame} of capture "
                    f"{picture.capture}; get both again from {SOURCE}"
                )
            for side in SIDES[self.hand]:
                usable = valid[ROWS[side]] & self.valid[world, ROWS[side]]
                if usable.sum() >= FEWEST_VALID and (usable[WRIST] or not self.roots):
                    hands.append(Hand(picture, side, world, valid[ROWS[side]]))
        return hands

    def time(self, row: int) -> float:
        picture = self.hands[row].picture
        first, end = self.spans[picture.capture, picture.sequence]
        return (int(picture.frame) - first) / (end - first)

    def read(self, row: int) -> Frame:
        picture, side, world, valid = self.hands[row]
        path = self.images / picture.file_name
        if not path.resolve().is_relative_to(self.images.resolve()):
            raise ValueError(
                f"{self._file('data')}: the file_name '{picture.file_name}' leads out of the folder of images"
            )
        rotation, position, focal, center = self._camera(picture)
        exists = self.valid[world, ROWS[side]]
        points = (self.world[world, ROWS[side]] - position) @ rotation.T / 1000  # R (X − campos) for points as rows
        joints, visible = (
            convert(torch.from_numpy(rows), INTERHAND21, C21)
            for rows in (np.where(exists[:, None], points, np.nan), (exists & valid)[:, None].astype(np.float64))
        )
        return Frame(
            name=f"interhand-{self.split}-{Path(picture.file_name).with_suffix('').as_posix()}-{side}",
            side=side,
            image=read_rgb(path),
            joints_cam=joints,
            visible=visible[:, 0] > 0,
            K=intrinsics(*focal.tolist(), *center.tolist(), self.first_pixel),
        )

    def _camera(self, picture: Picture) -> list[Float[np.ndarray, "..."]]:
        """Returns `camrot`, `campos`, `focal`, `princpt` of the camera of a picture."""
        path, values = self._file("camera"), []
        capture = self.cameras.get(picture.capture)
        for name, shape in (("camrot", (3, 3)), ("campos", (3,)), ("focal", (2,)), ("princpt", (2,))):
            field = capture.get(name) if isinstance(capture, dict) else None
            where = f"{path}: '{name}' of camera {picture.camera} in capture {picture.capture}"
            if not isinstance(field, dict) or picture.camera not in field:
                raise ValueError(f"{where} is missing; get it again from {SOURCE}")
            values.append(_numbers(field[picture.camera], shape, where))
        if not np.allclose(values[0] @ values[0].T, np.eye(3), atol=1e-2):
            where = f"camera {picture.camera} in capture {picture.capture}"
            raise ValueError(f"{path}: 'camrot' of {where} is not a rotation; get it again from {SOURCE}")
        return values


# ---- files


def read_whole(path: Path) -> dict[str, Any]:
    """Reads a JSON file of moderate size that holds an object. Raises `FileNotFoundError` or `ValueError`."""
    check_file(path, MAX_BYTES, f"no {path.name} in {path.parent}; get it from {SOURCE}")
    content = parse_json(path.read_bytes(), path, f"get it again from {SOURCE}")
    if not isinstance(content, dict):
        raise ValueError(f"{path}: must hold an object by capture; get it again from {SOURCE}")
    return content


def read_world(
    path: Path,
) -> tuple[Float[np.ndarray, "n 42 3"], Bool[np.ndarray, "n 42"], dict[tuple[str, str], int]]:
    """Reads coordinates in millimeters, which of them are valid, and the row of each (capture, frame)."""
    world, valid, rows = [], [], {}
    for capture, frames in read_whole(path).items():
        if not isinstance(frames, dict):
            raise ValueError(f"{path}: capture {capture} must be an object by frame; get it again from {SOURCE}")
        for frame, label in frames.items():
            label, where = label if isinstance(label, dict) else {}, f"of frame {frame} in capture {capture}"
            rows[capture, frame] = len(world)
            world.append(_numbers(label.get("world_coord"), (42, 3), f"{path}: 'world_coord' {where}"))
            valid.append(_flags(label.get("joint_valid"), f"{path}: 'joint_valid' {where}"))
    if not world:
        raise ValueError(f"{path}: it holds no frame; get it again from {SOURCE}")
    return np.array(world), np.array(valid), rows


def read_ids(path: Path) -> set[int]:
    check_file(path, MAX_BYTES, f"no {path.name} in {path.parent}; get it from {SOURCE}, or leave out 'ids'")
    lines = path.read_text(encoding="ascii", errors="replace").split()
    try:
        return {int(line) for line in lines}
    except ValueError as error:
        raise ValueError(f"{path}: must hold an integer on each line ({error})") from error


def _each(path: Path, key: str, take: Callable[[dict], Any]):
    """Yields (id, `take(object)`) for each object of a list. Raises `ValueError` with the object that is wrong."""
    for number, entry in enumerate(json_objects(path, key, SOURCE)):
        try:
            yield int(entry["id"]), take(entry)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            what = (
                f"the field {error} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())[:100]
            )
            raise ValueError(f"{path}: {key} {number}: {what}; get it again from {SOURCE}") from error


def _picture(entry: dict) -> Picture:
    name = entry["file_name"]
    if not isinstance(name, str) or not name or "\0" in name:
        raise ValueError("the field 'file_name' must be the path of a picture")
    texts = (entry["capture"], entry["camera"], int(entry["frame_idx"]), entry.get("seq_name", ""))
    return Picture(name, *(sys.intern(str(text)) for text in texts))  # a million pictures share a few texts


def _annotation(entry: dict) -> tuple[int, str, Bool[np.ndarray, "42"]]:
    return int(entry["image_id"]), str(entry["hand_type"]), _flags(entry["joint_valid"], "the field 'joint_valid'")


def _numbers(value: Any, shape: tuple[int, ...], where: str) -> Float[np.ndarray, "..."]:
    try:
        array = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        array = np.zeros(0)
    if array.shape != shape or not (np.abs(array) < FARTHEST_MM).all():  # false for NaN
        raise ValueError(f"{where} must be finite numbers of shape {shape}; get it again from {SOURCE}")
    return array


def _flags(value: Any, where: str) -> Bool[np.ndarray, "42"]:
    """Converts 42 numbers 0 or 1, or lists of one such number, to booleans."""
    try:
        array = np.array(value, np.float64).reshape(-1)
    except (TypeError, ValueError, OverflowError):
        array = np.zeros(0)
    if array.shape != (42,) or not np.isin(array, (0, 1)).all():
        raise ValueError(f"{where} must be 42 numbers 0 or 1; get it again from {SOURCE}")
    return array > 0
