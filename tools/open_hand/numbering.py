"""Numbers the vertices: fingertips and the loop of the wrist get the numbers that public code for MANO expects."""

import numpy as np

from handlib.hand.joints import FINGERS, FINGERTIPS

from .geometry import adjacency, boundary_loops
from .skinning import CHAINS

# In the direction of the faces that close the loop; published with many projects that close the wrist.
WRIST_LOOP = (108, 79, 78, 121, 214, 215, 279, 239, 234, 92, 38, 122, 118, 117, 119, 120)


def number_vertices(vertices: np.ndarray, faces: np.ndarray, weights: np.ndarray, tips: dict[str, int]) -> np.ndarray:
    """Returns the old number (v,) of each new vertex.

    Every public set of fingertips is at the tip or next to it. The other vertices follow by digit, from the wrist on.
    """
    n = len(vertices)
    old = np.full(n, -1)
    used = set()

    def put(new: int, vertex: int) -> None:
        old[new] = vertex
        used.add(vertex)

    loop = boundary_loops(faces)[0][::-1]
    start = int(np.argmax(vertices[loop] @ [0, 1, 0.3]))  # on the back, slightly towards the thumb
    for new, vertex in zip(WRIST_LOOP, loop[start:] + loop[:start], strict=True):
        put(new, vertex)
    neighbors = adjacency(faces, n)
    for k, finger in enumerate(FINGERS):
        tip = tips[finger]
        numbers = list(dict.fromkeys(tips_.vertices[k] for tips_ in FINGERTIPS.values()))  # smplx's first
        near = sorted(neighbors[tip].indices, key=lambda v: np.linalg.norm(vertices[v] - vertices[tip]))
        for new, vertex in zip(numbers, [tip, *near], strict=False):
            put(new, vertex)
    order = [0, *(j for finger in ("index", "middle", "ring", "little", "thumb") for j in CHAINS[finger])]
    part = weights.argmax(1)
    rest = sorted(set(range(n)) - used, key=lambda v: (order.index(part[v]), -vertices[v, 0], v))
    old[old < 0] = rest
    return old


def sort_faces(faces: np.ndarray, *attributes: np.ndarray) -> tuple[np.ndarray, ...]:
    """Sorts faces, each starting at its smallest vertex; arrays (f, 3) of corner attributes are sorted with them."""
    turn = (faces.argmin(1)[:, None] + np.arange(3)) % 3
    turned = [np.take_along_axis(a, turn, 1) for a in (faces, *attributes)]
    order = np.lexsort(turned[0].T[::-1])
    return tuple(a[order] for a in turned)
