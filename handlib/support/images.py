"""Decoding of image files. A file from outside may be anything, so it is checked before it is decoded.

Only the formats named are tried; bytes, sides and pixels are limited before memory is reserved; and whatever Pillow
raises at damage becomes one `ImageError` that names the file and the mend. Colors come out as sRGB bytes: deeper ones
are rounded to 8 bits, transparent pixels are laid on the gray that is also outside of an image, and color profiles are
ignored. Of an animation or a file of several pages the first is taken.

Imports nothing of handlib, so that data sets and photographs share it.
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
MAX_SIDE = 32_768  # an image one pixel high is no photograph either
MEND = "save it as PNG or JPEG"
GRAY = 128  # outside of an image, and behind a transparent one

_HEIC = (b"ftypheic", b"ftypheix", b"ftyphevc", b"ftypmif1")  # what phones write; Pillow reads it with a plugin only


class ImageError(ValueError):
    """An image that cannot be used; the message names the file and the mend."""


@contextmanager
def open_image(
    path: str | os.PathLike[str],
    formats: Sequence[str] = FORMATS,
    max_pixels: int = MAX_PIXELS,
    mend: str = MEND,
    coarsest: Callable[[tuple[int, int]], float] = lambda size: 1,
) -> Iterator[tuple[Image.Image, tuple[int, int]]]:
    """Opens an image file, checks it and decodes it as stored; yields it and the width and height of the whole image.

    `coarsest`: by how much an image of a size may be decoded smaller; only JPEGs are, by 2, 4 or 8. What is raised in
    the block, by a conversion say, becomes an `ImageError` too. `FileNotFoundError`, `IsADirectoryError`: there is no
    such file.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, not an image; name a file in it")
    if not path.is_file():
        raise FileNotFoundError(f"no image at {path}")
    kinds = f"{', '.join(formats[:-1])} or {formats[-1]}"
    try:
        with open(path, "rb") as file:
            if (size := os.fstat(file.fileno()).st_size) > MAX_BYTES:
                raise ImageError(f"{path}: {size >> 20} MB, more than {MAX_BYTES >> 20} are refused; {mend}")
            with Image.open(file, formats=formats) as image:
                whole = image.size
                check_size(whole, path, max_pixels)
                factor = reduction(whole, coarsest(whole))
                image.draft(None, (whole[0] // factor, whole[1] // factor))
                drafted = image.size != whole
                image.load()  # which turns a TIFF upright
                yield image, whole if drafted else image.size
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: more than {max_pixels:,} pixels are refused; scale it down") from error
    except UnidentifiedImageError as error:
        reason = "it is HEIC: export it as JPEG" if _is_heic(path) else "it is not one"
        raise ImageError(f"{path}: not a readable {kinds} image ({reason}); {mend}") from error
    except Exception as error:  # decoders raise whatever a damaged file leads them to: struct.error, KeyError, …
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{path}: not a readable {kinds} image ({reason[:200]}); {mend}") from error


def check_size(size: tuple[int, int], where: object, max_pixels: int = MAX_PIXELS) -> None:
    """Refuses an image with more pixels than any photograph has, or with none."""
    described = f"{where}: {size[0]}×{size[1]} pixels"
    if math.prod(size) > max_pixels:
        raise ImageError(f"{described}, more than {max_pixels:,} are refused; scale it down")
    if not 0 < min(size) <= max(size) <= MAX_SIDE:
        raise ImageError(f"{described}; each side must have from 1 to {MAX_SIDE:,}: cut it to the hand")


def reduction(size: tuple[int, int], coarsest: float) -> int:
    """The largest of 8, 4, 2 and 1 that is not above `coarsest` and leaves an image of this size its pixels."""
    return next((factor for factor in (8, 4, 2) if factor <= min(coarsest, *size)), 1)


def rgb(
    image: Image.Image, where: str | os.PathLike[str] = "the image", flatten: bool = True
) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels of a loaded image as sRGB bytes. `where` names it in errors.

    flatten: lay transparent pixels on gray, rather than show the colors that are stored with them.
    """
    if image.mode.startswith("I;16") or image.mode == "F" or (image.mode == "I" and image.format == "PNG"):
        return np.repeat(_deep_gray(image, where)[..., None], 3, axis=2)
    if image.mode == "I":
        raise ImageError(f"{where}: pixels are whole numbers of 32 bits; save it with 8 or 16 bits a channel")
    if flatten and image.has_transparency_data:
        ground = Image.new("RGBA", image.size, (GRAY, GRAY, GRAY, 255))
        image = Image.alpha_composite(ground, image.convert("RGBA"))
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _deep_gray(image: Image.Image, where: str | os.PathLike[str]) -> UInt8[np.ndarray, "h w"]:
    """Gray levels of 16 bits, or real numbers from 0 to 1, rounded to bytes."""
    tags = getattr(image, "tag_v2", {})  # TIFF only
    if image.mode == "F":
        values = unit_bytes(np.array(image), where)
    else:
        bits = tags.get(ExifTags.Base.BitsPerSample, 16)  # 12 bits are read as 16, not scaled
        brightest = 2 ** (bits if isinstance(bits, int) else bits[0]) - 1
        values = np.rint(np.arange(1 << 16).clip(max=brightest) / brightest * 255).astype(np.uint8)[np.array(image)]
    white_is_zero = tags.get(ExifTags.Base.PhotometricInterpretation) == 0  # Pillow inverts 8 bits, not more
    return 255 - values if white_is_zero else values


def unit_bytes(values: Num[np.ndarray, "..."], where: str | os.PathLike[str]) -> UInt8[np.ndarray, "..."]:
    """Real numbers from 0 to 1, rounded to bytes."""
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if not (low >= -1e-3 and high <= 1 + 1e-3):  # a resampled image overshoots a little; false for NaN
        raise ImageError(f"{where}: pixels from {low:.4g} to {high:.4g}; real numbers must be in [0, 1]: scale them")
    scaled = np.clip(values, 0, 1)
    scaled *= 255
    return np.rint(scaled, out=scaled).astype(np.uint8)


def upright(pixels: UInt8[np.ndarray, "h w c"], orientation: int) -> UInt8[np.ndarray, "h2 w2 c"]:
    """A view of the pixels as the photographer saw them. `orientation` is EXIF's, 1 to 8."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    rows, columns = (slice(None, None, -1 if orientation in flips else 1) for flips in ((3, 4, 7, 8), (2, 3, 6, 7)))
    return pixels[rows, columns]


def exif(image: Image.Image) -> dict[int, object]:
    """The EXIF tags of a loaded image by number; empty where there are none or they are damaged."""
    try:
        tags = image.getexif()
        return dict(tags) | tags.get_ifd(ExifTags.IFD.Exif)
    except Exception:  # the pixels are good all the same
        return {}


def orientation(tags: dict[int, object]) -> int:
    """EXIF's number of how the camera was held, from 1, upright, to 8; 1 where the tags do not tell."""
    value = _number(tags, ExifTags.Base.Orientation)
    return int(value) if value in range(1, 9) else 1


def focal_px(tags: dict[int, object], size: tuple[int, int]) -> float | None:
    """The focal length in pixels of an image of this size, by its EXIF tags; None where they do not tell.

    An equivalent focal length f is that of a picture of 36 × 24 mm with the same angle across the diagonal (CIPA
    DCG-001). Without one: the lens's focal length times the sensor's pixels a millimeter.
    """
    names, (width, height) = ExifTags.Base, size
    equivalent = _number(tags, names.FocalLengthIn35mmFilm)
    focal = equivalent * math.hypot(width, height) / math.hypot(36, 24)
    if not focal:
        unit_mm = {2: 25.4, 3: 10.0, 4: 1.0, 5: 1e-3}.get(tags.get(names.FocalPlaneResolutionUnit, 2), 0.0)
        focal = _number(tags, names.FocalLength) * _number(tags, names.FocalPlaneXResolution) / (unit_mm or math.inf)
        # The resolution is the sensor's: a picture scaled since then has fewer pixels a millimeter.
        focal *= max(size) / (max(_number(tags, t) for t in (names.ExifImageWidth, names.ExifImageHeight)) or max(size))
    return focal if 0.2 < focal / max(size) < 50 else None  # no lens of a camera is outside


def _number(tags: dict[int, object], tag: int) -> float:
    """A tag's value, 0 where it is missing or no finite number."""
    try:
        value = float(tags.get(tag, 0))
    except (TypeError, ValueError, ZeroDivisionError):
        return 0.0
    return value if math.isfinite(value) else 0.0


def _is_heic(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(12)[4:] in _HEIC
