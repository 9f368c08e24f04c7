"""Anatomical angles: how the poses of the builder are written. Degrees here, axis-angle vectors in the asset.

Each joint has three unit axes in the rest frame, as in `handlib.hand.anatomy`: twist about the bone, flexion towards
the palm and abduction (index to little: towards the thumb). Its axis-angle vector is the sum of its angles times its
axes.
"""

import numpy as np

from handlib.hand.joints import MANO16

from .skinning import CHAINS

FINGERS = ("index", "middle", "ring", "little")
# In the rest frame, before they are squared to the bone; as `handlib.hand.anatomy` has them.
_FLEXION = {"finger": (0.0, 0.0, 1.0), "thumb": (0.4, -0.9, 0.2)}
# Degrees of abduction that come with a right angle at the MCP: bent fingers lean towards the middle one.
CONVERGED = {"index": -2.0, "middle": 0.0, "ring": 2.0, "little": 4.0}


def joint_axes(joints: np.ndarray, tips: dict[str, np.ndarray]) -> np.ndarray:
    """(15, 3, 3): rows twist, flexion, abduction of joints 1 … 15; `tips` are the ends of the digits."""
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
    """Degrees (…, 15, 3) to axis-angle vectors (…, 45)."""
    return np.einsum("...ja,jac->...jc", np.deg2rad(angles), axes).reshape(*angles.shape[:-2], 45)


def to_angles(pose: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """The inverse of `to_pose`."""
    return np.rad2deg(np.einsum("...jc,jac->...ja", pose.reshape(*pose.shape[:-1], 15, 3), axes))


def hand_angles(thumb: dict[str, tuple[float, float, float]] | None = None, **fingers: tuple[float, ...]) -> np.ndarray:
    """Degrees (15, 3) of a pose: per finger (abduction, MCP, PIP, DIP), per joint of the thumb its three angles.

    The fingers converge as they bend at the MCP: the abduction given is on top of that.
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
    """Degrees of abduction that go with the flexion of a finger's MCP.

    They are few: the hinges of spread fingers stand askew, which alone makes the finger tips of a fist come together.
    """
    return CONVERGED[finger] * np.clip(flexion, 0, 90) / 90
