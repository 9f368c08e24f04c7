"""The hands of a video as one .npz, one row for each hand in each frame; read back without trust in the file.

Rows are in the order of their frames. Names are those of the JSON of one photograph, and of smplx where it has them:

| field | a row's shape | what |
|---|---|---|
| `frame` | () | number of the frame, from 0 |
| `is_rhand` | () | whether it is a right hand |
| `global_orient`, `hand_pose`, `betas`, `transl` | 3, 45, 10, 3 | `mano_parameters`; meters, `flat_hand_mean=True` |
| `time_s`, `track`, `score` | () | optional: seconds, number of the tracked hand, confidence that it is one |
| `box_px` | 3 | optional: left, top, side of its box in pixels |
| `joints_px`, `joints_cam_m` | (21, 2), (21, 3) | optional: C21 order; pixels of the upright frame, meters |
| `confidence` | 21 | optional: of each joint |
| `h` | 63 | optional: the parameters of the method; of a left hand those of its mirror image |

Beside them may stand `K` (3, 3) and `image_size` (width, height), the same for all rows.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..hand.files import read_npz
from ..support.files import atomic_path

MAX_BYTES = 1 << 30  # two hands at 60 frames a second for an hour have half of it
REQUIRED = {
    "frame": ((), "i"),
    "is_rhand": ((), "b"),
    "global_orient": ((3,), "f"),
    "hand_pose": ((45,), "f"),
    "betas": ((10,), "f"),
    "transl": ((3,), "f"),
}
OPTIONAL = {
    "time_s": ((), "f"),
    "track": ((), "i"),
    "score": ((), "f"),
    "box_px": ((3,), "f"),
    "joints_px": ((21, 2), "f"),
    "joints_cam_m": ((21, 3), "f"),
    "confidence": ((21,), "f"),
    "h": ((63,), "f"),
}
SHARED = {"K": ((3, 3), "f"), "image_size": ((2,), "i")}  # of all rows
_FIELDS = REQUIRED | OPTIONAL | SHARED
_TYPES = {"f": np.float32, "i": np.int64, "b": np.bool_}
_EXACT = {"time_s": np.float64}  # hours in milliseconds
_WORDS = {"f": "finite numbers", "i": "whole numbers", "b": "true or false"}


def write_hands(path: str | os.PathLike[str], hands: Mapping[str, Any]) -> Path:
    """Writes stacked arrays, lists or tensors under the names above to an .npz, which appears whole or not at all.

    Raises `ValueError` with the path and the field where a name, a shape or a number is not as it must be.
    """
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise ValueError(f"{path}: parameters are written as .npz; change the name's ending")
    arrays = _checked({name: _numpy(name, value, path) for name, value in hands.items()}, path)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)
    return path


def stacked(rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """An array for each field of the rows; where there is no row, for each field that there may be."""
    shapes = {name: shape for name, (shape, _) in (REQUIRED | OPTIONAL).items()}
    return {name: np.array([row[name] for row in rows]).reshape(-1, *shapes[name]) for name in (rows or [shapes])[0]}


def read_hands(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads what `write_hands` wrote, and checks it. Raises `FileNotFoundError`, or `ValueError` with the field."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no parameters at {path}")
    try:
        arrays = read_npz(path, MAX_BYTES, "write it again")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return _checked(arrays, path)


def _numpy(name: str, value: Any, path: Path) -> np.ndarray:
    try:
        return value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{path}: the field '{name}' must be an array of numbers ({error})") from error


def _checked(arrays: Mapping[str, np.ndarray], path: Path) -> dict[str, np.ndarray]:
    """The arrays in their types, once names, shapes, lengths and numbers are seen to be right."""
    for name in arrays:
        if name not in _FIELDS:
            raise ValueError(f"{path}: unknown field '{name}'; the fields are {', '.join(_FIELDS)}")
    missing = [name for name in REQUIRED if name not in arrays]
    if missing:
        raise ValueError(f"{path}: the field '{missing[0]}' is missing; a file has {', '.join(REQUIRED)}")
    if arrays["frame"].ndim != 1:
        raise ValueError(f"{path}: the field 'frame' must have shape (n,), got {arrays['frame'].shape}")
    rows, checked = len(arrays["frame"]), {}
    for name, array in arrays.items():
        shape, kind = _FIELDS[name]
        shape = shape if name in SHARED else (rows, *shape)
        if array.shape != shape:
            raise ValueError(f"{path}: the field '{name}' must have shape {shape}, got {array.shape}")
        accepted = {"f": "fiu", "i": "iu", "b": "b"}[kind]
        # In single precision; a comparison with NaN is false.
        if rows and (array.dtype.kind not in accepted or not (np.abs(array) <= np.finfo(np.float32).max).all()):
            raise ValueError(f"{path}: the field '{name}' must hold {_WORDS[kind]}")
        checked[name] = array.astype(_EXACT.get(name, _TYPES[kind]))
    if (np.diff(checked["frame"]) < 0).any() or (checked["frame"] < 0).any():
        raise ValueError(f"{path}: the field 'frame' must grow from 0 on; sort the rows")
    return checked
