"""The mask's term of a fit: the outline of the drawn mesh on that of the true mask."""

import torch
from jaxtyping import Float
from torch import Tensor

from ..hand import HandModel
from ..renderer import Renderer
from .describe import mesh_cam
from .posterior import Posterior, State, to_px

SIZE, ITERATIONS = 112, 60  # pixels of the crop in which outlines are compared; steps of Adam
POINTS = 20  # the outline weighs as much as this many joints


def match_mask(posterior: Posterior, hand: HandModel, state: State, mask: Float[Tensor, "n h w"]) -> State:
    """Goes on from the states of n hands by Adam, with the term ½ n ‖Ren(m) − mask‖² / (s·L) and the real mesh.

    An outline of length L that is off by d pixels adds L·d to the squared difference, so over s·L it is the offset in
    standard deviations, and it counts as n joints do. The image is the crop at `SIZE` pixels.
    """
    box = posterior.box
    zoom = SIZE / box[:, 2]
    target = _crop(mask, box)
    length = 4 * SIZE  # about what a hand's outline measures in its crop
    renderer, faces = Renderer(SIZE), hand.faces.to(mask.device)
    step = state.z.new_zeros(len(box), state.z.shape[1] + 16).requires_grad_()
    # Adam's steps have one size: a fiftieth of a standard deviation, a radian, the noise of a joint, or the scale.
    unit = torch.ones_like(step).detach()
    unit[:, -3:-1] = posterior.sigma[:, None]
    optimizer = torch.optim.Adam([step], lr=0.02)
    best, least = state, torch.full_like(zoom, torch.inf)
    for _ in range(ITERATIONS):
        moved = state.moved(step * unit)
        points = mesh_cam(posterior.anatomy, hand, moved)
        px = (to_px(points, moved.place, posterior.seen.K) - box[:, None, :2]) * zoom[:, None, None]
        drawn = renderer.silhouette(torch.cat([px, points[..., 2:]], -1).float(), faces)
        offset = (drawn - target).square().sum((1, 2)) / (posterior.sigma * zoom * length)
        energy = posterior.energy(moved) + POINTS / 2 * offset
        better = energy.detach() < least
        best = State(*(part.detach() for part in moved)).where(better, best)
        least = torch.where(better, energy.detach(), least)
        optimizer.zero_grad()
        energy.sum().backward()  # a sum, so that each moves as it would alone
        optimizer.step()
    return best


def _crop(mask: Float[Tensor, "n h w"], box: Float[Tensor, "n 3"]) -> Float[Tensor, "n side side"]:
    """The square boxes (left, top, side) of masks, resampled; 0 beyond the image."""
    height, width = mask.shape[1:]
    center = (torch.arange(SIZE).to(mask) + 0.5) / SIZE * box[:, 2:]
    x, y = (center + box[:, :1]) * 2 / width - 1, (center + box[:, 1:2]) * 2 / height - 1
    grid = torch.stack([x[:, None].expand(-1, SIZE, -1), y[:, :, None].expand(-1, -1, SIZE)], -1)
    return torch.nn.functional.grid_sample(mask[:, None], grid, align_corners=False)[:, 0]
