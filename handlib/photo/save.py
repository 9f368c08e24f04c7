"""Hands to one file: a mesh, or their numbers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..support.files import atomic_path
from .arrays import write_hands
from .meshes import WRITERS, write_meshes


def save_hands(hands: Sequence[Any], path: str | Path) -> Path:
    """Writes hands (`HandEstimate`) to one file: a mesh (.obj, .ply, .glb, .stl) or their numbers (.npz, .json)."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix in WRITERS:
        return write_meshes(path, [hand.mesh() for hand in hands])
    if suffix == ".npz":
        return write_hands(path, stacked(hands))
    if suffix == ".json":
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps([hand.described() for hand in hands], indent=1) + "\n", encoding="utf-8")
        return path
    raise ValueError(f"{path}: name it .npz, .json or {', '.join(WRITERS)}")


def stacked(hands: Sequence[Any], frames: Sequence[int] | None = None) -> dict[str, np.ndarray]:
    """Rows for `arrays.write_hands`. frames: the number of each row's frame."""
    mano = [hand.mano() for hand in hands]
    columns = {
        "global_orient": ([m["global_orient"] for m in mano], (3,)),
        "hand_pose": ([m["hand_pose"] for m in mano], (45,)),
        "betas": ([m["betas"] for m in mano], (10,)),
        "transl": ([m["transl"] for m in mano], (3,)),
        "joints_px": ([hand.joints_px for hand in hands], (21, 2)),
        "joints_cam_m": ([hand.joints_cam for hand in hands], (21, 3)),
        "confidence": ([hand.confidence for hand in hands], (21,)),
        "h": ([hand.h for hand in hands], (63,)),
    }
    rows = {
        name: torch.stack(values).float().numpy() if values else np.zeros((0, *shape), np.float32)
        for name, (values, shape) in columns.items()
    }
    return rows | {
        "frame": np.array(frames if frames is not None else [0] * len(hands), dtype=np.int64),
        "is_rhand": np.array([hand.side == "right" for hand in hands], dtype=bool),
        "score": np.array([hand.score for hand in hands], dtype=np.float32),
        "box_px": np.array([hand.box_px for hand in hands], dtype=np.float32).reshape(-1, 3),
    }
