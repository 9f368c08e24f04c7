"""Measures breadth and depth of the fingers at their joints, for comparison with anthropometric tables."""

import numpy as np

from .geometry import edges
from .skinning import CHAINS


def cross_section(
    vertices: np.ndarray, faces: np.ndarray, member: np.ndarray, point: np.ndarray, direction: np.ndarray
) -> np.ndarray:
    """Returns the points (n, 3) where edges between vertices of `member` (v,) cross the plane through a point."""
    a, b = edges(faces[member[faces].all(1)]).T
    height = (vertices - point) @ direction
    crossing = height[a] * height[b] < 0
    a, b = a[crossing], b[crossing]
    share = (height[a] / (height[a] - height[b]))[:, None]
    return vertices[a] + share * (vertices[b] - vertices[a])


def breadth_and_depth(
    vertices: np.ndarray, faces: np.ndarray, weights: np.ndarray, joints: np.ndarray, finger: str, number: int
) -> tuple[float, float]:
    """Returns the extents across (z) and from back to palm (y) of a straight finger at joint 2 (PIP) or 3 (DIP)."""
    chain = CHAINS[finger]
    bone = joints[chain[2]] - joints[chain[1]]
    bone = bone / np.linalg.norm(bone)
    across = np.cross(bone, [0.0, 1.0, 0.0])
    across = across / np.linalg.norm(across)
    member = weights[:, list(chain)].sum(1) > 0.5
    ring = cross_section(vertices, faces, member, joints[chain[number - 1]], bone)
    return float(np.ptp(ring @ across)), float(np.ptp(ring @ np.cross(across, bone)))
