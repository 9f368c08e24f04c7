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


def match_mask(posterior: Posterior, hand: HandModel, state: State, mask: Float[Tensor, "h w"]) -> State:
    """Goes on from the state of one hand by Adam, with the term ½ n ‖Ren(m) − mask‖² / (s·L) and the real mesh.

    An outline of length L that is off by d pixels adds L·d to the squared difference, so over s·L it is the offset in
    standard deviations, and it counts as n joints do. The image is the crop at `SIZE` pixels.
    """
    box = posterior.box[0]
    zoom = SIZE / box[2]
    target = _crop(mask, box)
    length = 4 * SIZE  # about what a hand's outline measures in its crop
    renderer, faces = Renderer(SIZE), hand.faces.to(mask.device)
    step = state.z.new_zeros(1, state.z.shape[1] + 16).requires_grad_()
    # Adam's steps have one size: a fiftieth of a standard deviation, a radian, the noise of a joint, or the scale.
    unit = torch.cat([torch.ones_like(step[0, :-3]), posterior.sigma.expand(2), step.new_ones(1)]).detach()
    optimizer = torch.optim.Adam([step], lr=0.02)
    best, least = state, torch.inf
    for _ in range(ITERATIONS):
        moved = state.moved(step * unit)
        points = mesh_cam(posterior.anatomy, hand, moved)
        px = (to_px(points, moved.place, posterior.seen.K) - box[:2]) * zoom
        drawn = renderer.silhouette(torch.cat([px, points[..., 2:]], -1).float(), faces)
        offset = (drawn - target).square().sum() / (posterior.sigma[0] * zoom * length)
        energy = posterior.energy(moved)[0] + POINTS / 2 * offset
        if energy < least:
            best, least = State(*(part.detach() for part in moved)), energy.item()
        optimizer.zero_grad()
        energy.backward()
        optimizer.step()
    return best


def _crop(mask: Float[Tensor, "h w"], box: Float[Tensor, "3"]) -> Float[Tensor, "side side"]:
    """The square box (left, top, side) of a mask, resampled; 0 beyond the image."""
    height, width = mask.shape
    center = (torch.arange(SIZE).to(mask) + 0.5) / SIZE * box[2]
    x, y = (center + box[0]) * 2 / width - 1, (center + box[1]) * 2 / height - 1
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
    return torch.nn.functional.grid_sample(mask[None, None], grid[None], align_corners=False)[0, 0]
