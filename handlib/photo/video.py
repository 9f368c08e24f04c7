"""Frames of a video, one in memory at a time, and a video of frames. Needs PyAV: pip install 'handlib[video]'.

A video from outside is opened as a file alone: only containers that hold their own frames are tried, since playlists
can name other files and addresses. Frames are upright: the rotation that a phone notes is applied.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from ..support.files import atomic_path
from ..support.images import MAX_SIDE
from .read import ImageSource, image_files, read_photo

_NAMED = (".mpg", ".mpeg", ".wmv", ".mts", ".m2ts", ".flv", ".ogv")  # not read, but told that they are videos
SUFFIXES = (".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".3gp", *_NAMED)
CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}  # that can be written
ENCODERS = ("libx264", "libopenh264", "mpeg4")  # the first that PyAV was built with
MAX_PIXELS = 36_000_000  # of a frame; 8K has 33 million
_READ = {"format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi", "protocol_whitelist": "file"}
_MEND = "convert it to an .mp4 with H.264, 8K at most"
_BT709 = 1  # the color space of HD video, by its number in ITU-T H.273


class Frame(NamedTuple):
    image: UInt8[Tensor, "3 h w"]
    time_s: float


class Timing(NamedTuple):
    fps: float
    count: int | None  # of frames, where the file tells


def timing(path: str | os.PathLike[str], fps: float = 30.0) -> Timing:
    """How fast a video runs, and how long it is; `fps` for a folder of images and where the file does not tell.

    Errors as in `frames`.
    """
    path = Path(path)
    if path.is_dir():
        return Timing(fps, len(image_files(path)))
    with _opened(path) as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate or 0)
        return Timing(rate if 0.01 <= rate <= 1000 else fps, stream.frames or None)


def frames(path: str | os.PathLike[str], fps: float = 30.0) -> Iterator[Frame]:
    """The frames of a video file, or of a folder of images in the order of their numbers, taken at `fps`.

    Raises `FileNotFoundError` where there is nothing, `ModuleNotFoundError` without PyAV, and `ValueError` with the
    path where a video, or the rest of it, cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        if not 0 < fps < float("inf"):
            raise ValueError(f"fps must be a positive number, not {fps}")
        return (Frame(read_photo(file).pixels, i / fps) for i, file in enumerate(image_files(path)))
    return _decoded(path, _opened(path))


def is_clip(path: str | os.PathLike[str]) -> bool:
    """Whether a path names a video or a folder of frames, rather than a photograph."""
    path = Path(path)
    return path.is_dir() or path.suffix.lower() in SUFFIXES


def clip_name(path: str | os.PathLike[str]) -> str:
    """What files about a photograph, a video or a folder of frames are named after; links are not followed."""
    path = Path(path)
    return os.path.basename(os.path.abspath(path)) if path.is_dir() else path.stem


def _opened(path: Path) -> Any:
    """A container that holds a video."""
    if not path.is_file():
        raise FileNotFoundError(f"no video at {path}")
    av = _av()
    try:
        container = av.open(str(path.absolute()), options=_READ, metadata_errors="ignore")
        if not container.streams.video:
            raise ValueError("it holds no video")
    except Exception as error:
        raise _unreadable(path, 0, error) from error
    return container


def _decoded(path: Path, container: Any) -> Iterator[Frame]:
    count, time = 0, 0.0
    try:
        with container:
            stream = container.streams.video[0]
            context = stream.codec_context
            if context is None:
                raise ValueError("its codec is unknown")
            _check_size(context.width, context.height)
            context.options = {"max_pixels": str(MAX_PIXELS)}  # a later frame may be larger than the file declares
            step = float(1 / stream.average_rate) if stream.average_rate else 1 / 30
            for frame in container.decode(stream):
                _check_size(frame.width, frame.height)
                time = frame.time if frame.time is not None else time + step * (count > 0)
                pixels = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
                count += 1
                yield Frame(torch.from_numpy(np.ascontiguousarray(pixels)).movedim(-1, 0), float(time))
            if not count:
                raise ValueError("it holds no frames")
    except Exception as error:  # PyAV, like Pillow, raises whatever a damaged file leads it to
        raise _unreadable(path, count, error) from error


def _unreadable(path: Path, count: int, error: Exception) -> ValueError:
    reason = " ".join(str(error).replace(str(path.absolute()), "").split())
    return ValueError(f"{path}: not a readable video after {count} frames ({reason}); {_MEND}")


def _check_size(width: int, height: int) -> None:
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and width * height <= MAX_PIXELS):
        raise ValueError(f"frames of {width}×{height} pixels; 1 to {MAX_PIXELS:,} are read")


@contextmanager
def video_writer(
    path: str | os.PathLike[str], size: tuple[int, int], fps: float
) -> Iterator[Callable[[ImageSource], None]]:
    """Writes an .mp4, .mov or .mkv in H.264, or in MPEG-4 where PyAV has no such encoder.

        with video_writer("hands.mp4", (width, height), fps=30) as write:
            write(image)

    Images are of any kind that `read_photo` takes. The file appears when the block ends well. Sides that are odd get
    one more row or column, since these codecs halve them.
    """
    path = Path(path)
    kind = CONTAINERS.get(path.suffix.lower())
    if kind is None:
        raise ValueError(f"{path}: videos are written as {', '.join(CONTAINERS)}; change the name's ending")
    if not 0.01 <= fps <= 1000:
        raise ValueError(f"{path}: fps must be from 0.01 to 1000, not {fps}")
    try:
        _check_size(*size)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    av, rate, count = _av(), Fraction(fps).limit_denominator(1001), 0
    with atomic_path(path) as temporary, av.open(str(temporary.absolute()), "w", format=kind) as container:
        stream = _add_stream(container, size, rate)

        def write(image: ImageSource) -> None:
            nonlocal count
            photo = read_photo(image)
            if photo.size != tuple(size):
                wanted, found = (f"{width}×{height}" for width, height in (size, photo.size))
                raise ValueError(f"{path}: frame {count} has {found} pixels, the video {wanted}")
            one_more = [(0, n % 2) for n in photo.size[::-1]]
            pixels = np.pad(photo.pixels.movedim(0, -1).numpy(), [*one_more, (0, 0)], "edge")
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
            frame.pts, frame.time_base = count, 1 / rate
            container.mux(stream.encode(frame))
            count += 1

        yield write
        if not count:
            raise ValueError(f"{path}: no frames were written")
        container.mux(stream.encode(None))  # what the encoder still holds


def _add_stream(container: Any, size: tuple[int, int], rate: Fraction) -> Any:
    codec = next(name for name in ENCODERS if name in _av().codecs_available)
    stream = container.add_stream(codec, rate=rate)
    stream.width, stream.height = (n + n % 2 for n in size)
    stream.pix_fmt = "yuv420p"  # what every player shows
    context = stream.codec_context
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    if codec == "libx264":
        # Visually without loss; "veryfast" takes half the time of the default for files of the same size.
        stream.options = {"crf": "18", "preset": "veryfast"}
    else:
        stream.bit_rate = max(100_000, int(0.2 * stream.width * stream.height * rate))
    return stream


def _av():
    try:
        import av
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("videos need PyAV: pip install 'handlib[video]'") from error
    return av
