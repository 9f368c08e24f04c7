"""What `handlib predict` writes for a photograph: numbers, a mesh, an overlay; the page of all is gallery.py's."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ..support.files import atomic_path, write_json
from ..viz.stills import to_image
from .draw import draw_hands
from .estimate import HandEstimate, describe_photo
from .gallery import Shown
from .meshes import write_meshes
from .predict import camera_of
from .read import Photo

OVERLAY = 1600  # pixels of an overlay's longer side at most


class Written(NamedTuple):
    """A photograph that was predicted: the files, and what the page shows of it."""

    paths: list[Path]
    shown: Shown


def write_prediction(
    photo: Photo, hands: Sequence[HandEstimate], stem: Path, mesh: str = ".obj", focal: float | None = None
) -> Written:
    """Writes `stem`.json, the mesh of all hands, and `stem`_overlay.jpg; without a hand the JSON has an empty list,
    and no mesh of an earlier run is left beside it.

    focal: the focal length in pixels, if the user gave one: where there is no hand, it says what the camera is.
    """
    K, assumed = (hands[0].K, hands[0].K_assumed) if hands else camera_of(photo, focal)
    paths = [stem.with_name(f"{stem.name}.json"), stem.with_name(f"{stem.name}_overlay.jpg")]
    write_json(paths[0], describe_photo(hands, photo.size, K, assumed))
    pixels, scale = photo.pixels, 1 / photo.reduction
    if max(pixels.shape) > OVERLAY:
        small = to_image(pixels)
        small.thumbnail((OVERLAY, OVERLAY))
        scale = small.width / photo.size[0]
        pixels = torch.from_numpy(np.array(small)).movedim(-1, 0)
    with atomic_path(paths[1]) as temporary:
        to_image(draw_hands(pixels, hands, scale)).save(temporary, format="JPEG", quality=92)
    shape = stem.with_name(stem.name + mesh)
    if hands:
        paths.append(write_meshes(shape, [hand.mesh() for hand in hands]))
    else:
        shape.unlink(missing_ok=True)
    return Written(paths, Shown.of_photo(stem.name, photo, hands))
