"""Hands to one file: a mesh, or their numbers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..support.arguments import as_path
from ..support.files import write_json
from .arrays import OPTIONAL, REQUIRED, write_hands
from .meshes import WRITERS, write_meshes


def save_hands(hands: Sequence[Any], path: str | Path) -> Path:
    """Writes hands (`HandEstimate`) to one file: a mesh (.obj, .ply, .glb, .stl) or their numbers (.npz, .json)."""
    path = Path(as_path("path", path))
    suffix = path.suffix.lower()
    if suffix in WRITERS:
        return write_meshes(path, [hand.mesh() for hand in hands])
    if suffix == ".npz":
        return write_hands(path, stacked([row_of(hand) for hand in hands]))
    if suffix == ".json":
        return write_json(path, [hand.described() for hand in hands])
    raise ValueError(f"{path}: name it .npz, .json or {', '.join(WRITERS)}")


def row_of(hand: Any, frame: int = 0, **more: Any) -> dict[str, Any]:
    """One row of arrays.py: what a `HandEstimate` says, and its frame."""
    row = {key: value for key, value in hand.mano().items() if key in REQUIRED} | {
        "frame": frame,
        "score": hand.score,
        "box_px": hand.box_px,
        "joints_px": hand.joints_px,
        "joints_cam_m": hand.joints_cam,
        "confidence": hand.confidence,
        "h": hand.h,
    }
    return {key: value.numpy() if isinstance(value, Tensor) else value for key, value in (row | more).items()}


def stacked(rows: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    """An array for each field of the rows; where there is no row, for each field that there may be."""
    shapes = {key: shape for key, (shape, _) in (REQUIRED | OPTIONAL).items()}
    names = rows[0] if rows else shapes
    return {name: np.array([row[name] for row in rows]).reshape(-1, *shapes[name]) for name in names}
