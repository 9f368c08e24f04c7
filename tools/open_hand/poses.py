"""Anatomical angles, in which the builder defines poses: degrees here, axis-angle vectors in the asset.

Each joint has three unit axes in the rest frame, as in `handlib.hand.anatomy`: twist about the bone, flexion towards
the palm and abduction (index to little: towards the thumb). Its axis-angle vector is the sum of its angles times its
axes.
"""

import numpy as np

from handlib.hand.joints import MANO16

from .skinning import CHAINS

FINGERS = ("index", "middle", "ring", "little")
# In the rest frame, before they are made orthogonal to the bone; the same as in `handlib.hand.anatomy`.
_FLEXION = {"finger": (0.0, 0.0, 1.0), "thumb": (0.4, -0.9, 0.2)}
# Degrees of abduction at a right angle of the MCP: bent fingers lean towards the middle finger.
CONVERGED = {"index": -2.0, "middle": 0.0, "ring": 2.0, "little": 4.0}


def joint_axes(joints: np.ndarray, tips: dict[str, np.ndarray]) -> np.ndarray:
    """Returns the axes (15, 3, 3) of joints 1 … 15: rows twist, flexion, abduction. tips: the ends of the digits."""
    axes = np.empty((15, 3, 3))
    for finger, chain in CHAINS.items():
        ends = [*joints[list(chain)], tips[finger]]
        for joint, a, b in zip(chain, ends[:-1], ends[1:], strict=True):
            bone = (b - a) / np.linalg.norm(b - a)
            flexion = np.array(_FLEXION["thumb" if finger == "thumb" else "finger"])
            flexion = flexion - (flexion @ bone) * bone
            flexion = flexion / np.linalg.norm(flexion)
            axes[joint - 1] = bone, flexion, np.cross(bone, flexion)
    return axes


def to_pose(angles: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Converts degrees (…, 15, 3) to axis-angle vectors (…, 45)."""
    return np.einsum("...ja,jac->...jc", np.deg2rad(angles), axes).reshape(*angles.shape[:-2], 45)


def to_angles(pose: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Inverts `to_pose`."""
    return np.rad2deg(np.einsum("...jc,jac->...ja", pose.reshape(*pose.shape[:-1], 15, 3), axes))


def hand_angles(thumb: dict[str, tuple[float, float, float]] | None = None, **fingers: tuple[float, ...]) -> np.ndarray:
    """Returns degrees (15, 3) of a pose, from (abduction, MCP, PIP, DIP) per finger and three angles per thumb joint.

    The abduction is added to the convergence of fingers that bend at the MCP.
    """
    angles = np.zeros((15, 3))
    for finger, (abduction, *flexion) in fingers.items():
        rows = [j - 1 for j in CHAINS[finger]]
        angles[rows, 1] = flexion
        angles[rows[0], 2] = abduction + convergence(finger, flexion[0])
    for name, triple in (thumb or {}).items():
        angles[MANO16.index(name) - 1] = triple
    return angles


def convergence(finger: str, flexion: np.ndarray | float) -> np.ndarray | float:
    """Returns the degrees of abduction that accompany the flexion of the MCP of a finger.

    They are small, because the oblique hinges of spread fingers already bring the fingertips of a fist together.
    """
    return CONVERGED[finger] * np.clip(flexion, 0, 90) / 90
