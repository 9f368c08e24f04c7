"""Tests whether the mesh of a hand intersects itself.

Parts are the palm and the five digits (fingers and thumb from their MCP). A vertex of a digit is deep if it lies inside
another digit, or for the thumb inside the palm; its depth is its distance to the skin of that part. Skin less than
`APART` away along the surface, such as the other side of a web, does not count.
"""

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import dijkstra

from handlib.hand.joints import FINGERS

from .geometry import edges, triangle_distance, vertex_normals
from .skinning import CHAINS

APART = 0.030  # meters along the surface
REACH = 0.014  # meters; a vertex inside a digit is nearer than this to some vertex of its skin


class Contact:
    """Tests meshes of one hand, whose parts follow from its flat mesh (v, 3) and its skinning weights (v, 16)."""

    def __init__(self, flat: np.ndarray, faces: np.ndarray, weights: np.ndarray):
        self.part = parts(weights)
        self.touch = may_touch(flat, faces, self.part)
        self.skin = [faces[(self.part[faces] == k).all(1)] for k in range(6)]
        self._faces = faces
        self._rows = [np.flatnonzero((self.touch & (self.part == k)).any(1)) for k in range(6)]
        self._columns = [np.flatnonzero(self.part == k) for k in range(6)]
        self._never = [~self.touch[np.ix_(r, c)] for r, c in zip(self._rows, self._columns, strict=True)]

    def hits(self, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the vertices (n,) of a mesh (v, 3) inside another part, its nearest faces (n, 3), the depths (n,)."""
        normals = vertex_normals(vertices, self._faces)
        deep, into, depths = [], [], []
        for k, skin in enumerate(self.skin):
            suspects = self._suspects(vertices, normals, k)
            if len(suspects):
                deeper = suspects[winding_number(vertices[suspects], vertices, skin) > 0.5]
                distance = triangle_distance(vertices[deeper, None], vertices[skin][None])
                deep.append(deeper)
                into.append(skin[distance.argmin(1)])
                depths.append(distance.min(1))
        if not deep:
            return np.zeros(0, dtype=int), np.zeros((0, 3), dtype=int), np.zeros(0)
        return np.concatenate(deep), np.concatenate(into), np.concatenate(depths)

    def _suspects(self, vertices: np.ndarray, normals: np.ndarray, k: int) -> np.ndarray:
        """Returns the vertices that may be inside part k, judged by the nearest vertex of that part."""
        rows, columns = self._rows[k], self._columns[k]
        if not len(rows):
            return rows
        points, skin = vertices[rows], vertices[columns]
        squares = (points**2).sum(1)[:, None] + (skin**2).sum(1) - 2 * points @ skin.T
        nearest = np.where(self._never[k], np.inf, squares).argmin(1)
        offset = skin[nearest] - points
        distance = np.linalg.norm(offset, axis=1)
        behind = (offset * normals[columns[nearest]]).sum(1)
        return rows[(distance < REACH) & (behind > -0.3 * distance)]

    def depth(self, vertices: np.ndarray) -> float:
        """Returns the largest depth of a mesh (v, 3) in meters; 0 if the hand does not intersect itself."""
        return float(self.hits(vertices)[2].max(initial=0.0))

    def gap(self, vertices: np.ndarray, one: int, other: int) -> float:
        """Returns the smallest distance in meters of the vertices of one part to the skin of another."""
        points = vertices[self.part == one]
        return float(triangle_distance(points[:, None], vertices[self.skin[other]][None]).min())


def parts(weights: np.ndarray) -> np.ndarray:
    """Returns the part of each vertex (v,): 0 palm, 1 … 5 thumb … little; the thumb's first bone is in the palm."""
    owner = weights.argmax(1)
    part = np.zeros(len(weights), dtype=int)
    for k, finger in enumerate(FINGERS, start=1):
        chain = CHAINS[finger][1:] if finger == "thumb" else CHAINS[finger]
        part[np.isin(owner, chain)] = k
    return part


def may_touch(flat: np.ndarray, faces: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Returns (v, v): whether it counts when the first vertex is inside the part of the second."""
    a, b = edges(faces).T
    graph = sp.csr_matrix((np.linalg.norm(flat[a] - flat[b], axis=1), (a, b)), (len(flat),) * 2)
    apart = dijkstra(graph, directed=False) > APART
    first, second = part[:, None], part[None]
    return apart & (first != second) & (first > 0) & ((second > 0) | (first == 1))


def winding_number(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Returns how often a mesh winds around each point (n,): the sum of its solid angles over 4π (Van Oosterom, 1983).

    For a tube that is open at one end it is near 1 inside and near 0 outside, except close to the end.
    """
    a, b, c = (vertices[faces[:, i]] - points[:, None] for i in range(3))
    la, lb, lc = (np.linalg.norm(x, axis=-1) for x in (a, b, c))
    triple = (a * np.cross(b, c)).sum(-1)
    scale = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
    return 2 * np.arctan2(triple, scale).sum(1) / (4 * np.pi)
