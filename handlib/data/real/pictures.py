"""Reading the images of a data set, as bytes. A file is looked at before it is decoded: it may be anything.

On top of `support.images`, whose errors name the file: only PNG, JPEG, BMP and WebP are tried, and nothing is turned
upright, since a data set's labels belong to the image as it is stored.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from ...support.images import ImageError, open_image, rgb

FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
MAX_PIXELS = 40_000_000  # of one image; the data sets' own have 0.3 million


def read_rgb(path: str | os.PathLike[str], mend: str = "download it again") -> UInt8[np.ndarray, "h w 3"]:
    """A color image as stored; it may hold codes, so transparency changes nothing."""
    with _open(path, mend) as image:
        return rgb(image, path, flatten=False)


def read_codes(path: str | os.PathLike[str], mend: str = "download it again") -> UInt8[np.ndarray, "h w"]:
    """An image of one channel, whose values are codes or gray levels; a palette's indices are the codes."""
    with _open(path, mend) as image:
        if image.mode not in ("L", "P"):
            raise ImageError(f"{path}: a picture of mode {image.mode}, not of one channel with 8 bits; {mend}")
        return np.array(image)


def same_size(picture: np.ndarray, image: np.ndarray, path: str | os.PathLike[str]) -> np.ndarray:
    """A mask or a depth map, once it is seen to have the size of the color image that it belongs to."""
    if picture.shape[:2] != image.shape[:2]:
        (height, width), (wanted_height, wanted_width) = picture.shape[:2], image.shape[:2]
        raise ValueError(f"{path}: {width}×{height} pixels, its color picture has {wanted_width}×{wanted_height}")
    return picture


@contextmanager
def _open(path: str | os.PathLike[str], mend: str) -> Iterator[Image.Image]:
    if not Path(path).is_file():
        raise FileNotFoundError(f"no picture at {path}; is the data set unpacked completely?")
    with open_image(path, FORMATS, MAX_PIXELS, mend) as (image, _):
        yield image
