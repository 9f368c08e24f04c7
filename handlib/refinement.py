"""Test-time refinement (Sec. 3.4, Eq. 13): the estimate is made consistent with the evidence by gradient steps on h.

No label is used. The projected joints should meet the 2D joints, which the pose refiner improves along the way; the
features of the image cut out by the rendered mask should be those of the whole image; the mesh should stay smooth.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .camera import SCALE_UNIT
from .dhpe import DHPE
from .losses import feature_loss, laplacian_loss
from .output import DHPEOutput, Iteration, assemble, detached
from .parameters import MeshParameters, posed_hand, posed_skeleton


@dataclass(frozen=True)
class RefinementWeights:
    """What Eq. 13 leaves open. Steps are Adam's, since h mixes radians, standard deviations and crop units.

    `step` and `stay` were chosen for an earlier lite on 48 validation hands, among ten times as much and as little;
    larger steps follow the errors of the 2D joints.
    """

    step: float = 0.005  # γ
    feature: float = 0.1  # λ of the feature-similarity term
    laplacian: float = 1.0
    stay: float = 0.1  # not in the paper: a pull to the first estimate, for what the 2D joints cannot see
    update_2d: float = 0.1  # how far j2D moves towards Ref's answer in one step; 1 is the bare recursion of Eq. 6


def refine(
    model: DHPE,
    images: Float[Tensor, "b 3 h w"],
    output: DHPEOutput,
    iterations: int = 50,
    weights: RefinementWeights | None = None,
) -> DHPEOutput:
    """Improves an estimate of `model` on the same images. The result's history holds every step, 0 … iterations."""
    weights = weights or RefinementWeights()
    if output.mesh_crop is None:
        raise ValueError("only an estimate made by a DHPE can be refined with its evidence; `fit` needs no refinement")
    first = detached(output)
    frozen = [p.requires_grad for p in model.parameters()]
    model.requires_grad_(False)
    try:
        states = _descend(model, model.resize(images), first, iterations, weights)
    finally:
        for parameter, needed in zip(model.parameters(), frozen, strict=True):
            parameter.requires_grad_(needed)
    with torch.no_grad():
        return assemble(model.hand, states, first.size, first.heatmaps, first.features)


def _descend(
    model: DHPE, images: Tensor, first: DHPEOutput, iterations: int, weights: RefinementWeights
) -> list[Iteration]:
    with torch.enable_grad():
        h, evidence = first.h.clone().requires_grad_(), first.evidence_2d
        optimizer = torch.optim.Adam([h], weights.step, fused=True)
        states = []
        for _ in range(iterations):
            placed, joints = posed_hand(model.hand, h)
            states.append(_state(h, evidence, joints))
            if model.config.pose_refiner:
                with torch.no_grad():
                    better = model.regressor.refined_2d(first.features, states[-1])
                    evidence = evidence + weights.update_2d * (better - evidence)
            mask = model.render_mask(placed)
            masked = model.feature_extractor(images * mask[:, None])
            per_metre = SCALE_UNIT * MeshParameters.split(h).scale[..., None]
            # Summed over the batch, so that each hand moves as it would alone.
            loss = len(h) * (
                (joints[..., :2] - evidence).square().mean()
                + weights.feature * feature_loss(masked, first.features)
                + weights.laplacian * laplacian_loss(placed / per_metre, model.laplacian)
                + weights.stay * (h - first.h).square().mean()
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            states.append(_state(h, evidence, posed_skeleton(model.hand, h)))
    return states


def _state(h: Tensor, evidence: Tensor, joints: Tensor) -> Iteration:
    return Iteration(h.detach().clone(), evidence.detach(), joints.detach())
