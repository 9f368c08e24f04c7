"""Does the mesh of a hand run through itself? Two answers: a slow sure one, and a fast differentiable one.

Parts are the palm and the five digits (fingers from the MCP, the thumb from its MCP). A vertex of a digit is deep when
it lies inside another digit, or the thumb's inside the palm, and its depth is its distance to the skin of that part.
Skin that is less than `APART` away along the surface, such as the other side of a web, does not count.
"""

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse.csgraph import dijkstra
from torch import Tensor

from handlib.joints import FINGERS

from .geometry import edges, triangle_distance
from .skinning import CHAINS

APART = 0.030  # metres along the surface
REACH = 0.012  # skin further away than this cannot be the skin that a vertex has passed
SOFT_REACH = 0.006  # the same for the fast answer, which would take more distant skin that faces away for it


def parts(weights: np.ndarray) -> np.ndarray:
    """(v,): 0 palm, 1 … 5 thumb … little; the thumb's first bone belongs to the palm."""
    owner = weights.argmax(1)
    part = np.zeros(len(weights), dtype=int)
    for k, finger in enumerate(FINGERS, start=1):
        chain = CHAINS[finger][1:] if finger == "thumb" else CHAINS[finger]
        part[np.isin(owner, chain)] = k
    return part


def may_touch(vertices: np.ndarray, faces: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(v, v): may the first vertex be inside the part of the second? `vertices` are those of the flat hand."""
    part = parts(weights)
    a, b = edges(faces).T
    graph = sp.csr_matrix((np.linalg.norm(vertices[a] - vertices[b], axis=1), (a, b)), (len(vertices),) * 2)
    apart = dijkstra(graph, directed=False) > APART
    first, second = part[:, None], part[None]
    return apart & (first != second) & (first > 0) & ((second > 0) | (first == 1))


def depth(vertices: np.ndarray, faces: np.ndarray, part: np.ndarray, touch: np.ndarray) -> float:
    """The largest depth of any vertex in metres, by winding numbers and distances to triangles; 0 for a clear hand."""
    near = np.linalg.norm(vertices[:, None] - vertices[None], axis=-1) < 2 * REACH
    deepest = 0.0
    for k in range(6):
        skin = faces[(part[faces] == k).all(1)]
        suspects = np.flatnonzero((touch & near & (part == k)).any(1))
        if len(suspects) and len(skin):
            inside = suspects[winding_number(vertices[suspects], vertices, skin) > 0.5]
            for v in inside:
                deepest = max(deepest, float(triangle_distance(vertices[v], vertices[skin]).min()))
    return deepest


def winding_number(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """How often a mesh goes around each point (n,): the sum of its solid angles over 4π (Van Oosterom, 1983).

    Of a tube that is open at one end it is near 1 inside and near 0 outside, but for the end.
    """
    a, b, c = (vertices[faces[:, i]] - points[:, None] for i in range(3))
    la, lb, lc = (np.linalg.norm(x, axis=-1) for x in (a, b, c))
    triple = (a * np.cross(b, c)).sum(-1)
    scale = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
    return 2 * np.arctan2(triple, scale).sum(1) / (4 * np.pi)


class SoftDepth:
    """Depths of all vertices (…, v) in metres, differentiable: how far they lie behind the nearest skin they may touch.

    Behind is meant along the normal of that skin's nearest vertex.
    """

    def __init__(self, faces: np.ndarray, touch: np.ndarray):
        self._rows = torch.as_tensor(np.flatnonzero(touch.any(1)))
        self._columns = torch.as_tensor(np.flatnonzero(touch.any(0)))
        self._never = ~torch.as_tensor(touch)[self._rows][:, self._columns]
        self._faces = torch.as_tensor(faces.astype(np.int64))

    def nearest(self, vertices: Tensor) -> Tensor:
        """Which skin is nearest: the slow part, whose answer serves a few small steps of an optimisation."""
        with torch.no_grad():
            gap = torch.cdist(vertices[..., self._rows, :].float(), vertices[..., self._columns, :].float())
            return gap.masked_fill(self._never, torch.inf).argmin(-1)

    def __call__(self, vertices: Tensor, nearest: Tensor | None = None) -> Tensor:
        normals = _normals(vertices, self._faces)
        points, skin = vertices[..., self._rows, :], vertices[..., self._columns, :]
        nearest = self.nearest(vertices) if nearest is None else nearest
        index = nearest[..., None].expand(*nearest.shape, 3)
        offset = skin.gather(-2, index) - points
        behind = (offset * normals[..., self._columns, :].gather(-2, index)).sum(-1)
        distance = offset.detach().norm(dim=-1)
        facing = behind.detach() > 0.45 * distance  # skin that lies sideways of its nearest neighbour is not behind it
        return torch.where((distance < SOFT_REACH) & facing, behind, 0.0)


def _normals(vertices: Tensor, faces: Tensor) -> Tensor:
    a, b, c = (vertices[..., faces[:, i], :] for i in range(3))
    across = torch.linalg.cross(b - a, c - a)
    normals = torch.zeros_like(vertices)
    for i in range(3):
        normals = normals.index_add(-2, faces[:, i], across)
    return torch.nn.functional.normalize(normals, dim=-1)
