"""A photograph, from a file or from memory: upright sRGB, its size and its focal length.

One entry for every image that a user gives: the path of a file, a Pillow image, a NumPy array (h, w, 3) or a tensor
(3, h, w), of bytes or of real numbers in [0, 1]. Pixels stay bytes until a part of them is cut out: a photograph of 48
megapixels is 144 MB of bytes, but 576 MB of floats. Boxes are left, top, side in pixels of the upright photograph.
"""

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from ..support.arguments import as_numbers, as_path
from ..support.images import (
    GRAY,
    MAX_PIXELS,
    SUFFIXES,
    ImageError,
    check_size,
    exif,
    focal_px,
    open_image,
    orientation,
    reduction,
    rgb,
    unit_bytes,
    upright,
)

ImageSource = str | os.PathLike | Image.Image | np.ndarray | Tensor
Box = tuple[float, float, float]  # left, top, side
SMALLEST = 8  # pixels of a box: fewer show no hand
LARGEST = 4  # sides of the photograph that a box may have: the rest is gray


@dataclass(frozen=True, eq=False)
class Photo:
    """An upright photograph. `pixels` may be fewer than the file's; boxes always count the file's."""

    pixels: UInt8[Tensor, "3 h w"]
    size: tuple[int, int]  # width, height of the whole photograph
    path: Path | None = None  # None: from memory
    focal_px: float | None = None  # in pixels of the whole photograph; None: the file does not tell
    reduction: int = 1  # by how much `pixels` is smaller than the whole, along each side

    def image(self) -> Float[Tensor, "3 h w"]:
        """All of `pixels` as sRGB in [0, 1]."""
        return self.pixels.float() / 255

    def crop(self, box: Box, size: int | None = None) -> Float[Tensor, "3 s s"]:
        """Cuts out a square box, gray outside of the photograph, and scales it to `size` pixels.

        Without `size` the box is rounded to whole pixels, and nothing is scaled.
        """
        left, top, side = (value / self.reduction for value in check_box(box, self.size, self.path or "the image"))
        if size is None:
            left, top, side = round(left), round(top), round(side)
        x, y = math.floor(left), math.floor(top)
        length = math.ceil(max(left - x, top - y) + side)
        if max(length, size or 0) ** 2 > MAX_PIXELS:
            raise ValueError(f"{self.path or 'the image'}: a box of {box[2]:g} pixels is too large; make it smaller")
        _, height, width = self.pixels.shape
        (top_in, bottom), (left_in, right) = ((max(0, a), min(a + length, n)) for a, n in ((y, height), (x, width)))
        canvas = torch.full((length, length, 3), GRAY, dtype=torch.uint8)
        inside = self.pixels[:, top_in:bottom, left_in:right].movedim(0, -1)
        canvas[top_in - y : bottom - y, left_in - x : right - x] = inside
        if size is not None:
            corners = (left - x, top - y, left - x + side, top - y + side)
            scaled = Image.fromarray(canvas.numpy()).resize((size, size), Image.Resampling.BILINEAR, corners)
            canvas = torch.from_numpy(np.array(scaled))
        return canvas.movedim(-1, 0).float().contiguous() / 255


def read_photo(source: ImageSource, at_least: int | None = None) -> Photo:
    """Reads a photograph. `at_least`: a smaller view will do, whose longer side has at least so many pixels.

    A view is smaller by 2, 4 or 8; a JPEG is decoded at that size, in a fraction of the time and memory. Raises
    `FileNotFoundError` or `IsADirectoryError` where there is no such file, and `ImageError`, a `ValueError`, where it
    cannot be used.
    """
    return _read(source, lambda size: 1 if at_least is None else max(size) / max(at_least, 1))


def read_image(source: ImageSource) -> Float[Tensor, "3 h w"]:
    """Reads an image as upright sRGB in [0, 1]; errors as in `read_photo`. Real numbers in memory are not rounded."""
    if isinstance(source, np.ndarray | Tensor):
        values = _array(source)
        if values.dtype != np.uint8:
            unit_bytes(values, "the image")  # which checks them
            return torch.from_numpy(values.astype(np.float32)).movedim(-1, 0)
    return read_photo(source).image()


def read_box(source: ImageSource | Photo, box: Box, size: int | None = None) -> Float[Tensor, "3 s s"]:
    """Reads one square box of a photograph; `Photo.crop` says how. A large box of a JPEG is decoded near `size`.

    To cut several boxes out of one photograph, give what `read_photo` returned.
    """
    if not isinstance(source, Photo):
        source = _read(source, lambda _: 1 if size is None else box[2] / max(size, 1))
    return source.crop(box, size)


def check_box(box: Box, size: tuple[int, int], where: object = "the image") -> Box:
    """A box, once it is seen to show a part of an image of this size."""
    box = as_numbers("box", box)
    if len(box) != 3 or not all(map(math.isfinite, box)):
        raise ValueError(f"{where}: a box of {box}; give LEFT TOP SIDE in pixels")
    left, top, side = box
    if side < SMALLEST:
        raise ValueError(f"{where}: a box of {side:g} pixels is too small to show a hand; give LEFT TOP SIDE in pixels")
    if side > LARGEST * max(size):
        raise ValueError(f"{where}: a box of {side:g} pixels is too large for {size[0]}×{size[1]}; make it smaller")
    if not (-side < left < size[0] and -side < top < size[1]):
        raise ValueError(f"{where}: the box {left:g} {top:g} {side:g} is outside of {size[0]}×{size[1]} pixels")
    return box


def image_files(folder: str | os.PathLike[str]) -> list[Path]:
    """The images in a folder by their suffixes, in the order of the numbers in their names."""
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder at {folder}")
    files = [file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file()]
    if not files:
        raise ValueError(f"{folder} holds no images ({', '.join(SUFFIXES)})")
    return sorted(files, key=lambda file: natural_key(file.name))


def natural_key(name: str) -> list[tuple[int, str]]:
    """To sort names as people number them: 2.png before 10.png."""
    return [(int(digits or -1), text) for text, digits in re.findall(r"(\D*)(\d*)", name)]


def _read(source: ImageSource, coarsest: Callable[[tuple[int, int]], float]) -> Photo:
    if isinstance(source, np.ndarray | Tensor):
        values = _array(source)
        pixels = values if values.dtype == np.uint8 else unit_bytes(values, "the image")
        return _photo(pixels, (pixels.shape[1], pixels.shape[0]), coarsest, {})
    if isinstance(source, Image.Image):
        check_size(source.size, "the image")
        return _photo(rgb(source), source.size, coarsest, exif(source))
    with open_image(as_path("image", source), coarsest=coarsest) as (image, size):
        tags = exif(image)
        pixels = rgb(image, source)
    return _photo(pixels, size, coarsest, tags, Path(source))


def _photo(
    pixels: np.ndarray,
    size: tuple[int, int],
    coarsest: Callable[[tuple[int, int]], float],
    tags: dict[int, object],
    path: Path | None = None,
) -> Photo:
    """A photograph of stored pixels (h, w, 3), which a JPEG's decoder may have reduced already."""
    factor = reduction(size, coarsest(size))
    if factor > 1 and pixels.shape[1] == size[0]:
        pixels = np.array(Image.fromarray(pixels).reduce(factor))
    held = orientation(tags)
    pixels = np.require(
        upright(pixels, held), requirements="CW"
    )  # torch has no negative strides, nor read-only tensors
    size = size[::-1] if held in (5, 6, 7, 8) else size
    return Photo(torch.from_numpy(pixels).movedim(-1, 0), size, path, focal_px(tags, size), factor)


def _array(source: np.ndarray | Tensor) -> np.ndarray:
    """An image in memory as an array (h, w, 3) of bytes or real numbers."""
    tensor = isinstance(source, Tensor)
    values = source.detach().cpu().movedim(0, -1).numpy() if tensor and source.ndim == 3 else np.asarray(source)
    if values.ndim != 3 or values.shape[2] != 3:
        expected = "a tensor (3, h, w)" if tensor else "an array (h, w, 3)"
        raise ImageError(f"the image has shape {tuple(source.shape)}; give {expected}")
    if values.dtype != np.uint8 and values.dtype.kind != "f":
        raise ImageError(f"the image is of {source.dtype}; give bytes from 0 to 255 or real numbers from 0 to 1")
    check_size((values.shape[1], values.shape[0]), "the image")
    return values
