"""Test-time refinement (Sec. 3.4, Eq. 13): the estimate is made consistent with the evidence by gradient steps on h.

No label is used. The projected joints should meet the 2D joints, which the pose refiner improves along the way; the
features of the image cut out by the rendered mask should be those of the whole image; the mesh should stay smooth.
Every hand of a batch goes its own way: it moves as it would alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from .camera import SCALE_UNIT
from .dhpe import DHPE, check_images
from .evidence import heatmap_peaks
from .output import DHPEOutput, Iteration, assemble
from .parameters import MeshParameters, posed_hand

KEEP = ("best", "last")


@dataclass(frozen=True)
class RefinementWeights:
    """What Eq. 13 leaves open, and what we add to it. Steps are Adam's, since h mixes radians and crop units.

    Chosen on the validation split by `tools/tune_refinement.py`, which writes what it found to
    results/refinement-tuning.json. Its last sweep, made after the results of lite were, would leave the feature term
    out, which is the paper's, and take a `laplacian` of 10. What limits refinement is the 2D joints: `confidence`,
    `robust` and `peaks` are there because a heat map that is low is usually wrong. All three at 0 and `update_2d` at 1
    are the bare equation.
    """

    step: float = 0.005  # γ
    joints: float = 1.0  # of the 2D joints; Eq. 13 has 1, the unit of the other weights
    feature: float = 0.1  # λ of the feature-similarity term; 0 leaves it, and the rendering, out
    laplacian: float = 1.0
    stay: float = 0.1  # not in the paper: a pull to the first estimate, for what the 2D joints cannot see
    update_2d: float = 0.03  # how far j2D moves towards Ref's answer in one step; 1 is the bare recursion of Eq. 6
    peaks: float = 0.5  # share of the heat maps' own maxima in the 2D joints to meet; the rest is the refined j2D
    confidence: float = 4.0  # a joint counts by the height of its heat map's peak to this power; 0: all alike
    robust: float = 0.1  # crop units from which on a joint's distance counts linearly; 0: squared, however far
    keep: str = "best"  # of the steps, for each hand, the one with the least objective; or the "last"

    def __post_init__(self):
        if self.keep not in KEEP:
            raise ValueError(f"refinement: keep must be one of {', '.join(KEEP)}, not {self.keep!r}")


def refine(
    model: DHPE,
    images: Float[Tensor, "b 3 h w"],
    output: DHPEOutput,
    iterations: int = 50,
    weights: RefinementWeights | None = None,
) -> DHPEOutput:
    """Improves an estimate of `model` on the same images.

    The photo trunk's Ref sees turned crops, in which no step is made here: its j2D stays as it is.

    The result's history holds every step, 0 … iterations, each with the objective of Eq. 13 for each hand, measured
    against the 2D joints as they are at the end. With `keep="best"` a step that raised a hand's objective is replaced
    by the best one before it, so the objective never rises; the true error may (evaluation/refinement_report.py).
    """
    weights = weights or RefinementWeights()
    check_images(images)
    if len(images) != len(output.h):
        raise ValueError(f"{len(images)} images but an estimate of {len(output.h)}: refine the images it was made from")
    if output.mesh_crop is None:
        raise ValueError("only an estimate made by a DHPE can be refined with its evidence; `fit` needs no refinement")
    first, training = output.map(Tensor.detach), model.training
    model.eval()  # a model in training would add to its running statistics
    try:
        states = _descend(model, model.resize(images) if first.crop is None else images, first, iterations, weights)
    finally:
        model.train(training)
    with torch.no_grad():
        if weights.keep == "best":
            states = best_so_far(states)
        refined = assemble(model.hand, states, first.size, first.heatmaps, first.features)
        return replace(refined, crop=first.crop, hand_evidence=first.hand_evidence)


def best_so_far(states: list[Iteration]) -> list[Iteration]:
    """The same steps, but each hand stays at its best one, by the objective, until a better one comes."""
    best = [states[0]]
    for state in states[1:]:
        better = state.objective < best[-1].objective
        h, joints = (
            torch.where(better.view(-1, *[1] * (new.ndim - 1)), new, old)
            for new, old in ((state.h, best[-1].h), (state.joints, best[-1].joints))
        )
        objective = torch.where(better, state.objective, best[-1].objective)
        best.append(Iteration(h, state.evidence_2d, joints, objective))
    return best


def _descend(
    model: DHPE, images: Tensor, first: DHPEOutput, iterations: int, weights: RefinementWeights
) -> list[Iteration]:
    h, evidence = first.h.clone(), first.evidence_2d
    joint_term, mesh_terms = _joint_term(model, first, weights), _mesh_terms(model, images, first, weights)
    optimizer = torch.optim.Adam([h], weights.step, fused=True)
    states, others = [], []
    for k in range(iterations + 1):
        with torch.set_grad_enabled(k < iterations):
            h.requires_grad_(k < iterations)
            vertices_crop, joints = posed_hand(model.hand, h)
            states.append(Iteration(h.detach().clone(), evidence, joints.detach()))
            others.append(mesh_terms(h, vertices_crop))
            if k == iterations:
                break
            if model.config.pose_refiner and first.hand_evidence is None:
                with torch.no_grad():
                    better = model.regressor.next_evidence_2d(first.features, states[-1])
                    evidence = evidence + weights.update_2d * (better - evidence)
            objective = joint_term(joints, evidence) + others[-1]
            (h.grad,) = torch.autograd.grad(objective.sum(), h)  # a sum, so that each moves as it would alone
            optimizer.step()
    return [
        Iteration(s.h, s.evidence_2d, s.joints, joint_term(s.joints, evidence) + other.detach())
        for s, other in zip(states, others, strict=True)
    ]


def _joint_term(model: DHPE, first: DHPEOutput, weights: RefinementWeights) -> Callable[[Tensor, Tensor], Tensor]:
    """‖Reg_xy(m(h)) − j2D‖² of Eq. 13 for each hand, as a function of the joints (b, 21, 3) and j2D (b, 21, 2)."""
    if first.heatmaps is None:  # the photo trunk gives points, all of one confidence
        peaks, counts = first.history[0].evidence_2d, 1.0
    else:
        peaks = heatmap_peaks(first.heatmaps, model.config.subpixel)
        counts = first.heatmaps.flatten(2).amax(-1).clamp(0, 1) ** weights.confidence

    def term(joints: Tensor, evidence: Tensor) -> Tensor:
        target = evidence + weights.peaks * (peaks - evidence)
        squared = (joints[..., :2] - target).square().sum(-1)
        if weights.robust > 0:
            squared = 2 * weights.robust * ((squared + weights.robust**2).sqrt() - weights.robust)
        return weights.joints * (counts * squared).mean(-1) / 2  # of both coordinates

    return term


def _mesh_terms(
    model: DHPE, images: Tensor, first: DHPEOutput, weights: RefinementWeights
) -> Callable[[Tensor, Tensor], Tensor]:
    """The rest of Eq. 13 for each hand, as a function of h (b, 63) and its mesh in crop coordinates (b, 778, 3)."""
    size = None if first.crop is None else images.shape[-1]

    def terms(h: Tensor, vertices_crop: Tensor) -> Tensor:
        total = weights.stay * (h - first.h).square().mean(-1)
        if weights.laplacian:
            meters = vertices_crop / (SCALE_UNIT * MeshParameters.split(h).scale[..., None])
            smoothness = (meters.mT @ model.laplacian.mT).norm(dim=-2).mean(-1)  # one product of matrices for all
            total = total + weights.laplacian * smoothness
        if weights.feature:
            masked = model.features(images * model.render_mask(vertices_crop, size)[:, None], first.crop)
            total = total + weights.feature * (masked - first.features).square().mean(-1)
        return total

    return terms
