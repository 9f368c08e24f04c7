"""Uses your own pictures as backgrounds: every PNG, JPEG, BMP and WebP in a folder and its subfolders.

Leave out pictures with hands, because networks would learn to ignore hands.
"""

import os
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from .pictures import SUFFIXES, read_rgb


class ImageFolderBackgrounds:
    """A source of backgrounds; photographs are read when they are requested.

    path: the folder. Photographs are sorted by their paths within it, so the order is the same on every machine.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path).expanduser()
        if not self.path.is_dir():
            raise FileNotFoundError(f"no folder at {self.path}; give a folder of pictures")
        files = (file for file in self.path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        self.files = sorted(file.relative_to(self.path).as_posix() for file in files)
        if not self.files:
            raise ValueError(f"{self.path} holds no pictures ({', '.join(SUFFIXES)})")

    @property
    def name(self) -> str:
        return f"ImageFolderBackgrounds {self.path.name} n={len(self)}"

    def __len__(self) -> int:
        return len(self.files)

    def photograph(self, i: int) -> UInt8[Tensor, "3 h w"]:
        if not 0 <= i < len(self):
            raise IndexError(f"{self.path} has no photograph {i}; it has {len(self)}")
        picture = read_rgb(self.path / self.files[i], "remove it from the folder")
        return torch.from_numpy(picture).movedim(-1, 0).contiguous()
