"""Landmark sets: where the points of the landmark network lie on the mesh.

The 21 points of the photo trunk are named like C21's joints but lie elsewhere: its fingertips are inside the finger,
its knuckles nearer to the skin, and its 3D points have other proportions than its image points. A landmark set gives
each point as a mixture of a few nearby vertices, calibrated on rendered hands by `tools/calibrate_landmarks.py`:
"image" for the network's image points, "space" for its 3D points. Files and scores use handlib's own joints; a landmark
set serves only to compare the mesh with the network's points.
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
    """21 points as mixtures of the vertices of a mesh: `set.regressor @ vertices`."""

    name: str
    regressor: Float[Tensor, "21 778"]
    noise: Float[Tensor, "21"]  # of each point, relative to the noise over all points


def landmark_set(name: str, file: Path = FILE) -> LandmarkSet:
    """Returns the set with this name, calibrated for the open hand and approximate for other MANO-shaped hands."""
    if name not in NAMES:
        raise ValueError(f"unknown landmark set '{name}': choose one of {', '.join(NAMES)}")
    with np.load(file, allow_pickle=False) as data:
        regressor = torch.zeros(21, 778)
        rows, columns = (data[f"{name}_{field}"].astype(int) for field in ("landmark", "vertex"))
        regressor[rows, columns] = torch.from_numpy(data[f"{name}_share"])
        return LandmarkSet(name, regressor, torch.from_numpy(data[f"{name}_noise"]))


def write_landmark_sets(sets: list[LandmarkSet], file: Path = FILE) -> None:
    """Writes landmark sets as sparse triples (landmark, vertex, share)."""
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
