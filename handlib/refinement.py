"""Test-time refinement (Sec. 3.4, Eq. 13): the estimate is made consistent with the evidence by steps on h.

    E(h) = ½ mean_j c_j ‖Reg_xy(m(h))_j − j2D_j‖² + λ ‖F(x ⊙ Ren(m(h))) − F(x)‖² + λ_Lap L_Lap(m(h)) + stay ‖h − h₀‖²

No label is used. The projected joints should meet the 2D joints j2D, which Ref of Eq. 6 improves along the way; the
features of the image cut out by the rendered mask should be those of the whole image; the mesh should stay smooth. Ours
are c_j, the height of a joint's heat map to some power, and the pull to the first estimate h₀. Norms are means.

"gauss-newton" goes down E in a few second-order steps: the joints' term is a sum of squares, whose derivatives the
skeleton gives exactly (fitting/skeleton.py). "gradient" is the equation as the paper has it, fifty steps of γ ∇E; the
tests compare the two. Every hand of a batch goes its own way: it moves as it would alone.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from .camera import SCALE_UNIT
from .dhpe import DHPE, check_images
from .output import DHPEOutput, Iteration, assemble
from .parameters import SIZE, MeshParameters, posed_hand
from .support.arguments import as_tensor, at_least, checked

METHOD = "gauss-newton"
ITERATIONS = {"gauss-newton": 8, "gradient": 50}  # of each method, by default; the paper has 50


@dataclass(frozen=True)
class RefinementWeights:
    """What Eq. 13 leaves open, and what we add to it, chosen on the validation split (results/refinement-tuning.json).

    The feature term is off: it more than doubles the cost, and with the F of lite, which sees the mask, it moves hands
    away from the truth (the same file).
    """

    laplacian: float = 10.0  # λ_Lap
    feature: float = 0.0  # λ; at 0 nothing is rendered
    stay: float = 0.1  # not in the paper: a pull to the first estimate, for what the 2D joints cannot see
    confidence: float = 2.0  # not in the paper: a low heat map is usually wrong; 0 counts all joints alike
    update_2d: float = 0.25  # how far j2D moves towards Ref's answer in one step; 1 is the recursion of Eq. 6
    step: float = 0.005  # γ, of "gradient" alone


@checked
def refine(
    model: DHPE,
    images: Float[Tensor, "b 3 h w"],
    output: DHPEOutput,
    iterations: int | None = None,
    weights: RefinementWeights | None = None,
    method: str = METHOD,
) -> DHPEOutput:
    """Improves an estimate of `model` on the same images.

    iterations: by default `ITERATIONS` of the method. The photo trunk's Ref sees turned crops, in which no step is made
    here: its j2D stays as it is.

    The result's history holds every step, 0 … iterations, with E of each hand against the 2D joints as they are at the
    end. By "gauss-newton" E never rises; the true error may (evaluation/refinement_report.py).
    """
    if method not in ITERATIONS:
        raise ValueError(f"unknown method '{method}': choose one of {', '.join(ITERATIONS)}")
    iterations = ITERATIONS[method] if iterations is None else iterations
    at_least(0, iterations=iterations)
    images = as_tensor("images", images, "n", model.laplacian.device)
    check_images(images)
    images = images.to(model.laplacian.dtype)
    if len(images) != len(output.h):
        raise ValueError(f"{len(images)} images but an estimate of {len(output.h)}: refine the images it was made from")
    if output.mesh_crop is None:
        raise ValueError("only an estimate made by a DHPE can be refined with its evidence; `fit` needs no refinement")
    training = model.training
    model.eval()  # a model in training would add to its running statistics
    try:  # half precision would move joints, and what inference mode made cannot be differentiated
        with torch.inference_mode(False), torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            first, images = output.map(lambda tensor: tensor.detach().clone()), images.clone()
            objective = Objective(model, images, first, weights or RefinementWeights())
            steps = (_gauss_newton if method == "gauss-newton" else _gradient)(objective, iterations)
            evidence = steps[-1][0].evidence_2d
            states = [replace(s, objective=objective.joints(s.joints, evidence) + mesh) for s, mesh in steps]
            if method == "gauss-newton":
                states = best_so_far(states)
            refined = assemble(model.hand, states, first.size, first.heatmaps, first.features)
            return replace(refined, crop=first.crop, hand_evidence=first.hand_evidence)
    finally:
        model.train(training)


class Objective:
    """E of each hand of a batch: the joints' term, and all that needs h or its mesh."""

    def __init__(self, model: DHPE, images: Tensor, first: DHPEOutput, weights: RefinementWeights):
        self.model, self.first, self.weights = model, first, weights
        self.images = model.resize(images) if first.crop is None else images
        self.confidence = first.h.new_ones(len(first.h), 21)  # c; the photo trunk gives points, all of one confidence
        if first.heatmaps is not None:
            self.confidence = first.heatmaps.flatten(2).amax(-1).clamp(0, 1) ** weights.confidence

    def joints(self, joints: Float[Tensor, "b 21 3"], evidence: Float[Tensor, "b 21 2"]) -> Float[Tensor, " b"]:
        """½ mean_j c_j ‖Reg_xy(m(h))_j − j2D_j‖²."""
        return (self.confidence * (joints[..., :2] - evidence).square().sum(-1)).mean(-1) / 2

    def mesh(self, h: Float[Tensor, "b 63"], vertices_crop: Float[Tensor, "b 778 3"]) -> Float[Tensor, " b"]:
        """The other terms."""
        model, first, weights = self.model, self.first, self.weights
        total = weights.stay * (h - first.h).square().mean(-1)
        if weights.laplacian:
            meters = vertices_crop / (SCALE_UNIT * MeshParameters.split(h).scale[..., None])
            smoothness = (meters.mT @ model.laplacian.mT).norm(dim=-2).mean(-1)  # one product of matrices for all
            total = total + weights.laplacian * smoothness
        if weights.feature:
            mask = model.render_mask(vertices_crop, None if first.crop is None else self.images.shape[-1])
            masked = model.features(self.images * mask[:, None], first.crop)
            total = total + weights.feature * (masked - first.features).square().mean(-1)
        return total

    def improved(self, state: Iteration) -> Float[Tensor, "b 21 2"]:
        """j2D of the next step, by Ref of Eq. 6."""
        if not self.model.config.pose_refiner or self.first.hand_evidence is not None:
            return state.evidence_2d
        better = self.model.regressor.next_evidence_2d(self.first.features, state)
        return state.evidence_2d + self.weights.update_2d * (better - state.evidence_2d)


# ---- the equation as the paper has it


def _gradient(objective: Objective, iterations: int) -> list[tuple[Iteration, Tensor]]:
    """Every step and its mesh terms. The steps are Adam's, since h mixes radians and crop units."""
    h, evidence = objective.first.h.clone(), objective.first.evidence_2d
    optimizer, steps = torch.optim.Adam([h], objective.weights.step, fused=True), []
    for k in range(iterations + 1):
        with torch.set_grad_enabled(k < iterations):
            h.requires_grad_(k < iterations)
            vertices_crop, joints = posed_hand(objective.model.hand, h)
            mesh = objective.mesh(h, vertices_crop)
        steps.append((Iteration(h.detach().clone(), evidence, joints.detach()), mesh.detach()))
        if k < iterations:
            evidence = objective.improved(steps[-1][0])
            with torch.enable_grad():
                total = (objective.joints(joints, evidence) + mesh).sum()  # so that each moves as it would alone
            (h.grad,) = torch.autograd.grad(total, h)
            optimizer.step()
    return steps


# ---- the same minimum in a few steps


class _Point(NamedTuple):
    """h, and what a step from it needs."""

    h: Float[Tensor, "b 63"]
    joints: Float[Tensor, "b 21 3"]
    by_h: Float[Tensor, "b 42 63"]  # derivatives of the projected joints
    mesh: Float[Tensor, " b"]
    slope: Float[Tensor, "b 63"]  # gradient of the mesh terms


def _gauss_newton(objective: Objective, iterations: int) -> list[tuple[Iteration, Tensor]]:
    """Every step and its mesh terms. Levenberg–Marquardt: each hand has a damping, and stays where no step helps.

    The curvature is that of the joints' term and of the pull; of the other terms the gradient is enough, though with
    features it takes twice the steps.
    """
    from .fitting.skeleton import Skeleton, projected  # late: the equation itself does not need it

    hand, evidence = objective.model.hand, objective.first.evidence_2d
    skeleton = Skeleton(hand, hand.template)

    def at(h: Tensor) -> _Point:
        with torch.enable_grad():
            h = h.detach().requires_grad_()
            mesh = objective.mesh(h, posed_hand(hand, h).vertices)
            (slope,) = torch.autograd.grad(mesh.sum(), h)
        return _Point(h.detach(), *projected(skeleton, h.detach()), mesh.detach(), slope)

    def value(point: _Point) -> Tensor:
        return objective.joints(point.joints, evidence) + point.mesh

    point = at(objective.first.h)
    weight = objective.confidence.repeat_interleave(2, -1) / 21  # of half a squared coordinate in E
    pull = 2 * objective.weights.stay / SIZE * torch.eye(SIZE).to(point.h)
    damping = torch.full_like(point.mesh, 1e-2)
    steps = [(Iteration(point.h, evidence, point.joints), point.mesh)]
    for _ in range(iterations):
        evidence = objective.improved(steps[-1][0])
        offset = (point.joints[..., :2] - evidence).flatten(1)
        weighted = weight[..., None] * point.by_h
        gradient = (weighted.mT @ offset[..., None])[..., 0] + point.slope
        curvature = weighted.mT @ point.by_h + pull
        damped = curvature + torch.diag_embed(damping[:, None] * curvature.diagonal(dim1=1, dim2=2) + 1e-7)
        factor = torch.linalg.cholesky_ex(damped)[0]
        tried = at(point.h - torch.cholesky_solve(gradient[..., None], factor)[..., 0])
        better = value(tried) < value(point)
        point = _Point(*(_where(better, new, old) for new, old in zip(tried, point, strict=True)))
        damping = torch.where(better, damping / 4, damping * 6).clamp(1e-7, 1e7)
        steps.append((Iteration(point.h, evidence, point.joints), point.mesh))
    return steps


def best_so_far(states: list[Iteration]) -> list[Iteration]:
    """The same steps, but each hand stays at its best one until a better one comes: j2D moves, and E with it."""
    best = [states[0]]
    for state in states[1:]:
        better, last = state.objective < best[-1].objective, best[-1]
        h, joints, objective = (
            _where(better, getattr(state, name), getattr(last, name)) for name in ("h", "joints", "objective")
        )
        best.append(Iteration(h, state.evidence_2d, joints, objective))
    return best


def _where(better: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(better.view(-1, *[1] * (new.ndim - 1)), new, old)
