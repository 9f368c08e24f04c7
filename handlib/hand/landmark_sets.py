"""Landmark sets: what the points of a landmark network are in the mesh.

The 21 points of the photo trunk have the names of C21's joints and are not handlib's joints: the network's fingertips
lie inside the finger, its knuckles nearer to the skin, and its points in space are proportioned otherwise than its
points in the image. Each point is a mixture of a few vertices near it, calibrated on rendered hands by
`tools/calibrate_landmarks.py`: "image" for the network's points in the image, "space" for its points in space. Joints,
in files and in scores, stay handlib's own; a landmark set serves to compare like with like.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..support.files import atomic_path

FILE = Path(__file__).parent / "assets" / "LANDMARKS.npz"
NAMES = ("image", "space")


class LandmarkSet(NamedTuple):
    """21 points as mixtures of a mesh's vertices: `set.regressor @ vertices`."""

    name: str
    regressor: Float[Tensor, "21 778"]
    noise: Float[Tensor, "21"]  # of each point, over that of all


def landmark_set(name: str, file: Path = FILE) -> LandmarkSet:
    """The set of a name, for the open hand. Other hands of the same topology: close, but not calibrated."""
    if name not in NAMES:
        raise ValueError(f"unknown landmark set '{name}': choose one of {', '.join(NAMES)}")
    with np.load(file, allow_pickle=False) as data:
        regressor = torch.zeros(21, 778)
        rows, columns = (data[f"{name}_{field}"].astype(int) for field in ("landmark", "vertex"))
        regressor[rows, columns] = torch.from_numpy(data[f"{name}_share"])
        return LandmarkSet(name, regressor, torch.from_numpy(data[f"{name}_noise"]))


def write_landmark_sets(sets: list[LandmarkSet], file: Path = FILE) -> None:
    """Keeps only the shares that are not zero."""
    fields = {}
    for one in sets:
        rows, columns = one.regressor.nonzero(as_tuple=True)
        fields |= {
            f"{one.name}_landmark": rows.numpy().astype(np.int16),
            f"{one.name}_vertex": columns.numpy().astype(np.int16),
            f"{one.name}_share": one.regressor[rows, columns].numpy().astype(np.float32),
            f"{one.name}_noise": one.noise.numpy().astype(np.float32),
        }
    with atomic_path(file) as temporary, open(temporary, "wb") as stream:
        np.savez_compressed(stream, **fields)
