"""Pose blend shapes: they correct the errors of linear blend skinning at bent joints, as far as these are linear in R.

The target of a pose is half-way between dual quaternion skinning and its smoothed form (delta mush: Mancewicz et al.
2014); where skin is compressed, it is inflated until most of the lost volume is restored. The residual of linear blend
skinning, transformed to the rest pose, is fitted for each vertex by ridge regression on the entries of R − I of the
joints near it.
"""

import numpy as np
import scipy.sparse as sp

from .geometry import adjacency, averaging, boundary_loops, face_vectors, incidence, vertex_normals, volume
from .skinning import blend_maps, forward, rotations, skin, skin_dual_quaternions

RIDGE = 1.0
SMOOTH_STEPS = 4
RETURNED = 0.7  # of the lost volume
LARGEST_SWELL = 3.5e-3  # meters
NEAR = 0.02  # a joint counts for a vertex when the weight in its second neighborhood exceeds this


class Target:
    """Computes how the skin of one rest mesh should deform, for many poses at once."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray, joints: np.ndarray, weights: np.ndarray):
        self.vertices, self.faces, self.joints, self.weights = vertices, faces, joints, weights
        self.loop = boundary_loops(faces)[0]
        n = len(vertices)
        self._mean, self._incidence = averaging(faces, n), incidence(faces, n)
        self._locked = np.zeros(n, dtype=bool)
        self._locked[self.loop] = True
        neighbors = adjacency(faces, n)
        self._next = np.array([neighbors[v].indices[0] for v in range(n)])
        base = self._smooth(vertices[None])
        self._detail = np.einsum("nvba,nvb->nva", self._frames(base), vertices - base)[0]
        self._area, self._volume = self._areas(vertices[None])[0], volume(vertices, faces, self.loop)

    def __call__(self, local: np.ndarray) -> np.ndarray:
        """Returns posed vertices (n, v, 3) for local rotations (n, 16, 3, 3)."""
        posed = skin_dual_quaternions(self.vertices, self.joints, self.weights, local)
        base = self._smooth(posed)
        posed = (posed + base + np.einsum("nvab,vb->nva", self._frames(base), self._detail)) / 2
        return self._inflated(posed)

    def _smooth(self, x: np.ndarray, steps: int = SMOOTH_STEPS) -> np.ndarray:
        for _ in range(steps):
            flat = np.moveaxis(x, 1, 0).reshape(x.shape[1], -1)
            mean = np.moveaxis((self._mean @ flat).reshape(x.shape[1], x.shape[0], -1), 0, 1)
            x = np.where(self._locked[:, None], x, (x + mean) / 2)
        return x

    def _frames(self, x: np.ndarray) -> np.ndarray:
        normal = vertex_normals(x, self.faces)
        edge = x[:, self._next] - x
        edge = edge - normal * (edge * normal).sum(-1, keepdims=True)
        edge = edge / np.linalg.norm(edge, axis=-1, keepdims=True)
        return np.stack([normal, edge, np.cross(normal, edge)], -1)

    def _areas(self, x: np.ndarray) -> np.ndarray:
        return (self._incidence @ np.linalg.norm(face_vectors(x, self.faces), axis=-1).T).T

    def _inflated(self, x: np.ndarray) -> np.ndarray:
        area = self._areas(x)
        amount = (self._area / area - 1).clip(0, 1.5) * (1 - (self.weights.max(1) - 0.5).clip(0, 0.5) * 1.2)
        amount = self._smooth(np.where(self._locked, 0, amount)[..., None], 6)[..., 0]
        gain = (amount * area).sum(1) / 6  # of volume, to first order, for one meter of swelling
        needed = RETURNED * np.maximum(self._volume - volume(x, self.faces, self.loop), 0)
        height = np.minimum(needed / np.maximum(gain, 1e-12), 6e-3)
        swell = (height[:, None] * amount).clip(0, LARGEST_SWELL)
        return x + swell[..., None] * vertex_normals(x, self.faces)


def fit_correctives(target: Target, poses: np.ndarray) -> np.ndarray:
    """Fits posedirs (v, 3, 135) to poses (n, 45)."""
    local = rotations(poses)
    offsets = _rest_offsets(target, local)
    features = (local[:, 1:] - np.eye(3)).reshape(len(poses), 135)
    gram, moments = features.T @ features, np.einsum("nf,nvc->vfc", features, offsets)
    n = len(target.vertices)
    near = adjacency(target.faces, n) + sp.eye(n)
    reach = (near @ near @ target.weights)[:, 1:] > NEAR
    reach[target.loop] = False
    directions = np.zeros((n, 3, 135))
    for v in np.flatnonzero(reach.any(1)):
        rows = (9 * np.flatnonzero(reach[v])[:, None] + np.arange(9)).ravel()
        ridge = gram[np.ix_(rows, rows)] + RIDGE * np.eye(len(rows))
        directions[v][:, rows] = np.linalg.solve(ridge, moments[v, rows]).T
    return directions


def _rest_offsets(target: Target, local: np.ndarray, chunk: int = 100) -> np.ndarray:
    """Returns offsets (n, v, 3) of the rest pose with which linear blend skinning gives the target (least squares)."""
    offsets = []
    for i in range(0, len(local), chunk):
        part = local[i : i + chunk]
        turned, shift, _ = forward(part, target.joints)
        linear, shift = blend_maps(target.weights, turned, shift)
        residual = target(part) - (linear @ target.vertices[..., None])[..., 0] - shift
        normal = linear.swapaxes(-1, -2) @ linear + 0.02 * np.eye(3)
        offsets.append(np.linalg.solve(normal, linear.swapaxes(-1, -2) @ residual[..., None])[..., 0])
    return np.concatenate(offsets)


def posed(target: Target, directions: np.ndarray | None, poses: np.ndarray) -> np.ndarray:
    """Applies linear blend skinning with or without the correctives; returns (n, v, 3)."""
    local = rotations(poses)
    rest = target.vertices
    if directions is not None:
        rest = rest + np.einsum("vcf,nf->nvc", directions, (local[:, 1:] - np.eye(3)).reshape(len(poses), 135))
    return skin(rest, target.joints, target.weights, local)
