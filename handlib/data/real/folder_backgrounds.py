"""The user's own pictures as backgrounds: every PNG, JPEG, BMP and WebP in a folder and the folders in it.

Leave out pictures that show hands: a network would learn to overlook them.
"""

import os
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from .pictures import SUFFIXES, read_rgb


class ImageFolderBackgrounds:
    """A source of backgrounds: `len(source)` photographs, `source.photograph(i)` one of them, read when asked for.

    path: the folder. The order is that of the paths within it, letter by letter, on every machine.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path).expanduser()
        if not self.path.is_dir():
            raise FileNotFoundError(f"no folder at {self.path}; name one that holds pictures")
        found = (file for file in self.path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        self.files = sorted(file.relative_to(self.path).as_posix() for file in found)
        if not self.files:
            raise ValueError(f"{self.path} holds no pictures ({', '.join(SUFFIXES)})")

    @property
    def name(self) -> str:
        """What a results file records."""
        return f"ImageFolderBackgrounds {self.path.name} n={len(self)}"

    def __len__(self) -> int:
        return len(self.files)

    def photograph(self, i: int) -> UInt8[Tensor, "3 h w"]:
        """Photograph i, sRGB bytes."""
        if not 0 <= i < len(self):
            raise IndexError(f"{self.path} has no photograph {i}; it has {len(self)}")
        picture = read_rgb(self.path / self.files[i], "take it out of the folder")
        return torch.from_numpy(picture).movedim(-1, 0).contiguous()
