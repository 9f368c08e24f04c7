"""Linear blend and dual quaternion skinning on MANO's tree, in numpy. Rotations are matrices (…, 16, 3, 3)."""

import numpy as np
from scipy.spatial.transform import Rotation

from handlib.hand.files import PARENTS
from handlib.hand.joints import MANO16

CHAINS = {finger: tuple(MANO16.index(f"{finger}{n}") for n in (1, 2, 3)) for finger in
          ("thumb", "index", "middle", "ring", "little")}  # fmt: skip


def rotations(pose: np.ndarray) -> np.ndarray:
    """Converts axis-angles (…, 45) to local rotations (…, 16, 3, 3); that of the wrist is the identity."""
    lead = pose.shape[:-1]
    matrices = Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix().reshape(*lead, 15, 3, 3)
    return np.concatenate([np.broadcast_to(np.eye(3), (*lead, 1, 3, 3)), matrices], axis=-3)


def forward(local: np.ndarray, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns world rotations (…, 16, 3, 3), offsets (…, 16, 3) of x ↦ R x + offset, and posed joints (…, 16, 3)."""
    turned, placed = [local[..., 0, :, :]], [joints[..., 0, :]]
    for j in range(1, 16):
        parent = PARENTS[j]
        step = joints[..., j, :] - joints[..., parent, :]
        placed.append((turned[parent] @ step[..., None])[..., 0] + placed[parent])
        turned.append(turned[parent] @ local[..., j, :, :])
    turned = np.stack(np.broadcast_arrays(*turned), -3)
    placed = np.stack(np.broadcast_arrays(*placed), -2)
    return turned, placed - (turned @ joints[..., None])[..., 0], placed


def blend_maps(weights: np.ndarray, turned: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns one affine map per vertex: (…, v, 3, 3) and (…, v, 3)."""
    linear = (weights @ turned.reshape(*turned.shape[:-2], 9)).reshape(*turned.shape[:-3], len(weights), 3, 3)
    return linear, weights @ offsets


def skin(vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray, local: np.ndarray) -> np.ndarray:
    """Applies linear blend skinning to (…, v, 3)."""
    turned, offsets, _ = forward(local, joints)
    linear, shift = blend_maps(weights, turned, offsets)
    return (linear @ vertices[..., None])[..., 0] + shift


def skin_dual_quaternions(
    vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray, local: np.ndarray
) -> np.ndarray:
    """Applies dual quaternion skinning (Kavan et al., 2007) to one rest mesh in many poses (…, 16, 3, 3)."""
    turned, offsets, _ = forward(local, joints)
    lead = turned.shape[:-3]
    real = Rotation.from_matrix(turned.reshape(-1, 3, 3)).as_quat().reshape(*lead, 16, 4)[..., [3, 0, 1, 2]]
    for j in range(1, 16):  # in the hemisphere of the parent, so that the blend takes the shorter way
        flipped = (real[..., j, :] * real[..., PARENTS[j], :]).sum(-1) < 0
        real[..., j, :] *= np.where(flipped, -1, 1)[..., None]
    scalar, vector = real[..., :1], real[..., 1:]
    dual = np.concatenate(
        [-(offsets * vector).sum(-1, keepdims=True), scalar * offsets + np.cross(offsets, vector)], axis=-1
    )
    real, dual = weights @ real, weights @ (dual / 2)
    length = np.linalg.norm(real, axis=-1, keepdims=True)
    real, dual = real / length, dual / length
    scalar, vector = real[..., :1], real[..., 1:]
    shift = 2 * (scalar * dual[..., 1:] - dual[..., :1] * vector + np.cross(vector, dual[..., 1:]))
    return vertices + 2 * np.cross(vector, np.cross(vector, vertices) + scalar * vertices) + shift
