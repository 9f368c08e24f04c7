"""The shape space (principal components of the population) and the regressor of the joints."""

import numpy as np
from scipy.optimize import nnls

COMPONENTS = 10
NEAREST = {0: 90, 13: 90}  # candidate vertices of the wrist and of the base of the thumb, which lie deep
NEAREST_ELSE = 60
SPARSE = 24  # most vertices that a joint depends on
SUM_WEIGHT = 20.0  # meters; weight of the sum of a row being 1 in the least squares


def principal_shapes(vertices: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean (v, 3) and components (v, 3, 10) of one standard deviation, largest first; positive lengthens."""
    mean = vertices.mean(0)
    offsets = (vertices - mean).reshape(len(vertices), -1)
    scores, values, directions = np.linalg.svd(offsets, full_matrices=False)
    scores, directions = scores[:, :COMPONENTS] * values[:COMPONENTS], directions[:COMPONENTS]
    sign = np.where(scores.T @ (lengths - lengths.mean()) < 0, -1, 1)
    deviation = values[:COMPONENTS] / np.sqrt(len(vertices) - 1)
    return mean, (directions * (sign * deviation)[:, None]).T.reshape(*mean.shape, COMPONENTS)


def joint_regressor(vertices: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Fits each joint as a convex combination of a few vertices near it, by non-negative least squares: (16, v)."""
    mean, center = vertices.mean(0), joints.mean(0)
    regressor = np.zeros((16, len(mean)))
    for joint in range(16):
        distance = np.linalg.norm(mean - center[joint], axis=1)
        near = np.argsort(distance, kind="stable")[: NEAREST.get(joint, NEAREST_ELSE)]
        share = _convex_fit(vertices[:, near], joints[:, joint])
        near = near[np.argsort(-share, kind="stable")[:SPARSE]]
        share = _convex_fit(vertices[:, near], joints[:, joint])
        regressor[joint, near] = share / share.sum()
    return regressor


def _convex_fit(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Returns shares (k,) ≥ 0 with a sum near 1 and points (n, k, 3) · shares ≈ target (n, 3)."""
    matrix = np.concatenate(
        [points.transpose(0, 2, 1).reshape(-1, points.shape[1]), np.full((1, points.shape[1]), SUM_WEIGHT)]
    )
    return nnls(matrix, np.append(target.ravel(), SUM_WEIGHT))[0]


def joint_errors(regressor: np.ndarray, vertices: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Returns the distances (n, 16) of regressed from true joints."""
    return np.linalg.norm(regressor @ vertices - joints, axis=-1)
