"""Triangle meshes as arrays: vertices (v, 3), faces (f, 3). Vertices may have leading batch dimensions."""

import numpy as np
import scipy.sparse as sp
from scipy.spatial import cKDTree


def edges(faces: np.ndarray) -> np.ndarray:
    """Returns every edge once, (e, 2), the smaller vertex first, in ascending order."""
    return np.unique(np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1), axis=0)


def boundary_loops(faces: np.ndarray) -> list[list[int]]:
    """Returns the closed paths of directed edges that no face has in the opposite direction."""
    directed = {(int(a), int(b)) for face in faces for a, b in zip(face, np.roll(face, -1), strict=True)}
    following = {a: b for a, b in sorted(directed) if (b, a) not in directed}
    loops = []
    while following:
        start = next(iter(following))
        loop, vertex = [start], following.pop(start)
        while vertex != start:
            loop.append(vertex)
            vertex = following.pop(vertex)
        loops.append(loop)
    return loops


def face_vectors(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Returns face normals whose length is twice the area."""
    a, b, c = (vertices[..., faces[:, i], :] for i in range(3))
    return np.cross(b - a, c - a)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Returns area-weighted unit vertex normals."""
    normals = incidence(faces, vertices.shape[-2]) @ np.moveaxis(face_vectors(vertices, faces), -2, 0).reshape(
        len(faces), -1
    )
    normals = np.moveaxis(normals.reshape(vertices.shape[-2], *vertices.shape[:-2], 3), 0, -2)
    return normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-30)


def incidence(faces: np.ndarray, n: int) -> sp.csr_matrix:
    """Returns (n, f): 1 where the vertex is a corner of the face."""
    columns = np.repeat(np.arange(len(faces)), 3)
    return sp.csr_matrix((np.ones(faces.size), (faces.ravel(), columns)), (n, len(faces)))


def adjacency(faces: np.ndarray, n: int) -> sp.csr_matrix:
    """Returns (n, n): 1 where two vertices share an edge."""
    a, b = edges(faces).T
    return sp.csr_matrix((np.ones(2 * len(a)), (np.r_[a, b], np.r_[b, a])), (n, n))


def averaging(faces: np.ndarray, n: int) -> sp.csr_matrix:
    """Returns (n, n): the operator that averages the neighbors of each vertex."""
    neighbors = adjacency(faces, n)
    return sp.diags(1 / np.asarray(neighbors.sum(1)).ravel()) @ neighbors


def cotangent_laplacian(vertices: np.ndarray, faces: np.ndarray) -> tuple[sp.csr_matrix, np.ndarray]:
    """Returns the positive semi-definite cotangent Laplacian (n, n) and the area of every vertex (n,)."""
    n, rows, columns, values = len(vertices), [], [], []
    for k in range(3):
        i, j, corner = faces[:, k], faces[:, (k + 1) % 3], faces[:, (k + 2) % 3]
        a, b = vertices[i] - vertices[corner], vertices[j] - vertices[corner]
        cotangent = (a * b).sum(1) / np.maximum(np.linalg.norm(np.cross(a, b), axis=1), 1e-12)
        rows += [i, j]
        columns += [j, i]
        values += [cotangent.clip(0.02, 20) / 2] * 2
    links = sp.csr_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), (n, n))
    area = incidence(faces, n) @ np.linalg.norm(face_vectors(vertices, faces), axis=1) / 6
    return sp.diags(np.asarray(links.sum(1)).ravel()) - links, area


def triangle_quality(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Returns 4√3·area / sum of squared edges: 1 for an equilateral triangle, 0 for a needle."""
    corners = vertices[..., faces, :]
    squares = ((corners - np.roll(corners, 1, axis=-2)) ** 2).sum((-1, -2))
    return 2 * np.sqrt(3) * np.linalg.norm(face_vectors(vertices, faces), axis=-1) / squares


def volume(vertices: np.ndarray, faces: np.ndarray, loop: list[int]) -> np.ndarray:
    """Returns the enclosed volume, with the open loop closed by a fan around its mean."""
    centered = vertices - vertices[..., loop, :].mean(-2, keepdims=True)
    return np.einsum("...fc,...fc->...", centered[..., faces[:, 0], :], face_vectors(centered, faces)) / 6


def segment_distance(points: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns the distance of points (n, 3) to the segment from a to b."""
    along = ((points - a) @ (b - a) / ((b - a) @ (b - a))).clip(0, 1)
    return np.linalg.norm(points - a - along[:, None] * (b - a), axis=1)


def surface_distance(points: np.ndarray, vertices: np.ndarray, faces: np.ndarray, nearest: int = 40) -> np.ndarray:
    """Returns the distance of points (n, 3) to a surface, testing the triangles with the nearest centers."""
    corners = vertices[faces]
    _, candidates = cKDTree(corners.mean(1)).query(points, min(nearest, len(faces)))
    return triangle_distance(points[:, None], corners[candidates]).min(1)


def triangle_distance(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Returns distances of points (…, 3) to triangles (…, 3, 3): to the plane if the foot is inside, else an edge."""
    a, b, c = corners[..., 0, :], corners[..., 1, :], corners[..., 2, :]
    normal = np.cross(b - a, c - a)
    normal = normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-30)
    inside, distance = True, np.inf
    for p, q in ((a, b), (b, c), (c, a)):
        edge, offset = q - p, points - p
        inside = inside & ((np.cross(edge, offset) * normal).sum(-1) >= 0)
        along = ((offset * edge).sum(-1) / np.maximum((edge * edge).sum(-1), 1e-30)).clip(0, 1)
        distance = np.minimum(distance, np.linalg.norm(offset - along[..., None] * edge, axis=-1))
    return np.where(inside, np.abs(((points - a) * normal).sum(-1)), distance)


def sample_surface(vertices: np.ndarray, faces: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draws n points uniformly from the surface, (n, 3)."""
    area = np.linalg.norm(face_vectors(vertices, faces), axis=1)
    corners = vertices[faces[rng.choice(len(faces), n, p=area / area.sum())]]
    u, v = rng.uniform(size=(2, n))
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    return corners[:, 0] + u[:, None] * (corners[:, 1] - corners[:, 0]) + v[:, None] * (corners[:, 2] - corners[:, 0])
