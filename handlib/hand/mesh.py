"""Geometry of triangle meshes that share one topology: normals, the open wrist, the Laplacian."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def vertex_normals(vertices: Float[Tensor, "*batch v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "*batch v 3"]:
    """Computes unit vertex normals as area-weighted means of the normals of the adjacent faces."""
    a, b, c = vertices[..., faces, :].unbind(-2)
    normal = torch.linalg.cross(b - a, c - a, dim=-1)  # length: twice the area
    total = torch.zeros_like(vertices)
    for corner in faces.unbind(1):
        total = total.index_add(-2, corner, normal)
    return torch.nn.functional.normalize(total, dim=-1)


def boundary_loop(faces: Int[Tensor, "f 3"]) -> Int[Tensor, " n"]:
    """Returns the vertices around the only hole of a mesh, in the direction of the faces that border it.

    Raises `ValueError` for a closed mesh and for more than one hole.
    """
    edges = {(a, b) for t in faces.tolist() for a, b in zip(t, t[1:] + t[:1], strict=True)}
    border = [(a, b) for a, b in edges if (b, a) not in edges]
    following = dict(border)
    if not following:
        raise ValueError("the mesh is closed: it has no boundary")
    if len(following) < len(border):
        raise ValueError("the mesh has holes that share a vertex: its boundary is not a simple loop")
    loop = [min(following)]
    while (vertex := following[loop[-1]]) != loop[0]:
        loop.append(vertex)
    if len(loop) != len(following):
        raise ValueError(f"the mesh has more than one hole ({len(following)} boundary edges, one loop has {len(loop)})")
    return torch.tensor(loop, device=faces.device)


def cotangent_laplacian(vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, "v v"]:
    """Returns the normalized cotangent Laplacian L: (Lx)_i = Σ_j w_ij (x_i − x_j) / Σ_j w_ij.

    w_ij = (cot α + cot β)/2 of the two angles facing edge ij; cotangents below 0.01 are raised to it, so that every
    weight is positive. The matrix is dense, for small meshes (778² floats are 2.4 MB).
    """
    weights = vertices.new_zeros(len(vertices), len(vertices))
    for k in range(3):
        i, j, opposite = faces[:, k], faces[:, (k + 1) % 3], faces[:, (k + 2) % 3]
        u, v = vertices[i] - vertices[opposite], vertices[j] - vertices[opposite]
        cotangent = (u * v).sum(-1) / torch.linalg.cross(u, v, dim=-1).norm(dim=-1).clamp(min=1e-12)
        weights.index_put_((i, j), cotangent.clamp(min=0.01) / 2, accumulate=True)
    weights = weights + weights.T
    return torch.eye(len(vertices)).to(weights) - weights / weights.sum(1, keepdim=True)
