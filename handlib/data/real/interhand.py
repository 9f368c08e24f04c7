"""InterHand2.6M (Moon et al. 2020): two hands of 26 people in a dome of some hundred cameras, 512×334, v1.0 at 5 fps.

    annotations/{train,val,test}/InterHand2.6M_{train,val,test}_{data,camera,joint_3d}.json        v1.0
    annotations/{all,human_annot,machine_annot}/InterHand2.6M_…                                    before; `annotations`
    images/{train,val,test}/<file_name>              such as Capture0/<sequence>/cam400002/image12345.jpg

| theirs | here |
|---|---|
| data, `images`: id, file_name, capture, camera, frame_idx, seq_name, … | one picture |
| data, `annotations`: image_id, hand_type (right, left, interacting), joint_valid 42, … | one sample for each hand |
| joint_3d[capture][frame]: `world_coord` 42×3 millimeters, `joint_valid` 42×1 | `joints_cam`; NaN where not valid |
| rows 0–20 the right hand, 21–41 the left; thumb … little, tip → base, wrist last | C21 |
| data's `joint_valid`: of a picture, not of the world | `visible` |
| camera[capture]: `campos` millimeters, `camrot`; X_cam = R (X − campos) | meters, camera frame |
| `focal`, `princpt` in pixels; whole numbers are pixel centers | + 0.5 in cx and cy, then that of the crop |
| `bbox` of both hands together; MANO_NeuralAnnot: MANO's parameters of both hands in the world | not read |

Joints are those of their annotators, not of MANO. `joint_valid` stands in two files: the world's says which coordinates
exist, the picture's which of them count there; their code uses the second alone. Public code differs on which
annotations it measures (`annotations`, `ids`), on hands whose wrist is not valid (`roots`), and on whether pictures of
two hands are counted (`which`). The layout is that of the authors' page and scripts.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float

from ...camera import CROP_FACTOR
from ...hand.joints import C21, INTERHAND21, convert
from ...support.json_text import parse_json
from ..crop import Crop, Frame
from .frames import RealHands, find_root, intrinsics, split_of
from .json_objects import json_objects
from .pictures import read_rgb

SPLITS = ("train", "val", "test")
COUNTS = {"train": 1361062, "val": 380125, "test": 849160}  # pictures of v1.0 at 5 fps, people's and machines' labels
SOURCE = "https://mks0601.github.io/InterHand2.6M/"
FOLDERS = (*SPLITS, "all", "human_annot", "machine_annot")  # of annotations
ROWS = {"right": slice(0, 21), "left": slice(21, 42)}
SIDES = {"both": ("right", "left"), "right": ("right",), "left": ("left",)}
WHICH = {"all": ("right", "left", "interacting"), "single": ("right", "left"), "interacting": ("interacting",)}
WRIST = INTERHAND21.index("wrist")
FEWEST_SEEN = 2  # joints of a hand that makes a sample
MAX_BYTES = 1 << 30  # of the files that are read whole; those at 5 fps have some 60 MB
FARTHEST_MM = 1e6


class Picture(NamedTuple):
    """One of `images`."""

    file_name: str
    capture: str
    camera: str
    frame: str
    sequence: str


class Hand(NamedTuple):
    """One hand of one picture: row `world` of the coordinates, and which of its 21 joints are valid in the picture."""

    picture: Picture
    side: str
    world: int
    valid: Bool[np.ndarray, "21"]


class InterHand26M(RealHands):
    """Each hand of every annotated picture, picture by picture, the right hand first.

    root: the folder of `annotations` and `images`. split: "train", "val" or "test". Reading the labels of the training
    split takes minutes and a gigabyte of memory, once.
    hand: "both", "right" or "left". which: "all" pictures, those of a "single" hand, or of "interacting" ones.
    roots: only hands whose wrist is valid, as their own code measures; no: those without are there, too.
    annotations: the folder in `annotations`, by default the split's. ids: a file beside the labels with the numbers of
    the annotations to keep, one a line, such as those that people made.
    first_pixel: the coordinate of the first pixel's center in their K. fingertips: the set of `joints.FINGERTIPS` to
    compare with. The other arguments: `Crop`, `RealHands`.
    """

    validates = True

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str,
        size: int = 224,
        hand: str = "both",
        which: str = "all",
        roots: bool = True,
        annotations: str = "",
        ids: str = "",
        crop: str = "joints",
        crop_factor: float = CROP_FACTOR,
        first_pixel: float = 0.0,
        fingertips: str = "smplx",
        skip_broken: bool = False,
    ):
        for name, value, known in (("hand", hand, SIDES), ("which", which, WHICH)):
            if value not in known:
                raise ValueError(f"unknown {name} '{value}': choose one of {', '.join(known)}")
        self.split, self.fingertips, self.first_pixel = split_of(split, SPLITS), fingertips, first_pixel
        if annotations not in ("", *FOLDERS):
            raise ValueError(f"unknown annotations '{annotations}': choose one of {', '.join(FOLDERS)}")
        self.root = find_root(root, (f"annotations/{name}" for name in FOLDERS), "InterHand2.6M")
        self.labels = self.root / "annotations" / (annotations or self.split)
        self.images = self.root / "images" / self.split
        self.cameras = read_whole(self._file("camera"))
        self.world, self.valid, places = read_world(self._file("joint_3d"))
        kept = None if not ids else read_ids(self.labels / ids)
        self.hands = self._hands(places, SIDES[hand], WHICH[which], roots, kept)
        self.pictures = len({hand.picture.file_name for hand in self.hands})
        # All cameras saw the same hand at one time, so that the number of a frame says where in its sequence it is.
        frames: dict[tuple[str, str], list[int]] = {}
        for picture in (hand.picture for hand in self.hands):
            frames.setdefault((picture.capture, picture.sequence), []).append(int(picture.frame))
        self.spans = {key: (min(found), max(found) + 1) for key, found in frames.items()}
        chosen = f"hand={hand} which={which} roots={'yes' if roots else 'no'}"
        chosen += "".join(f" {name}={value}" for name, value in (("annotations", annotations), ("ids", ids)) if value)
        title = f"InterHand2.6M {self.split} {chosen} fingertips={fingertips}"
        super().__init__(title, len(self.hands), size, Crop(crop, crop_factor), skip_broken)

    def _file(self, what: str) -> Path:
        return self.labels / f"InterHand2.6M_{self.split}_{what}.json"

    def _hands(
        self,
        places: dict[tuple[str, str], int],
        sides: tuple[str, ...],
        types: tuple[str, ...],
        roots: bool,
        kept: set[int] | None,
    ) -> list[Hand]:
        path, hands = self._file("data"), []
        pictures = {number: picture for number, picture in _each(path, "images", _picture)}
        for number, (image, type_, valid) in _each(path, "annotations", _annotation):
            if type_ not in types or (kept is not None and number not in kept):
                continue
            where = f"{path}: annotation {number}"
            if image not in pictures:
                raise ValueError(f"{where}: the field 'image_id' names no image; get it again from {SOURCE}")
            picture = pictures[image]
            if (world := places.get((picture.capture, picture.frame))) is None:
                raise ValueError(
                    f"{where}: {self._file('joint_3d').name} has no frame {picture.frame} of capture "
                    f"{picture.capture}; get both again from {SOURCE}"
                )
            for side in sides:
                seen = valid[ROWS[side]] & self.valid[world, ROWS[side]]
                if seen.sum() >= FEWEST_SEEN and (seen[WRIST] or not roots):
                    hands.append(Hand(picture, side, world, valid[ROWS[side]]))
        return hands

    def place(self, row: int) -> float:
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
        known = self.valid[world, ROWS[side]]
        points = (self.world[world, ROWS[side]] - position) @ rotation.T / 1000  # R (X − campos), points being rows
        joints, visible = (
            convert(torch.from_numpy(rows), INTERHAND21, C21)
            for rows in (np.where(known[:, None], points, np.nan), (known & valid)[:, None].astype(np.float64))
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
        """`camrot`, `campos`, `focal`, `princpt` of a picture's camera."""
        path, found = self._file("camera"), []
        capture = self.cameras.get(picture.capture)
        for name, shape in (("camrot", (3, 3)), ("campos", (3,)), ("focal", (2,)), ("princpt", (2,))):
            field = capture.get(name) if isinstance(capture, dict) else None
            where = f"{path}: '{name}' of camera {picture.camera} in capture {picture.capture}"
            if not isinstance(field, dict) or picture.camera not in field:
                raise ValueError(f"{where} is missing; get it again from {SOURCE}")
            found.append(_numbers(field[picture.camera], shape, where))
        if not np.allclose(found[0] @ found[0].T, np.eye(3), atol=1e-2):
            raise ValueError(f"{path}: 'camrot' of camera {picture.camera} in capture {picture.capture} is no rotation")
        return found


# ---- files


def read_whole(path: Path) -> dict[str, Any]:
    """A JSON file that is not large, which must hold an object."""
    if not path.is_file():
        raise FileNotFoundError(f"no {path.name} in {path.parent}; get it from {SOURCE}")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path}: {path.stat().st_size >> 20} MB, far more than it has; refused unread")
    holds = parse_json(path.read_bytes(), path, f"get it again from {SOURCE}")
    if not isinstance(holds, dict):
        raise ValueError(f"{path}: must hold an object by capture; get it again from {SOURCE}")
    return holds


def read_world(
    path: Path,
) -> tuple[Float[np.ndarray, "n 42 3"], Bool[np.ndarray, "n 42"], dict[tuple[str, str], int]]:
    """Coordinates in millimeters, which of them are valid, and the row of each (capture, frame)."""
    world, valid, places = [], [], {}
    for capture, frames in read_whole(path).items():
        if not isinstance(frames, dict):
            raise ValueError(f"{path}: capture {capture} must be an object by frame; get it again from {SOURCE}")
        for frame, label in frames.items():
            label, where = label if isinstance(label, dict) else {}, f"of frame {frame} in capture {capture}"
            places[capture, frame] = len(world)
            world.append(_numbers(label.get("world_coord"), (42, 3), f"{path}: 'world_coord' {where}"))
            valid.append(_flags(label.get("joint_valid"), f"{path}: 'joint_valid' {where}"))
    if not world:
        raise ValueError(f"{path}: it holds no frame; get it again from {SOURCE}")
    return np.array(world), np.array(valid), places


def read_ids(path: Path) -> set[int]:
    """The numbers of a text file, one a line."""
    if not path.is_file():
        raise FileNotFoundError(f"no {path.name} in {path.parent}; get it from {SOURCE}, or leave out 'ids'")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path}: {path.stat().st_size >> 20} MB; refused unread")
    lines = path.read_text(encoding="ascii", errors="replace").split()
    try:
        return {int(line) for line in lines}
    except ValueError as error:
        raise ValueError(f"{path}: must hold a whole number on each line ({error})") from error


def _each(path: Path, key: str, take: Callable[[dict], Any]):
    """(id, what `take` makes of it) of each object of a list; an error names the object."""
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
    return Picture(name, *(sys.intern(str(text)) for text in texts))  # a million pictures share a few of them


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
    """42 times 0 or 1, each in a list of its own or not."""
    try:
        array = np.array(value, np.float64).reshape(-1)
    except (TypeError, ValueError, OverflowError):
        array = np.zeros(0)
    if array.shape != (42,) or not np.isin(array, (0, 1)).all():
        raise ValueError(f"{where} must be 42 times 0 or 1; get it again from {SOURCE}")
    return array > 0
