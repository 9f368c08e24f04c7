"""Reading the pictures of a data set, as bytes. A file is looked at before it is decoded: it may be anything.

Only PNG, JPEG, BMP and WebP are tried, a picture's size is checked before memory is reserved for it, and every error
is a `ValueError` (or `FileNotFoundError`) that names the file. Nothing is turned upright here: a data set's labels
belong to the picture as it is stored.
"""

import os
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
MAX_PIXELS = 40_000_000  # of one picture; the data sets' own have 0.3 million


def read_rgb(path: str | os.PathLike[str], mend: str = "download it again") -> UInt8[np.ndarray, "h w 3"]:
    """A colour picture."""
    return _read(Path(path), "RGB", mend)


def read_codes(path: str | os.PathLike[str], mend: str = "download it again") -> UInt8[np.ndarray, "h w"]:
    """A picture of one channel, whose values are codes or grey levels; a palette's indices are the codes."""
    return _read(Path(path), "codes", mend)


def same_size(picture: np.ndarray, image: np.ndarray, path: str | os.PathLike[str]) -> np.ndarray:
    """A mask or a depth map, once it is seen to have the size of the colour picture that it belongs to."""
    if picture.shape[:2] != image.shape[:2]:
        (height, width), (wanted_height, wanted_width) = picture.shape[:2], image.shape[:2]
        raise ValueError(f"{path}: {width}×{height} pixels, its colour picture has {wanted_width}×{wanted_height}")
    return picture


def _read(path: Path, mode: str, mend: str) -> np.ndarray:
    if not path.is_file():
        raise FileNotFoundError(f"no picture at {path}; is the data set unpacked completely?")
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{path}: {image.width}×{image.height} pixels, more than {MAX_PIXELS:,}; refused")
            if mode == "RGB":
                return np.array(image.convert("RGB"))
            if image.mode not in ("L", "P"):
                raise ValueError(f"{path}: a picture of mode {image.mode}, not of one channel with 8 bits; {mend}")
            return np.array(image)
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path}: far more than {MAX_PIXELS:,} pixels; refused") from error
    except (UnidentifiedImageError, OSError, SyntaxError, EOFError) as error:  # what Pillow raises at damage
        reason = "it is not one" if isinstance(error, UnidentifiedImageError) else " ".join(str(error).split())
        raise ValueError(f"{path}: not a readable PNG, JPEG, BMP or WebP picture ({reason}); {mend}") from error
