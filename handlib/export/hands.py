"""Hands that files hold: from what `handlib predict` wrote to meshes, and to parameters for smplx.

A hand is placed as its parameters say, in the camera frame of the photograph; the model's own hands stand upright, in
the axes of the hand model.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..camera import FLIP, mirror_cam
from ..hand import HandModel
from ..hand.files import mirrored, read_hand
from ..photo.arrays import read_hands, write_hands
from ..photo.mano_parameters import SIZES, PlacedHand, from_mano_parameters, mano_parameters
from ..photo.meshes import Mesh
from ..support.files import atomic_path, write_json
from ..support.json_text import read_json

MAX_BYTES = 64 << 20  # of a JSON file; one hand has 10 kB
MEAN = "mean"  # the name of the mean hand
_WANTED = "it must hold what `handlib predict` writes, or MANO's parameters " + ", ".join(SIZES)


def read_placed(path: str | os.PathLike[str], hand: HandModel, frame: int | None = None) -> list[PlacedHand]:
    """The hands of a .json of `handlib predict`, of one that `HandEstimate.save` wrote, of the .npz of a video, or of
    plain parameters: an object, or a list, with smplx's names.

    frame: only those of this frame of an .npz. Raises `FileNotFoundError`, or `ValueError` with the path and the field.
    """
    path = Path(path)
    if path.suffix.lower() == ".npz":
        arrays = read_hands(path)
        rows = np.flatnonzero(arrays["frame"] == frame) if frame is not None else range(len(arrays["frame"]))
        described = [{key: arrays[key][i] for key in (*SIZES, "is_rhand")} for i in rows]
        numbers = [int(arrays["frame"][i]) for i in rows]
    else:
        if frame is not None:
            raise ValueError(f"{path}: only the .npz of a video has frames")
        described = _listed(read_json(path, _WANTED, MAX_BYTES), path)
        numbers = [0] * len(described)
    placed = []
    for i, (parameters, number) in enumerate(zip(described, numbers, strict=True)):
        try:
            placed += _rows(from_mano_parameters(hand, parameters)._replace(frame=number))
        except ValueError as error:
            raise ValueError(f"{path}: hand {i}: {error}") from error
    return placed


def own_hand(hand: HandModel, name: str = MEAN, side: str = "right") -> PlacedHand:
    """The mean hand, or another pose that the model has a name for, in the average shape."""
    pose = hand.mean_pose if name == MEAN else hand.named_poses[name]
    upright = torch.diag(pose.new_tensor(FLIP))  # files turn a mesh by half a turn about x (photo/meshes.py)
    return PlacedHand(pose, pose.new_zeros(10), upright, pose.new_zeros(3), side)


def mesh_of(hand: HandModel, placed: PlacedHand) -> Mesh:
    """The mesh of a hand, of a left one mirrored back."""
    vertices = hand(placed.pose, placed.shape).vertices @ placed.rotation.mT + placed.translation
    left = placed.side == "left"
    vertices = mirror_cam(vertices) if left else vertices
    return Mesh(vertices, hand.faces.flip(1) if left else hand.faces, hand.vertex_colors, f"{placed.side} hand")


def write_parameters(path: str | os.PathLike[str], hand: HandModel, hands: Sequence[PlacedHand]) -> Path:
    """Writes hands under smplx's names: .json, a list of objects, or .npz, an array a name with a row a hand."""
    path = Path(path)
    rows = [mano_parameters(hand, *placed[:5]) for placed in hands]
    if path.suffix.lower() == ".npz":
        arrays = {key: np.stack([np.asarray(row[key]) for row in rows]) for key in (*SIZES, "is_rhand")}
        return write_hands(path, arrays | {"frame": np.array([placed.frame for placed in hands], int)})
    return write_json(path, [{key: row[key].tolist() if key in SIZES else row[key] for key in row} for row in rows])


def write_open_hand(path: str | os.PathLike[str], side: str = "right") -> Path:
    """Writes the open hand as an .npz that smplx reads; its name must hold RIGHT or LEFT, by which smplx tells them."""
    path = Path(path)
    if path.suffix.lower() != ".npz" or side.upper() not in path.name:
        wanted = f"name it MANO_{side.upper()}.npz, or for a mesh export mean"
        raise ValueError(f"{path}: smplx tells hands by their files' names: {wanted}")
    fields = read_hand("openhand")
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **(mirrored(fields) if side == "left" else fields))
    return path


def _rows(placed: PlacedHand) -> list[PlacedHand]:
    """One hand for each row of parameters that smplx holds in batches, (n, 45) and so on."""
    parts = [part.reshape(-1, *part.shape[part.ndim - own :]) for part, own in zip(placed, (1, 1, 2, 1), strict=False)]
    return [PlacedHand(*row, *placed[4:]) for row in zip(*parts, strict=True)]


def _listed(content: Any, path: Path) -> list[Mapping[str, Any]]:
    """The parameters of each hand, whichever of the shapes of file it is."""
    if isinstance(content, dict) and isinstance(content.get("parameters"), str):
        raise ValueError(f"{path}: the summary of a video; its hands are in {content['parameters']} beside it")
    hands = content.get("hands", [content]) if isinstance(content, dict) else content
    if isinstance(hands, list):
        hands = [hand.get("mano", hand) if isinstance(hand, dict) else hand for hand in hands]
        if all(isinstance(hand, dict) for hand in hands):
            return hands
    raise ValueError(f"{path}: {_WANTED}")
