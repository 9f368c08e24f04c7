"""The mask's term of a fit: the outline of the drawn mesh on that of the true mask."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..hand import HandModel
from ..renderer import Renderer
from .describe import mesh_cam
from .posterior import Posterior, State, to_px

SIZE, ITERATIONS = 112, 15  # pixels of the crop in which outlines are compared; steps of Adam
RATE, DAMPING = 0.4, 0.1  # the first step, in standard deviations; share of the curvature that is added to it
POINTS = 20  # the outline weighs as much as this many joints


def match_mask(posterior: Posterior, hand: HandModel, state: State, mask: Float[Tensor, "n h w"]) -> State:
    """Goes on from the states of n hands by Adam, with the term ½ n ‖Ren(m) − mask‖² / (s·L) and the real mesh.

    An outline of length L that is off by d pixels adds L·d to the squared difference, so over s·L it is the offset in
    standard deviations, and it counts as n joints do. The image is the crop at `SIZE` pixels. The energy without the
    mask is nearly quadratic, and Adam steps in coordinates in which its curvature is one: four times fewer steps reach
    a lower energy than in the state's own. In single precision, as an outline is not known to more.
    """
    kind, posterior, state = state.z.dtype, posterior.to(torch.float32), state.to(torch.float32)
    box, mask = posterior.box, mask.float()
    zoom = SIZE / box[:, 2]
    target = _crop(mask, box)
    length = 4 * SIZE  # about what a hand's outline measures in its crop
    renderer, faces = Renderer(SIZE), hand.faces.to(mask.device)
    jacobian = posterior.linearized(state)[1]
    curvature = jacobian.mT @ jacobian
    added = DAMPING * curvature.diagonal(dim1=1, dim2=2) + 1e-6
    factor = torch.linalg.cholesky(curvature + torch.diag_embed(added)).mT
    whitened = torch.zeros_like(added).requires_grad_()
    optimizer = torch.optim.Adam([whitened], lr=RATE, betas=(0.9, 0.99))
    best, least = state, torch.full_like(zoom, torch.inf)
    for k in range(ITERATIONS):
        step = torch.linalg.solve_triangular(factor, whitened[..., None], upper=True)[..., 0]
        moved = state.moved(step)
        points = mesh_cam(posterior.anatomy, hand, moved)
        px = (to_px(points, moved.place, posterior.seen.K) - box[:, None, :2]) * zoom[:, None, None]
        drawn = renderer.silhouette(torch.cat([px, points[..., 2:]], -1), faces)
        offset = (drawn - target).square().sum((1, 2)) / (posterior.sigma * zoom * length)
        energy = posterior.energy(moved) + POINTS / 2 * offset
        better = energy.detach() < least
        best = State(*(part.detach() for part in moved)).where(better, best)
        least = torch.where(better, energy.detach(), least)
        optimizer.zero_grad()
        energy.sum().backward()  # a sum, so that each moves as it would alone
        optimizer.param_groups[0]["lr"] = RATE * (1 - k / ITERATIONS)
        optimizer.step()
    return best.to(kind)


def _crop(mask: Float[Tensor, "n h w"], box: Float[Tensor, "n 3"]) -> Float[Tensor, "n side side"]:
    """The square boxes (left, top, side) of masks, resampled; 0 beyond the image."""
    height, width = mask.shape[1:]
    center = (torch.arange(SIZE).to(mask) + 0.5) / SIZE * box[:, 2:]
    x, y = (center + box[:, :1]) * 2 / width - 1, (center + box[:, 1:2]) * 2 / height - 1
    grid = torch.stack([x[:, None].expand(-1, SIZE, -1), y[:, :, None].expand(-1, -1, SIZE)], -1)
    return torch.nn.functional.grid_sample(mask[:, None], grid, align_corners=False)[:, 0]
