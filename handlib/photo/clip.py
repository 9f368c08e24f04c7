"""From a video, or a folder of frames, to the hands in it. One frame is in memory at a time.

NAME.npz        parameters, a row for each hand in each frame (arrays.py)
NAME.json       a summary: frames, camera, tracks
NAME_overlay    the meshes over the frames: an .mp4, or for a folder of frames a folder of numbered PNGs
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from jaxtyping import Float, UInt8
from torch import Tensor
from tqdm import tqdm

from ..hand.joints import C21
from ..support.files import write_json
from ..viz.stills import to_image
from .arrays import stacked, write_hands
from .draw import draw_hands
from .predict import Predictor
from .read import Photo
from .track import Tracker
from .video import clip_name, frames, timing, video_writer


class Clip(NamedTuple):
    """What was written about a video, and in short what it says."""

    parameters: Path
    summary: Path
    overlay: Path | None
    frames: int
    tracks: list[dict[str, Any]]  # as in the summary


def predict_clip(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    predictor: Predictor,
    max_hands: int = 2,
    K: Float[Tensor, "3 3"] | Sequence[Sequence[float]] | float | None = None,
    smooth: bool = True,
    fps: float = 30.0,
    overlay: bool = True,
    progress: bool = True,
) -> Clip:
    """Tracks the hands of a video or of a folder of frames, and writes into the folder `out` what is found.

    K and smooth: as for `Tracker`. fps: of a folder of frames. overlay: False leaves out the pictures. A video without
    hands gives no rows. A file appears whole or not at all; where a frame cannot be read, none appears. Errors as in
    `frames`; `ValueError` with the path as well where the frames are not of one size.
    """
    path, out = Path(path), Path(out)
    rate, total = timing(path, fps)
    name = clip_name(path)
    drawn = out / (f"{name}_overlay" if path.is_dir() else f"{name}_overlay.mp4")
    tracker, rows, write, count = Tracker(predictor, max_hands, K, smooth), [], None, 0
    with ExitStack() as stack:
        for frame in tqdm(frames(path, fps), f"hands of {path.name}", total, unit="frame", disable=not progress):
            height, width = frame.image.shape[1:]
            try:
                hands = tracker(Photo(frame.image, (width, height), path))
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from error
            rows += [hand.row(count, time_s=frame.time_s, track=hand.track) for hand in hands]
            if overlay:
                if write is None:
                    pictures = numbered_pictures(drawn) if path.is_dir() else video_writer(drawn, (width, height), rate)
                    write = stack.enter_context(pictures)
                write(draw_hands(frame.image, hands))
            count += 1
    camera, size = tracker.camera, tracker.size
    shared = {"image_size": size} | ({} if camera is None else {"K": camera[0]})
    parameters = write_hands(out / f"{name}.npz", stacked(rows) | shared)
    tracks = summary_of(rows)
    summary = {
        "source": path.name,
        "frames": count,
        "fps": round(rate, 3),
        "image_size": list(size),
        "camera": None if camera is None else {"K": camera[0].double().numpy().round(3).tolist(), "assumed": camera[1]},
        "joint_names": list(C21.joints),
        "tracks": tracks,
        "parameters": parameters.name,
        "overlay": drawn.name if overlay else None,
    }
    path = write_json(out / f"{name}.json", summary)
    return Clip(parameters, path, drawn if overlay else None, count, tracks)


def summary_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each hand: its side, the frames in which it was seen and its mean score."""
    tracks = []
    for number in sorted({row["track"] for row in rows}):
        own = [row for row in rows if row["track"] == number]
        right = sum(row["is_rhand"] for row in own)
        tracks.append(
            {
                "track": number,
                "side": "right" if 2 * right >= len(own) else "left",
                "first_frame": own[0]["frame"],
                "last_frame": own[-1]["frame"],
                "frames": len(own),
                "score": round(sum(row["score"] for row in own) / len(own), 4),
            }
        )
    return tracks


@contextmanager
def numbered_pictures(path: Path) -> Iterator[Callable[[UInt8[Tensor, "3 h w"]], None]]:
    """A function that appends a picture to a folder of numbered PNGs, which appears at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", suffix=".part", dir=path.parent) as temporary:
        written: list[Path] = []

        def write(image: UInt8[Tensor, "3 h w"]) -> None:
            written.append(Path(temporary) / f"{len(written):06d}.png")
            to_image(image).save(written[-1])

        yield write
        path.mkdir(exist_ok=True)
        for old in path.glob("[0-9]" * 6 + ".png"):  # of an earlier, perhaps longer, run
            old.unlink()
        for picture in written:
            picture.replace(path / picture.name)
