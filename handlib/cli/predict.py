"""`handlib predict`: hands of photographs, videos and folders of frames."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import tyro
from tqdm.auto import tqdm

from ..photo.files import write_prediction
from ..photo.gallery import Gallery
from ..photo.predict import Predictor, checked_K
from ..photo.read import Box, check_box, read_photo
from ..photo.video import clip_name, is_clip, timing
from ..support import jit
from ..support.arguments import at_least
from ..support.images import exif, open_image, orientation, upright_size

FEW = 8  # photographs whose plain torch costs less than loading numba
Mesh = Literal["obj", "ply", "glb", "stl"]


def predict_command(
    images: tyro.conf.Positional[tuple[Path, ...]],
    /,
    out: Path = Path("predictions"),
    max_hands: int = 2,
    mesh: Mesh = "obj",
    focal: float | None = None,
    checkpoint: str = "photo",
    refine: int | None = None,
    side: Literal["right", "left"] | None = None,
    box: Box | None = None,
    require_hand: bool = False,
    page: bool = True,
) -> None:
    """Estimates hand meshes in photographs, videos, and folders of frames.

    For each photograph NAME writes to the folder OUT: NAME.json with every hand's joints, parameters under MANO's names
    and the camera; NAME.obj, the meshes in meters; NAME_overlay.jpg; and, for all of them, index.html, a page on which
    the meshes turn. A photograph without a hand gives an empty list and is not an error. For a video or a folder of
    frames: NAME.npz with the parameters of each frame, NAME.json, and an overlay.

    Args:
        images: Photographs of any size with hands anywhere in them; videos; folders of frames.
        out: Folder to write to.
        max_hands: How many hands to look for in a picture, at most.
        mesh: Format of the meshes of photographs: obj and ply hold colors, glb opens in viewers, stl is closed and in
            millimeters, for printing.
        focal: Focal length in pixels of the photograph. By default the file's own; if it has none, a field of view is
            assumed. Depth depends on it; the pose hardly does.
        checkpoint: "photo" or "lite", which ship with handlib, or a model.safetensors written by `handlib train`.
        refine: Iterations of test-time refinement (Eq. 13), the model's own number by default; 0 for the network's
            first answer. Not for videos.
        side: Which hand it is, whatever the network says. Not for videos.
        box: LEFT TOP SIDE of the square around one hand, in pixels; handlib then looks for no other. Not for videos.
        require_hand: Exit with status 3 if no hand is found in a picture; for scripts.
        page: Write index.html, the page on which the meshes turn.
    """
    clips = any(map(is_clip, images))
    for option, given in (("--refine", refine), ("--side", side), ("--box", box)):
        if given is not None and clips:
            raise ValueError(f"{option} is only for photographs: leave it out for a video or a folder of frames")
    check(images, max_hands, refine, focal, box)
    with jit.left_out(len(images) <= FEW and not clips):
        predictor, written, missed = Predictor(checkpoint), [], []
        for path in tqdm(images, "predicting", disable=len(images) == 1):
            if is_clip(path):
                from ..photo.clip import predict_clip

                clip = predict_clip(path, out, predictor, max_hands, focal)
                paths, found = clip[:3], clip.tracks
                said = f"{len(found)} tracked hands in {clip.frames} frames"
            else:
                photo = read_photo(path, box)
                hands = predictor(photo, focal, max_hands, refine, box, side)
                written.append(write_prediction(photo, hands, out / path.stem, f".{mesh}", focal))
                paths, found = written[-1].paths, written[-1].shown.hands
                said = ", ".join(f"{h.side} hand (score {h.score:.2f})" for h in found) or "no hand found"
            for line in (*filter(None, paths), f"{path}: {said}"):
                tqdm.write(str(line))
            missed += [] if found else [path]
        if page and written:
            tqdm.write(str(Gallery([one.shown for one in written]).save(out / "index.html")))
    if require_hand and missed:
        print(f"handlib: no hand found in {', '.join(map(str, missed))}", file=sys.stderr)
        sys.exit(3)


def check(images: Sequence[Path], max_hands: int, refine: int | None, focal: float | None, box: Box | None) -> None:
    """What can be seen to be wrong before anything is computed."""
    if not images:
        raise ValueError("no image given: handlib predict IMAGE [IMAGE ...] --out DIR")
    named: dict[str, Path] = {}
    for path in images:
        if (name := clip_name(path)) in named:
            raise ValueError(
                "two of the images have the same name, so their results would overwrite each other: "
                f"{named[name]}, {path}; give each a run with an --out of its own"
            )
        named[name] = path
    at_least(1, **{"--max-hands": max_hands})
    at_least(0, **{"--refine": refine})
    at_least(1, 10**6, **{"--focal": focal})
    for path in tqdm(images, "reading", delay=2, leave=False):
        if is_clip(path):
            timing(path)
        else:
            with open_image(path, coarsest=lambda size: 8) as (image, size):  # a JPEG at an eighth of its size
                size = upright_size(size, orientation(exif(image)))
            if box is not None:
                check_box(box, size, path)
            if focal is not None:
                checked_K(focal, size)
