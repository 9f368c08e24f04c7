"""Decodes image files, which are checked first because a file from outside may contain anything.

Only the named formats are tried. Bytes, sides and pixels are limited before memory is reserved. Any error that Pillow
raises becomes one `ImageError` that names the file and the mend. Colors come out as sRGB bytes: higher bit depths are
rounded to 8 bits, transparent pixels become the gray that also pads images, and color profiles are ignored. Only the
first frame of an animation and the first page of a document are read.
"""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Num, UInt8
from PIL import ExifTags, Image, UnidentifiedImageError, features

FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF") + (("AVIF",) if features.check("avif") else ())
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".avif")
MAX_BYTES = 512 << 20
MAX_PIXELS = 80_000_000  # below the size at which Pillow warns
MAX_SIDE = 32_768  # refuses images one pixel high, which pass the other limits
MEND = "save it as PNG or JPEG"
SHORTEST, LONGEST = 0.2, 50  # focal length of a real lens over the longer side of its image
GRAY = 128  # fills the area outside an image and behind transparent pixels

_TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_HEIC = (b"ftypheic", b"ftypheix", b"ftyphevc", b"ftypmif1")  # what phones write; Pillow reads it with a plugin only


class ImageError(ValueError):
    """Raised for an image that cannot be used; the message names the file and the mend."""


@contextmanager
def open_image(
    path: str | os.PathLike[str],
    formats: Sequence[str] = FORMATS,
    max_pixels: int = MAX_PIXELS,
    mend: str = MEND,
    coarsest: Callable[[tuple[int, int]], float] = lambda size: 1,
) -> Iterator[tuple[Image.Image, tuple[int, int]]]:
    """Opens, checks and decodes an image file; yields the image and the full width and height.

    coarsest: for an image of the given size, the largest factor by which it may be decoded smaller. Only JPEGs are, by
    2, 4 or 8. Errors raised inside the block, such as in a conversion, become an `ImageError` too.
    Raises `FileNotFoundError` or `IsADirectoryError` where there is no such file.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, not an image: give the path of a file in it")
    if not path.is_file():
        raise FileNotFoundError(f"no image at {path}")
    kinds = f"{', '.join(formats[:-1])} or {formats[-1]}"
    try:
        with open(path, "rb") as file:
            if (size := os.fstat(file.fileno()).st_size) > MAX_BYTES:
                raise ImageError(f"{path}: {size >> 20} MB; the limit is {MAX_BYTES >> 20} MB: {mend}")
            with Image.open(file, formats=formats) as image:
                whole = image.size
                check_size(whole, path, max_pixels)
                factor = reduction(whole, coarsest(whole))
                image.draft(None, (whole[0] // factor, whole[1] // factor))
                drafted = image.size != whole
                image.load()  # also turns a TIFF upright
                yield image, whole if drafted else image.size
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: more than {max_pixels:,} pixels, the limit: scale it down") from error
    except UnidentifiedImageError as error:
        with open(path, "rb") as file:
            heic = file.read(12)[4:] in _HEIC
        reason = "it is HEIC: export it as JPEG" if heic else "it is not one"
        raise ImageError(f"{path}: not a readable {kinds} image ({reason}); {mend}") from error
    except Exception as error:  # on a damaged file a decoder may raise anything: struct.error, KeyError, …
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{path}: not a readable {kinds} image ({reason[:200]}); {mend}") from error


def check_size(size: tuple[int, int], where: object, max_pixels: int = MAX_PIXELS) -> None:
    """Raises `ImageError` for an image with no pixels, or with more than any photograph has."""
    described = f"{where}: {size[0]}×{size[1]} pixels"
    if math.prod(size) > max_pixels:
        raise ImageError(f"{described}, more than {max_pixels:,}, the limit: scale it down")
    if not 0 < min(size) <= max(size) <= MAX_SIDE:
        raise ImageError(f"{described}; each side must have from 1 to {MAX_SIDE:,}: crop it to the hand")


def reduction(size: tuple[int, int], coarsest: float) -> int:
    """Returns the largest of 8, 4, 2 and 1 that exceeds neither `coarsest` nor a side of the image."""
    return next((factor for factor in (8, 4, 2) if factor <= min(coarsest, *size)), 1)


def rgb(
    image: Image.Image, where: str | os.PathLike[str] = "the image", flatten: bool = True
) -> UInt8[np.ndarray, "h w 3"]:
    """Returns the pixels of a loaded image as sRGB bytes. `where` names the image in errors.

    flatten: replace transparent pixels by gray instead of showing the colors stored with them.
    """
    if image.mode.startswith("I;16") or image.mode == "F" or (image.mode == "I" and image.format == "PNG"):
        return np.repeat(_deep_gray(image, where)[..., None], 3, axis=2)
    if image.mode == "I":
        raise ImageError(f"{where}: pixels are integers of 32 bits; save it with 8 or 16 bits per channel")
    if flatten and image.has_transparency_data:
        ground = Image.new("RGBA", image.size, (GRAY, GRAY, GRAY, 255))
        image = Image.alpha_composite(ground, image.convert("RGBA"))
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _deep_gray(image: Image.Image, where: str | os.PathLike[str]) -> UInt8[np.ndarray, "h w"]:
    """Rounds 16-bit gray levels, or floats from 0 to 1, to bytes."""
    tags = getattr(image, "tag_v2", {})  # TIFF only
    if image.mode == "F":
        values = unit_bytes(np.array(image), where)
    else:
        bits = tags.get(ExifTags.Base.BitsPerSample, 16)  # Pillow reads 12 bits as 16 without scaling them
        brightest = 2 ** (bits if isinstance(bits, int) else bits[0]) - 1
        values = np.rint(np.arange(1 << 16).clip(max=brightest) / brightest * 255).astype(np.uint8)[np.array(image)]
    white_is_zero = tags.get(ExifTags.Base.PhotometricInterpretation) == 0  # Pillow inverts only 8-bit images
    return 255 - values if white_is_zero else values


def unit_bytes(values: Num[np.ndarray, "..."], where: str | os.PathLike[str]) -> UInt8[np.ndarray, "..."]:
    """Rounds floats from 0 to 1 to bytes."""
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if not (low >= -1e-3 and high <= 1 + 1e-3):  # allows the overshoot of resampling; false for NaN
        raise ImageError(f"{where}: pixels from {low:.4g} to {high:.4g}; floats must be in [0, 1]: scale them")
    scaled = np.clip(values, 0, 1)
    scaled *= 255
    return np.rint(scaled, out=scaled).astype(np.uint8)


def upright(pixels: UInt8[np.ndarray, "h w c"], orientation: int) -> UInt8[np.ndarray, "h2 w2 c"]:
    """Turns and flips pixels to how the photographer saw them; returns a view. `orientation` is EXIF's, 1 to 8."""
    if orientation in _TURNED:
        pixels = pixels.swapaxes(0, 1)
    rows, columns = (slice(None, None, -1 if orientation in flips else 1) for flips in ((3, 4, 7, 8), (2, 3, 6, 7)))
    return pixels[rows, columns]


def upright_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Returns width and height of pixels that `upright` has turned."""
    return size[::-1] if orientation in _TURNED else size


def exif(image: Image.Image) -> dict[int, object]:
    """Returns the EXIF tags of a loaded image by number; empty if there are none or they are damaged."""
    try:
        tags = image.getexif()
        return dict(tags) | tags.get_ifd(ExifTags.IFD.Exif)
    except Exception:  # damaged tags do not make the pixels unusable
        return {}


def orientation(tags: dict[int, object]) -> int:
    """Returns EXIF's orientation, 1 (upright) to 8; 1 if the tags do not have it."""
    value = _number(tags, ExifTags.Base.Orientation)
    return int(value) if value in range(1, 9) else 1


def focal_px(tags: dict[int, object], size: tuple[int, int]) -> float | None:
    """Returns the focal length in pixels of an image of this size from its EXIF tags; None if they do not have it.

    The 35 mm equivalent focal length belongs to a 36 × 24 mm picture with the same diagonal angle (CIPA DCG-001).
    Without it: the lens's focal length in millimeters times the sensor's pixels per millimeter.
    """
    names, (width, height) = ExifTags.Base, size
    equivalent = _number(tags, names.FocalLengthIn35mmFilm)
    focal = equivalent * math.hypot(width, height) / math.hypot(36, 24)
    if not focal:
        unit_mm = {2: 25.4, 3: 10.0, 4: 1.0, 5: 1e-3}.get(tags.get(names.FocalPlaneResolutionUnit, 2), 0.0)
        focal = _number(tags, names.FocalLength) * _number(tags, names.FocalPlaneXResolution) / (unit_mm or math.inf)
        # The resolution is that of the sensor; an image that was scaled afterwards has fewer pixels per millimeter.
        focal *= max(size) / (max(_number(tags, t) for t in (names.ExifImageWidth, names.ExifImageHeight)) or max(size))
    return focal if SHORTEST < focal / max(size) < LONGEST else None


def _number(tags: dict[int, object], tag: int) -> float:
    """Returns the value of a tag; 0 if it is missing or not a finite number."""
    try:
        value = float(tags.get(tag, 0))
    except (TypeError, ValueError, ZeroDivisionError):
        return 0.0
    return value if math.isfinite(value) else 0.0
