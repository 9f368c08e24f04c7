"""Rotation matrices of axis-angle vectors, for inner loops: a dozen torch calls where roma's conversion has thirty."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def rotvec_to_rotmat(rotvec: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Returns R of the rotation about `rotvec` by its length in radians; differentiable everywhere, also at zero."""
    return rotmat_minus_identity(rotvec) + torch.eye(3, dtype=rotvec.dtype, device=rotvec.device)


def rotmat_minus_identity(rotvec: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Returns R − I of the rotation about `rotvec`, which the pose blend shapes need; precise for small angles.

    Rodrigues' formula in half-angles: with s = sin(θ/2) rotvec / θ, R − I = 2 cos(θ/2) [s]× + 2 [s]×².
    """
    vectors = rotvec.reshape(-1, 3)
    half = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True) / 2
    # With √2 s in place of s, the terms are √2 cos(θ/2) [√2 s]× and [√2 s]×². torch.sinc(x) is sin(πx)/(πx).
    scaled = torch.sinc(half / math.pi) * (vectors / math.sqrt(2))
    identity = torch.eye(3, dtype=rotvec.dtype, device=rotvec.device)
    cross = torch.linalg.cross(identity[None], scaled[:, None])  # row i of [v]× is e_i × v
    first = (math.sqrt(2) * half.cos())[..., None] * cross
    return torch.baddbmm(first, cross, cross).view(*rotvec.shape, 3)
