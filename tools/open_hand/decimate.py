"""Decimates a mesh by half-edge collapses in several poses and shapes at once; it keeps a subset of the vertices.

The cost is Garland and Heckbert's quadric error ("Surface Simplification Using Quadric Error Metrics", 1997), averaged
over the configurations. A vertex is merged into a neighbor and never moved, so shapes, weights and texture coordinates
of the small mesh are rows of those of the large mesh. Vertices of a border (the loop of the wrist, the seams of the
texture) are merged only along that border.
"""

import heapq

import numpy as np

from .geometry import boundary_loops, triangle_quality

MILLIMETERS = 1e3  # the costs below are in mm² and mm⁴
LENGTH_COST = 0.03
MAX_VALENCE = 8
MIN_QUALITY = 0.3  # of any triangle in any configuration
MIN_COSINE = 0.35  # of the angle by which a collapse may rotate a triangle


class _Mesh:
    """A mesh that can be reduced: faces by number, and the faces of every vertex."""

    def __init__(self, faces: np.ndarray):
        self.faces = {i: tuple(int(v) for v in face) for i, face in enumerate(faces)}
        self.of = {}
        for i, face in self.faces.items():
            for v in face:
                self.of.setdefault(v, set()).add(i)

    def neighbors(self, v: int) -> set[int]:
        return {u for i in self.of[v] for u in self.faces[i]} - {v}

    def collapse(self, a: int, b: int) -> None:
        for i in self.of[a] & self.of[b]:
            for v in self.faces[i]:
                self.of[v].discard(i)
            del self.faces[i]
        for i in self.of.pop(a):
            self.faces[i] = tuple(b if v == a else v for v in self.faces[i])
            self.of[b].add(i)


def decimate(
    shapes: np.ndarray,
    faces: np.ndarray,
    vertices: int,
    loop: int,
    fixed: set[int] = frozenset(),
    seam: set[tuple[int, int]] = frozenset(),
    importance: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, set[tuple[int, int]]]:
    """Keeps `vertices` vertices, `loop` of them on the boundary.

    Returns the numbers of the kept vertices in ascending order, and the faces and the remaining seam in new numbers.

    shapes (k, v, 3): configurations of a disc, in meters. fixed: vertices to keep. seam: edges, in both directions,
    whose ends may only move along the seam. importance (v,): multiplies the cost of a vertex. Raises `ValueError` if no
    collapse is left that keeps the mesh valid.
    """
    shapes = MILLIMETERS * shapes
    mesh, quadrics = _Mesh(faces), _quadrics(shapes, faces)
    if importance is not None:
        quadrics *= importance[:, None, None, None]
    border = set(boundary_loops(faces)[0])
    on_seam = {a for a, _ in seam}
    seam, junctions = set(seam), {v for v in on_seam if sum(a == v for a, _ in seam) != 2}
    stays = set(fixed) | junctions
    homogeneous = np.concatenate([shapes, np.ones((*shapes.shape[:2], 1))], 2)

    def cost(a: int, b: int) -> float:
        at = homogeneous[:, b]
        length = ((shapes[:, a] - shapes[:, b]) ** 2).sum(1).mean()
        return float(np.einsum("ka,kab,kb->k", at, quadrics[a] + quadrics[b], at).mean() + LENGTH_COST * length**2)

    def merge(a: int, b: int) -> None:
        mesh.collapse(a, b)
        quadrics[b] += quadrics[a]
        if a in on_seam:
            (other,) = {v for u, v in seam if u == a} - {b}
            seam.difference_update({(a, b), (b, a), (a, other), (other, a)})
            seam.update({(b, other), (other, b)})
            on_seam.discard(a)

    def allowed(a: int, b: int) -> bool:
        if a in stays or (a in on_seam and (a, b) not in seam):
            return False
        return _sound(mesh, shapes, border, a, b) and not (a in on_seam and _closes(seam, a, b))

    while len(border) > loop:
        pairs = sorted((cost(a, b), a, b) for a in border for b in mesh.neighbors(a) & border)
        pair = next(((a, b) for _, a, b in pairs if allowed(a, b)), None)
        if pair is None:
            raise ValueError(f"the boundary cannot have fewer than {len(border)} edges")
        merge(*pair)
        border.discard(pair[0])

    version = dict.fromkeys(mesh.of, 0)
    movable = set(mesh.of) - border - stays
    heap = [(cost(a, b), a, b, 0, 0) for a in sorted(movable) for b in sorted(mesh.neighbors(a))]
    heapq.heapify(heap)
    while len(mesh.of) > vertices:
        if not heap:
            raise ValueError(f"no valid collapse is left at {len(mesh.of)} vertices")
        _, a, b, at_a, at_b = heapq.heappop(heap)
        if a not in mesh.of or b not in mesh.of or version[a] != at_a or version[b] != at_b or not allowed(a, b):
            continue
        touched = (mesh.neighbors(a) | mesh.neighbors(b)) - {a}
        merge(a, b)
        for v in touched:
            version[v] += 1
        for v in sorted(touched):
            for u in sorted(mesh.neighbors(v)):
                for x, y in ((v, u), (u, v)):
                    if x in movable and (x == v or u not in touched):
                        heapq.heappush(heap, (cost(x, y), x, y, version[x], version[y]))
    kept = np.array(sorted(mesh.of))
    number = {int(v): i for i, v in enumerate(kept)}
    small = np.array([[number[v] for v in mesh.faces[i]] for i in sorted(mesh.faces)])
    return kept, small, {(number[a], number[b]) for a, b in seam}


def _closes(seam: set[tuple[int, int]], a: int, b: int) -> bool:
    """Returns whether merging a into b would reduce its seam to a single edge."""
    (other,) = {v for u, v in seam if u == a} - {b}
    return (b, other) in seam


def _quadrics(shapes: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Returns quadrics (v, k, 4, 4): planes of faces weighted by area, and of boundary edges by squared length."""
    quadrics = np.zeros((shapes.shape[1], shapes.shape[0], 4, 4))

    def add(vertices, normals, points, scale):
        plane = np.concatenate([normals, -(normals * points).sum(1, keepdims=True)], 1)
        for v in vertices:
            quadrics[v] += scale[:, None, None] * plane[:, :, None] * plane[:, None, :]

    of_edge = {}
    for face in faces:
        a, b, c = shapes[:, face].transpose(1, 0, 2)
        normal = np.cross(b - a, c - a)
        area = np.linalg.norm(normal, axis=1)
        normal = normal / np.maximum(area, 1e-9)[:, None]
        add(face, normal, a, area / 2)
        of_edge |= {(int(p), int(q)): normal for p, q in zip(face, np.roll(face, -1), strict=True)}
    for (p, q), normal in of_edge.items():
        if (q, p) not in of_edge:
            edge = shapes[:, q] - shapes[:, p]
            across = np.cross(edge, normal)
            across /= np.linalg.norm(across, axis=1, keepdims=True)
            add((p, q), across, shapes[:, p], (edge**2).sum(1))
    return quadrics


def _sound(mesh: _Mesh, shapes: np.ndarray, border: set[int], a: int, b: int) -> bool:
    """Returns whether the mesh stays a disc of well-shaped triangles when a is merged into b."""
    around_a, around_b = mesh.neighbors(a), mesh.neighbors(b)
    shared, common = mesh.of[a] & mesh.of[b], around_a & around_b
    if len(common) != len(shared) or (a in border and (b not in border or len(shared) != 1)):
        return False
    if len((around_a | around_b) - {a, b}) > MAX_VALENCE - (a in border):
        return False
    if any(len(mesh.neighbors(v)) <= (3 if v in border else 4) for v in common):
        return False
    before = np.array([mesh.faces[i] for i in sorted(mesh.of[a] - shared)], dtype=int).reshape(-1, 3)
    return _keeps_shape(shapes, before, np.where(before == a, b, before))


def _keeps_shape(shapes: np.ndarray, before: np.ndarray, after: np.ndarray) -> bool:
    """Returns whether, in every configuration, no triangle rotates far and none is a needle afterwards."""

    def normals(faces):
        p, q, r = (shapes[:, faces[:, i]] for i in range(3))
        n = np.cross(q - p, r - p)
        return n / np.maximum(np.linalg.norm(n, axis=-1, keepdims=True), 1e-9)

    if ((normals(before) * normals(after)).sum(-1) < MIN_COSINE).any():
        return False
    return bool((triangle_quality(shapes, after).min(0) >= MIN_QUALITY).all())


def flip_edges(
    shapes: np.ndarray, faces: np.ndarray, seam: set[tuple[int, int]] = frozenset(), rounds: int = 8
) -> np.ndarray:
    """Swaps the diagonals of pairs of triangles where that improves the worse one on average over the configurations.

    It never swaps across a seam or a fold, to a needle, or beyond `MAX_VALENCE`. shapes: (k, v, 3).
    """
    faces = faces.copy()
    for _ in range(rounds):
        of_edge = {}
        for i, face in enumerate(faces):
            for k in range(3):
                of_edge.setdefault(frozenset((int(face[k]), int(face[(k + 1) % 3]))), []).append(i)
        valence = np.bincount(np.array([sorted(e) for e in of_edge]).ravel())
        changed = set()
        for edge, pair in list(of_edge.items()):
            if len(pair) != 2 or changed & set(pair) or tuple(edge) in seam:
                continue
            i, j = pair
            c = next(int(v) for v in faces[i] if v not in edge)
            d = next(int(v) for v in faces[j] if v not in edge)
            at = [int(v) for v in faces[i]].index(c)
            p, q = int(faces[i][(at + 1) % 3]), int(faces[i][(at + 2) % 3])
            if frozenset((c, d)) in of_edge or min(valence[p], valence[q]) <= 4 or max(valence[[c, d]]) >= MAX_VALENCE:
                continue
            old, new = np.array([[c, p, q], [d, q, p]]), np.array([[c, p, d], [c, d, q]])
            gain = triangle_quality(shapes, new).min(-1).mean() - triangle_quality(shapes, old).min(-1).mean()
            if gain > 0.02 and _flat_enough(shapes, old, new):
                faces[i], faces[j] = new
                changed |= {i, j}
                of_edge[frozenset((c, d))] = []
                valence[[p, q]] -= 1
                valence[[c, d]] += 1
        if not changed:
            break
    return faces


def _flat_enough(shapes: np.ndarray, old: np.ndarray, new: np.ndarray) -> bool:
    """Returns whether the pair is nearly flat at rest (the first configuration) and valid in all configurations."""

    def cosine(faces, of):
        p, q, r = (of[:, faces[:, i]] for i in range(3))
        n = np.cross(q - p, r - p)
        n /= np.maximum(np.linalg.norm(n, axis=-1, keepdims=True), 1e-9)
        return (n[:, 0] * n[:, 1]).sum(-1)

    rest = cosine(old, shapes[:1]).min() > np.cos(np.deg2rad(25)) and cosine(new, shapes[:1]).min() > np.cos(
        np.deg2rad(30)
    )
    return bool(rest and (triangle_quality(shapes, new) >= MIN_QUALITY).all() and (cosine(new, shapes) > 0).all())
