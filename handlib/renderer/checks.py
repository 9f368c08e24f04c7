"""Refuses meshes that no backend can draw: corners out of range, and vertices that are not finite or too far away.

The compiled loops of the CPU look at a mesh themselves (numba/sound.py), which costs less; this says what is wrong.
"""

import torch
from torch import Tensor

FARTHEST = 1e9  # pixels, and depth: areas of larger ones overflow single precision


def check_mesh(vertices: Tensor, faces: Tensor) -> None:
    """Raises `ValueError` for a mesh that cannot be drawn. vertices: (…, V, 3) in pixels; faces: (…, F, 3)."""
    check_faces(faces, vertices.shape[-2])
    if vertices.numel() and not captured(vertices):
        low, high = map(float, vertices.detach().aminmax())
        if not -FARTHEST <= low <= high <= FARTHEST:  # false for NaN
            raise ValueError(
                f"vertices_px hold NaN, or numbers beyond {FARTHEST:.0e}: "
                "the mesh diverged, or a point lies in the camera's plane"
            )


def check_faces(faces: Tensor, count: int, name: str = "faces") -> None:
    """Raises `ValueError` for corners that are no vertex numbers below `count`."""
    if faces.numel() and not captured(faces):
        low, high = map(int, faces.aminmax())
        if low < 0 or high >= count:
            raise ValueError(f"{name} must be vertex numbers, 0 … {count - 1}: got {low} … {high}")


def captured(tensor: Tensor) -> bool:
    """Returns whether a CUDA graph is being captured, during which reading a value is an error."""
    return tensor.is_cuda and torch.cuda.is_current_stream_capturing()
