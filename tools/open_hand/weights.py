"""Skinning weights by bone heat (Baran and Popović, "Automatic Rigging and Animation of 3D Characters", 2007).

Each vertex is heated by its nearest bone and conducts heat to its neighbors: (L + λH) w = λH p, with the cotangent
Laplacian L, H = area / distance² and p = 1 for the nearest bone. The skin of a digit is heated only by its own bones.
In the webs, where two digits meet, the weights are smoothed further.
"""

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve

from handlib.hand.joints import FINGERS

from .geometry import adjacency, averaging, cotangent_laplacian, edges, segment_distance
from .skinning import CHAINS, rotations, skin

HEAT = 8.0
NEAREST = 3e-3  # meters; the smallest distance of a bone that counts
WEB_STEPS = 20
LARGEST = 4  # weights per vertex


def bone_heat(
    vertices: np.ndarray,
    faces: np.ndarray,
    joints: np.ndarray,
    digit: np.ndarray,
    tips: dict[str, int],
    heat: float = HEAT,
    web_steps: int = WEB_STEPS,
) -> np.ndarray:
    """Computes weights (v, 16) of a rest mesh in meters. digit (v,): 1 … 5 for the skin of thumb … little, else 0."""
    distance, owner, of_digit = [], [], []
    for k, finger in enumerate(FINGERS, start=1):
        chain = CHAINS[finger]
        ends = [joints[0], *joints[list(chain)], vertices[tips[finger]]]
        for bone, a, b in zip((0, *chain), ends[:-1], ends[1:], strict=True):
            distance.append(segment_distance(vertices, a, b))
            owner.append(bone)
            of_digit.append(k)
    distance, owner, of_digit = np.stack(distance, 1), np.array(owner), np.array(of_digit)
    distance[(digit[:, None] > 0) & (of_digit != digit[:, None])] = np.inf
    nearest = distance.argmin(1)
    heated = np.zeros((len(vertices), 16))
    heated[np.arange(len(vertices)), owner[nearest]] = 1

    laplacian, area = cotangent_laplacian(vertices, faces)
    source = sp.diags(heat * area / np.maximum(distance.min(1), NEAREST) ** 2)
    weights = spsolve((laplacian + source).tocsc(), source @ heated).clip(0, 1)
    weights[weights < 0.01] = 0
    return largest(smooth_webs(weights / weights.sum(1, keepdims=True), faces, web_steps), LARGEST)


def smooth_webs(weights: np.ndarray, faces: np.ndarray, steps: int) -> np.ndarray:
    """Diffuses the weights around the edges whose ends follow different digits."""
    n = len(weights)
    follows = np.stack([weights[:, list(chain)].sum(1) for chain in CHAINS.values()], 1)
    a, b = edges(faces).T
    jump = np.abs(follows[a] - follows[b]).max(1)
    differs = (follows[a].argmax(1) != follows[b].argmax(1)) | (jump > 0.35)
    several = (follows[a] > 0.05).sum(1) + (follows[b] > 0.05).sum(1) > 2
    near = np.zeros(n)
    torn = differs & (jump > 0.2) & several
    near[a[torn]] = near[b[torn]] = 1
    neighbors, mean = adjacency(faces, n), averaging(faces, n)
    for _ in range(3):
        near = np.maximum(near, 0.75 * neighbors.multiply(near).max(1).toarray().ravel())
    for _ in range(steps):
        weights = weights + 0.6 * near[:, None] * (mean @ weights - weights)
    return weights


def largest(weights: np.ndarray, count: int) -> np.ndarray:
    """Keeps the `count` largest weights of each vertex, at least 0.005 each, with sum 1."""
    weights = weights.copy()
    np.put_along_axis(weights, np.argsort(-weights, axis=1, kind="stable")[:, count:], 0, axis=1)
    weights[weights < 0.005] = 0
    return weights / weights.sum(1, keepdims=True)


def relax_stretch(
    weights: np.ndarray,
    vertices: np.ndarray,
    faces: np.ndarray,
    joints: np.ndarray,
    poses: np.ndarray,
    locked: np.ndarray,
    limit: float = 2.2,
    rounds: int = 30,
) -> np.ndarray:
    """Smooths the weights around edges that some pose (n, 45) stretches beyond `limit`; `locked` vertices stay."""
    n, (a, b), local = len(vertices), edges(faces).T, rotations(poses)
    length = np.linalg.norm(vertices[a] - vertices[b], axis=1)
    neighbors, mean = adjacency(faces, n), averaging(faces, n)
    for _ in range(rounds):
        posed = skin(vertices, joints, weights, local)
        stretch = (np.linalg.norm(posed[:, a] - posed[:, b], axis=2) / length).max(0)
        near = np.zeros(n)
        near[a[stretch > limit]] = near[b[stretch > limit]] = 1
        near = np.maximum(near, 0.5 * neighbors.multiply(near).max(1).toarray().ravel())
        near[locked] = 0
        weights = weights + 0.5 * near[:, None] * (mean @ weights - weights)
    return weights
