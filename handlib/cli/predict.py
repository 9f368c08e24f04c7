"""`handlib predict`: hands of photographs, videos and folders of frames."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import tyro
from tqdm.auto import tqdm

from ..photo.files import Written, write_page, write_prediction
from ..photo.predict import Predictor, camera_of
from ..photo.read import read_photo
from ..photo.video import is_clip
from ..support import jit

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
    box: tuple[float, float, float] | None = None,
    require_hand: bool = False,
    page: bool = True,
) -> None:
    """Hand meshes from photographs, videos, and folders of frames.

    For each photograph NAME writes to the folder OUT: NAME.json with every hand's joints, parameters under MANO's names
    and the camera; NAME.obj, the meshes in meters; NAME_overlay.jpg; and, for all of them, index.html, a page on which
    the meshes turn. A photograph without a hand gives an empty list, and is no error. For a video or a folder of
    frames: NAME.npz with the parameters of each frame, NAME.json, and an overlay.

    Args:
        images: Photographs of any size with hands anywhere in them; videos; folders of frames.
        out: Folder to write to.
        max_hands: Hands a picture at most.
        mesh: Format of the meshes: obj and ply hold colors, glb opens in viewers, stl is closed for printing.
        focal: Focal length in pixels of the photograph. By default the file's own, or a field of view is assumed: depth
            depends on it, the pose hardly does.
        checkpoint: "photo" or "lite", which ship with handlib, or a model.safetensors written by `handlib train`.
        refine: Iterations of test-time refinement (Eq. 13); 0 for the network's first answer.
        side: Which hand it is, instead of what the network says.
        box: LEFT TOP SIDE of the square around one hand in pixels, instead of looking for hands.
        require_hand: Exit with status 3 if a picture shows no hand; for scripts.
        page: Write index.html; --no-page leaves it out.
    """
    check(images, max_hands, refine, focal)
    with jit.left_out(len(images) <= FEW and not any(map(is_clip, images))):
        predictor, written, missed = Predictor(checkpoint), [], []
        for path in tqdm(images, "predicting", disable=len(images) == 1):
            if is_clip(path):
                from ..photo.clip import predict_clip

                clip = predict_clip(path, out, predictor, max_hands, focal)
                _say([file for file in clip[:3] if file is not None])
                tqdm.write(f"{path}: {len(clip.tracks)} tracked hands in {clip.frames} frames")
                missed += [] if clip.tracks else [path]
                continue
            one = _photograph(path, out, predictor, max_hands, mesh, focal, refine, side, box)
            _say(one.paths)
            tqdm.write(
                f"{path}: "
                + (", ".join(f"{h.side} hand (score {h.score:.2f})" for h in one.shown.hands) or "no hand found")
            )
            written.append(one)
            missed += [] if one.shown.hands else [path]
        if page and written:
            _say([write_page(written, out / "index.html")])
    if require_hand and missed:
        print(f"handlib: no hand found in {', '.join(map(str, missed))}", file=sys.stderr)
        sys.exit(3)


def check(images: Sequence[Path], max_hands: int, refine: int | None, focal: float | None) -> None:
    """What can be seen to be wrong before anything is computed."""
    if not images:
        raise ValueError("no image given: handlib predict IMAGE [IMAGE ...] --out DIR")
    names = [path.stem for path in images]
    if len(set(names)) < len(names):
        raise ValueError("two of the images have the same name, so their results would overwrite each other")
    for option, value, least in (("--max-hands", max_hands, 1), ("--refine", refine, 0)):
        if value is not None and value < least:
            raise ValueError(f"{option} must be at least {least}, not {value}")
    if focal is not None and not 1 <= focal <= 1e6:
        raise ValueError(f"--focal must be a length in pixels from 1 to 1,000,000, not {focal}")
    for path in images:
        if not path.exists():
            raise FileNotFoundError(f"no image at {path}")


def _photograph(path, out, predictor, max_hands, mesh, focal, refine, side, box) -> Written:
    photo = read_photo(path)
    hands = predictor(photo, focal, max_hands, refine, box, side)
    K = hands[0].K if hands else camera_of(photo, focal)[0]
    return write_prediction(photo, hands, K, out / path.stem, f".{mesh}", focal is None)


def _say(paths: Sequence[Path]) -> None:
    for path in paths:
        tqdm.write(str(path))
