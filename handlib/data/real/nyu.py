"""NYU Depth v2 (Silberman et al. 2012) as background photographs: 1,449 indoor scenes, 640×480.

    nyu_depth_v2_labeled.mat        2.8 GB, a MATLAB 7.3 file, which is HDF5

MATLAB is column-major: its images (480, 640, 3, 1449) are (1449, 3, 640, 480) in HDF5, so pictures must be transposed
when read. Each has a white border; rows 7–473 and columns 7–631 are the photograph.
"""

import math
import os
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

COUNT, WIDTH, HEIGHT = 1449, 640, 480
SOURCE = "https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html"
INSIDE = (slice(7, 474), slice(7, 632))  # rows, columns within the white border
MAX_PIXELS = 40_000_000


class NYUBackgrounds:
    """A source of backgrounds; photographs are read when they are requested.

    path: the file, or its folder. border: keep the white border. Each process opens the file itself. Needs h5py: pip
    install 'handlib[data]'.
    """

    def __init__(self, path: str | os.PathLike[str], border: bool = False):
        path = Path(path).expanduser()
        self.path = path / "nyu_depth_v2_labeled.mat" if path.is_dir() else path
        self.border = border
        self._images, self._process = None, None
        self.length = len(self._open())

    @property
    def name(self) -> str:
        return f"NYUBackgrounds n={len(self)}{' with border' if self.border else ''}"

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_images": None, "_process": None}

    def __len__(self) -> int:
        return self.length

    def photograph(self, i: int) -> UInt8[Tensor, "3 h w"]:
        if not 0 <= i < len(self):
            raise IndexError(f"{self.path} has no photograph {i}; it has {len(self)}")
        try:
            picture = self._open()[i]
        except (OSError, RuntimeError) as error:
            raise ValueError(f"{self.path}: the field 'images' cannot be read at {i} ({error})") from error
        photograph = torch.from_numpy(picture).mT  # stored as (3, width, height)
        return (photograph if self.border else photograph[:, INSIDE[0], INSIDE[1]]).contiguous()

    def _open(self):
        """Opens and checks the data set `images`. Each process needs its own handle, since none survives a fork."""
        if self._images is not None and self._process == os.getpid():
            return self._images
        try:
            import h5py
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("NYU Depth's file needs h5py: pip install 'handlib[data]'") from error
        if not self.path.is_file():
            raise FileNotFoundError(f"no NYU Depth file at {self.path}; get it from {SOURCE}")
        mend = f"is it nyu_depth_v2_labeled.mat from {SOURCE}, completely?"
        try:
            file = h5py.File(self.path, "r")
            # A link or a virtual data set could refer to any other file.
            link = file.get("images", getlink=True)
            images = file.get("images") if isinstance(link, h5py.HardLink) else None
        except (OSError, RuntimeError, KeyError) as error:
            raise ValueError(f"{self.path}: not a readable HDF5 file ({error}); {mend}") from error
        wrong = None
        if not isinstance(images, h5py.Dataset):
            wrong = "is missing"
        elif images.external or images.is_virtual:
            wrong = "refers to other files; refused"
        elif images.dtype != "uint8" or images.ndim != 4 or images.shape[1] != 3:
            wrong = f"is {images.dtype} of shape {images.shape}, expected uint8 of (n, 3, width, height)"
        elif not 0 < images.shape[2] * images.shape[3] <= MAX_PIXELS:
            wrong = f"has pictures of {images.shape[2]}×{images.shape[3]} pixels; refused"
        elif math.prod(images.chunks or ()) > 3 * MAX_PIXELS:
            wrong = f"is stored in chunks of {images.chunks}; refused"
        if wrong is not None:
            file.close()
            raise ValueError(f"{self.path}: the field 'images' {wrong}; {mend}")
        self._images, self._process = images, os.getpid()
        return images
