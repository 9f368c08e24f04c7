"""Levenberg–Marquardt for many estimates at once."""

import torch
from jaxtyping import Float
from torch import Tensor

from .posterior import Posterior, State


def descend(posterior: Posterior, state: State, iterations: int) -> tuple[State, Float[Tensor, " n"]]:
    """States after some iterations and their energies, none worse than its start.

    Each estimate has its own damping, and stays where a step does not help.
    """
    energy, single = posterior.energy(state), posterior.to(torch.float32)
    damping = torch.full_like(energy, 1e-2)
    for _ in range(iterations):
        # Derivatives only say where to go, so single precision will do, at half the cost; the energy judges in double.
        residual, jacobian = (part.to(energy) for part in single.linearized(state.to(torch.float32)))
        hessian, slope = jacobian.mT @ jacobian, jacobian.mT @ residual[..., None]
        diagonal = hessian.diagonal(dim1=1, dim2=2)
        factor = torch.linalg.cholesky(hessian + torch.diag_embed(damping[:, None] * diagonal + 1e-9))
        tried = state.moved(-torch.cholesky_solve(slope, factor)[..., 0])
        reached = posterior.energy(tried)
        better = reached < energy
        state = tried.where(better, state)
        energy = torch.where(better, reached, energy)
        damping = torch.where(better, damping / 4, damping * 6).clamp(1e-7, 1e7)
    return state, energy
