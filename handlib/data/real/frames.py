"""What the readers of real data sets share: from an index to a sample, and what to do about a broken file.

A reader knows how its labels and pictures are stored and gives `Frame`s (crop.py); from there on all are alike.
"""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from ..crop import Crop, Frame, cut_frame, to_original_camera, to_original_picture
from ..sample import HandSample

SPLITS = {  # the names that are understood
    "train": "train",
    "training": "train",
    "val": "val",
    "validation": "val",
    "test": "test",
    "evaluation": "test",
}
_BROKEN = (ValueError, OSError)  # what a reader raises at a frame that cannot be used


class RealHands(Dataset):
    """A map-style data set of `HandSample`, cut from the pictures of a download.

    A reader derives from it, calls this constructor last, and implements `read(row)` for rows 0 … count − 1.

    size: side of the square crops in pixels. crop: the rule by which they are cut. skip_broken: every frame is read
    once now, and those that cannot be are left out; `broken` then maps the row of each to what was wrong with it.
    Otherwise a broken frame raises an error, which names its file, when its turn comes. Two constructions from the same
    files are the same data set, in whatever process.
    """

    scored: tuple[int, ...] = tuple(range(21))  # rows of C21 that the protocol of the data set counts
    palm = ""  # rule of palm.py by which its protocol makes joint 0 of a wrist; "": it counts the wrist
    passes = 1  # looks that an estimate takes at a test hand: at its crop, then around the joints found there
    validates = False  # whether the data set has a split for validation of its own

    def __init__(self, title: str, count: int, size: int, crop: Crop, skip_broken: bool):
        if size < 1:
            raise ValueError(f"crops of {size} pixels: size must be at least 1")
        self.title, self.count, self.size, self.crop = title, count, size, crop
        self.rows: Iterable[int] = range(count)
        self.broken: dict[int, str] = {}
        if skip_broken:
            self._leave_out_broken()

    def read(self, row: int) -> Frame:
        """The frame of a row as the data set has it."""
        raise NotImplementedError(f"{type(self).__name__} must implement read")

    def place(self, row: int) -> float:
        """Where in its recording the hand of a row is, from 0 to 1; the same for all pictures of one hand."""
        return row / self.count

    def hold_out(self, fraction: float, held: bool) -> "RealHands":
        """This set with only the last `fraction` of each recording (held), or with only what comes before.

        Validation hands for sets that have none. Their end rather than a random choice, since neighbors in a video
        are nearly the same picture.
        """
        if not 0 < fraction < 1:
            raise ValueError(f"{self.title}: hold must be more than 0 and less than 1, not {fraction:g}")
        self.rows = [row for row in self.rows if (self.place(row) >= 1 - fraction) == held]
        self.title += f" {'held' if held else 'without'}={fraction:g}"
        if not self.rows:
            raise ValueError(f"{self.title}: no frame is left of {self.count}: choose another hold than {fraction:g}")
        return self

    @property
    def name(self) -> str:
        """What a results file records."""
        skipped = f" skipped={len(self.broken)}" if self.broken else ""
        return f"{self.title} {self.crop} size={self.size} n={len(self)}{skipped}"

    def __len__(self) -> int:
        return len(self.rows)

    def frame(self, index: int) -> Frame:
        """The uncut, unmirrored original of sample `index`."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.title} has no sample {index}; it has {len(self)}")
        return self.read(self.rows[index])

    def __getitem__(self, index: int) -> HandSample:
        return cut_frame(self.frame(index), self.size, self.crop)

    def to_original(
        self, points_cam: Float[Tensor, "n 3"], points_px: Float[Tensor, "m 2"], sample: HandSample
    ) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "m 2"]]:
        """Predictions for a sample, in the original camera (meters) and in the original picture (pixels)."""
        return to_original_camera(points_cam, sample.side), to_original_picture(points_px, sample)

    def report(self) -> str:
        """How many frames were skipped, and what is wrong with the first of them."""
        if not self.broken:
            return f"{self.title}: {len(self)} frames, none skipped"
        first = [f"  {message}" for message in list(self.broken.values())[:5]]
        more = [f"  … and {len(self.broken) - 5} more"] if len(self.broken) > 5 else []
        return "\n".join([f"{self.title}: {len(self.broken)} broken frames skipped, {len(self)} left", *first, *more])

    def _leave_out_broken(self) -> None:
        def trouble(row: int) -> str | None:
            try:
                cut_frame(self.read(row), 8, self.crop)
            except _BROKEN as error:
                return str(error)
            return None

        rows = list(self.rows)
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            found = tqdm(pool.map(trouble, rows), f"reading {self.title}", len(rows), disable=len(rows) < 1000)
            self.broken = {row: message for row, message in zip(rows, found, strict=True) if message is not None}
        self.rows = [row for row in rows if row not in self.broken]
        if self.broken:
            tqdm.write(self.report())


def split_of(split: str, known: Iterable[str] = ("train", "test")) -> str:
    """ "train", "val" or "test", also by the names that data sets use for them, such as "training", "evaluation"."""
    found = SPLITS.get(split)
    if found not in known:
        raise ValueError(f"unknown split '{split}': choose one of {', '.join(known)}")
    return found


def find_root(root: str | os.PathLike[str], marks: Iterable[str], what: str) -> Path:
    """The folder that holds one of `marks`: `root`, or one inside it, such as the archive unpacks to.

    `FileNotFoundError` says what should be there.
    """
    root, marks = Path(root).expanduser(), tuple(marks)
    if not root.is_dir():
        raise FileNotFoundError(f"no folder at {root}; give the one that {what} was unpacked to")
    for folder in (root, *sorted(path for path in root.iterdir() if path.is_dir())):
        if any((folder / mark).exists() for mark in marks):
            return folder
    raise FileNotFoundError(f"{root} is not {what}: neither it nor a folder in it has {' or '.join(marks)}")


def intrinsics(fx: float, fy: float, cx: float, cy: float, first_pixel: float = 0.0) -> Float[Tensor, "3 3"]:
    """K with pixel centers at +0.5, from one whose first pixel has its center at `first_pixel` (0: OpenCV's)."""
    shift = 0.5 - first_pixel
    return torch.tensor([[fx, 0, cx + shift], [0, fy, cy + shift], [0, 0, 1]], dtype=torch.float64)
