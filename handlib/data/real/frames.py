"""The common part of the readers of real data sets: makes samples from frames and handles broken files.

A reader knows how its labels and pictures are stored and returns `Frame`s (crop.py); the rest is done here.
"""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from ...camera import CROP_FACTOR
from ..crop import Crop, Frame, cut_frame
from ..sample import HandSample

SPLITS = {  # accepted names
    "train": "train",
    "training": "train",
    "val": "val",
    "validation": "val",
    "test": "test",
    "evaluation": "test",
}
_BROKEN = (ValueError, OSError)  # raised by readers for a frame that cannot be used


@dataclass(eq=False, repr=False)
class RealHands(Dataset):
    """A map-style data set of `HandSample`, cropped from the pictures of a download.

    A reader derives from it, adds arguments of its own, calls `start` last in its `__post_init__`, and implements
    `read(row)` for rows 0 … count − 1. These arguments all have, by name:

    size: side of the square crops in pixels. crop, crop_factor, crop_meters: the rule by which they are cut, see
    `Crop`. first_pixel: the coordinate of the first pixel's center in the data set's K. fingertips: the set of
    `joints.FINGERTIPS` to compare with. skip_broken: reads every frame once and leaves out those that cannot be used;
    `broken` maps their rows to the reasons. Otherwise a broken frame raises an error with its file when it is read.

    The same files always give the same data set, in every process.
    """

    _: KW_ONLY
    size: int = 224
    crop: str = "joints"
    crop_factor: float = CROP_FACTOR
    crop_meters: float = 0.3
    first_pixel: float = 0.0
    fingertips: str = "smplx"
    skip_broken: bool = False

    scored = tuple(range(21))  # rows of C21 that the protocol of the data set counts
    palm = ""  # rule of palm.py by which the protocol converts the wrist to joint 0; "": it counts the wrist
    passes = 1  # number of crops per test hand: the first one, then one around the joints estimated in it
    trains = True  # whether the data set has a training split
    validates = False  # … and its own validation split

    def start(self, title: str, count: int) -> None:
        """Ends the construction of a reader of `count` rows. title: what it is of its own arguments."""
        if self.size < 1:
            raise ValueError(f"size must be at least 1 pixel, not {self.size}")
        self.title, self.count = f"{title} fingertips={self.fingertips}", count
        self.rule = Crop(self.crop, self.crop_factor, self.crop_meters)
        self.rows: Iterable[int] = range(count)
        self.broken: dict[int, str] = {}
        if self.skip_broken:
            self._leave_out_broken()

    def read(self, row: int) -> Frame:
        raise NotImplementedError(f"{type(self).__name__} must implement read")

    def time(self, row: int) -> float:
        """Returns the time of a row within its recording, 0 … 1; the same for all pictures of one hand."""
        return row / self.count

    def hold_out(self, fraction: float, validation: bool) -> "RealHands":
        """Keeps only the last `fraction` of each recording (validation), or only the rest; returns the data set.

        This gives validation hands to data sets without a validation split. They are not chosen at random, because
        neighboring frames of a video are nearly the same picture.
        """
        if not 0 < fraction < 1:
            raise ValueError(f"{self.title}: hold must be more than 0 and less than 1, not {fraction:g}")
        self.rows = [row for row in self.rows if (self.time(row) >= 1 - fraction) == validation]
        self.title += f" {'held' if validation else 'without'}={fraction:g}"
        if not self.rows:
            raise ValueError(
                f"{self.title}: hold={fraction:g} leaves none of {self.count} frames: choose another value"
            )
        return self

    @property
    def name(self) -> str:
        """The name in results files."""
        skipped = f" skipped={len(self.broken)}" if self.broken else ""
        return f"{self.title} {self.rule} size={self.size} n={len(self)}{skipped}"

    def __len__(self) -> int:
        return len(self.rows)

    def frame(self, index: int) -> Frame:
        """Reads the frame of sample `index`, neither cropped nor mirrored."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.title} has no sample {index}; it has {len(self)}")
        return self.read(self.rows[index])

    def __getitem__(self, index: int) -> HandSample:
        return self._cut(self.frame(index), self.size)

    def _cut(self, frame: Frame, size: int) -> HandSample:
        try:
            return cut_frame(frame, size, self.rule)
        except ValueError as error:
            folder = getattr(self, "root", None) or getattr(self, "folder", self.title)
            raise ValueError(f"{folder}: {error}") from error

    def report(self) -> str:
        """Says how many frames were skipped, and why the first of them were."""
        if not self.broken:
            return f"{self.title}: {len(self)} frames, none skipped"
        first = [f"  {message}" for message in list(self.broken.values())[:5]]
        more = [f"  … and {len(self.broken) - 5} more"] if len(self.broken) > 5 else []
        return "\n".join([f"{self.title}: {len(self.broken)} broken frames skipped, {len(self)} left", *first, *more])

    def _leave_out_broken(self) -> None:
        def fault(row: int) -> str | None:
            try:
                self._cut(self.read(row), 8)
            except _BROKEN as error:
                return str(error)
            return None

        rows = list(self.rows)
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            faults = tqdm(pool.map(fault, rows), f"reading {self.title}", len(rows), disable=len(rows) < 1000)
            self.broken = {row: message for row, message in zip(rows, faults, strict=True) if message is not None}
        self.rows = [row for row in rows if row not in self.broken]
        if self.broken:
            tqdm.write(self.report())


def split_of(split: str, choices: Iterable[str] = ("train", "test")) -> str:
    """Returns "train", "val" or "test", also for other names of them, such as "training" or "evaluation".

    Raises `ValueError` for a split that is not among `choices`.
    """
    name = SPLITS.get(split)
    if name not in choices:
        raise ValueError(f"unknown split '{split}': choose one of {', '.join(choices)}")
    return name


def find_root(root: str | os.PathLike[str], marks: Iterable[str], what: str) -> Path:
    """Returns the folder that contains one of `marks`: `root`, or the only such folder in it.

    Raises `FileNotFoundError` with what should be there, `ValueError` where several folders have it.
    """
    root, marks = Path(root).expanduser(), tuple(marks)
    if not root.is_dir():
        raise FileNotFoundError(f"no folder at {root}; give the folder into which {what} was unpacked")
    inner = sorted(path for path in root.iterdir() if path.is_dir())
    having = [folder for folder in (root, *inner) if any((folder / mark).exists() for mark in marks)]
    if not having:
        raise FileNotFoundError(f"{root} is not {what}: neither it nor a folder in it has {' or '.join(marks)}")
    if having[0] != root and len(having) > 1:
        raise ValueError(f"{root} holds {what} more than once; give one of {', '.join(map(str, having))}")
    return having[0]


def intrinsics(fx: float, fy: float, cx: float, cy: float, first_pixel: float = 0.0) -> Float[Tensor, "3 3"]:
    """Returns K with pixel centers at +0.5, from numbers whose first center is at `first_pixel` (0: OpenCV's)."""
    shift = 0.5 - first_pixel
    return torch.tensor([[fx, 0, cx + shift], [0, fy, cy + shift], [0, 0, 1]], dtype=torch.float64)


def intrinsics_of(matrix: Float[Tensor, "3 3"] | Float[np.ndarray, "3 3"], first_pixel: float) -> Float[Tensor, "3 3"]:
    """Returns `intrinsics` of a matrix [[fx, skew, cx], [0, fy, cy], [0, 0, 1]]."""
    (fx, skew, cx), (_, fy, cy) = matrix[:2].tolist()
    K = intrinsics(fx, fy, cx, cy, first_pixel)
    K[0, 1] = skew
    return K
