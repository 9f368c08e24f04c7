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
    upright_size,
)

ImageSource = str | os.PathLike | Image.Image | np.ndarray | Tensor
Box = tuple[float, float, float]  # left, top, side
SMALLEST = 8  # pixels of a box: fewer show no hand
LARGEST = 4  # sides of the photograph that a box may have
BOX_PX, WHOLE_PX = 448, 1600  # left of a box: twice what the networks see; of the longer side: an overlay's


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


def read_photo(source: ImageSource, box: Box | None = None) -> Photo:
    """Reads a photograph. box: the part that will be looked at, so that a large picture is read no larger than needed.

    It is made smaller by 2, 4 or 8 as long as `BOX_PX` are left to the box and `WHOLE_PX` to the whole; a JPEG is
    decoded at that size, in a fraction of the time and memory. Raises `FileNotFoundError` or `IsADirectoryError` where
    there is no such file, and `ImageError`, a `ValueError`, where it cannot be used.
    """
    side = 0.0 if box is None else (0.0, *as_numbers("box", box))[-1]

    def coarsest(size: tuple[int, int]) -> float:
        return min(side / BOX_PX, max(size) / WHOLE_PX)

    if isinstance(source, np.ndarray | Tensor):
        values = _array(source)
        pixels = values if values.dtype == np.uint8 else unit_bytes(values, "the image")
        return _photo(pixels, (pixels.shape[1], pixels.shape[0]), coarsest, {})
    if isinstance(source, Image.Image):
        check_size(source.size, "the image")
        try:
            source.load()
        except Exception as error:  # Pillow decodes late, and on a damaged file a decoder may raise anything
            raise ImageError(f"the image cannot be decoded ({' '.join(str(error).split())[:200]})") from error
        return _photo(rgb(source), source.size, coarsest, exif(source))
    with open_image(as_path("image", source), coarsest=coarsest) as (image, size):
        tags = exif(image)
        pixels = rgb(image, source)
    return _photo(pixels, size, coarsest, tags, Path(source))


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
    visible = (file for file in folder.iterdir() if file.name[0] != ".")  # macOS puts ._NAME beside NAME on some disks
    files = [file for file in visible if file.suffix.lower() in SUFFIXES and file.is_file()]
    if not files:
        raise ValueError(f"{folder} holds no images ({', '.join(SUFFIXES)})")
    return sorted(files, key=lambda file: natural_key(file.name))


def natural_key(name: str) -> list[tuple[int, str]]:
    """To sort names as people number them: 2.png before 10.png."""
    return [(int(digits or -1), text) for text, digits in re.findall(r"(\D*)(\d*)", name)]


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
    size = upright_size(size, held)
    return Photo(torch.from_numpy(pixels).movedim(-1, 0), size, path, focal_px(tags, size), factor)


def _array(source: np.ndarray | Tensor) -> np.ndarray:
    """An image in memory as an array (h, w, 3) of bytes or real numbers."""
    tensor = isinstance(source, Tensor)
    if tensor and (source.layout is not torch.strided or source.is_meta):
        raise ImageError("the image must be a dense tensor that holds its numbers")
    if tensor and source.dtype is torch.bfloat16:  # NumPy has no such numbers
        source = source.float()
    values = source.detach().cpu().movedim(0, -1).numpy() if tensor and source.ndim == 3 else np.asarray(source)
    if values.ndim != 3 or values.shape[2] != 3:
        expected = "a tensor (3, h, w)" if tensor else "an array (h, w, 3)"
        raise ImageError(f"the image has shape {tuple(source.shape)}; give {expected}")
    if values.dtype != np.uint8 and values.dtype.kind != "f":
        raise ImageError(f"the image is of {source.dtype}; give bytes from 0 to 255 or real numbers from 0 to 1")
    check_size((values.shape[1], values.shape[0]), "the image")
    return values
