"""Reads the images of a data set as bytes; files are checked before they are decoded.

Uses `support.images`, whose errors name the file. Only PNG, JPEG, BMP and WebP are tried. Images are not turned
upright, since the labels of a data set belong to the image as stored.
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
MAX_PIXELS = 40_000_000  # of one image; those of the data sets have 0.3 million


def read_rgb(path: str | os.PathLike[str], mend: str = "download it again") -> UInt8[np.ndarray, "h w 3"]:
    """Reads a color image as stored, ignoring transparency, since colors may be codes."""
    with _open(path, mend) as image:
        return rgb(image, path, flatten=False)


def read_codes(path: str | os.PathLike[str], mend: str = "download it again") -> UInt8[np.ndarray, "h w"]:
    """Reads an image of one channel of codes or gray levels; for a palette image, the indices are the codes."""
    with _open(path, mend) as image:
        if image.mode not in ("L", "P"):
            raise ImageError(f"{path}: the picture has mode {image.mode}, not one channel of 8 bits; {mend}")
        return np.array(image)


def same_size(picture: np.ndarray, image: np.ndarray, path: str | os.PathLike[str]) -> np.ndarray:
    """Returns a mask or depth map. Raises `ValueError` if it does not have the size of its color image."""
    if picture.shape[:2] != image.shape[:2]:
        (height, width), (color_height, color_width) = picture.shape[:2], image.shape[:2]
        raise ValueError(f"{path}: {width}×{height} pixels, its color picture has {color_width}×{color_height}")
    return picture


@contextmanager
def _open(path: str | os.PathLike[str], mend: str) -> Iterator[Image.Image]:
    if not Path(path).is_file():
        raise FileNotFoundError(f"no picture at {path}; is the data set unpacked completely?")
    with open_image(path, FORMATS, MAX_PIXELS, mend) as (image, _):
        yield image
