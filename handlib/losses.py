"""The losses, one function an equation, named after it. Every one is a mean, so no weight depends on the batch size.

Joints and meshes are in crop coordinates (camera.py) unless a name says otherwise. What the paper leaves open, the
weights above all, is a field of `LossWeights`.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .camera import crop_box, normalise_joints, px_to_crop
from .dhpe import DHPE
from .evidence import keeping_statistics, target_heatmaps
from .joints import MIDDLE_MCP
from .output import DHPEOutput
from .parameters import MeshParameters


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms of Eq. 7. Ours to choose: the paper gives only the threshold of Eq. 12."""

    articulation: float = 10.0  # Eq. 8
    shape: float = 1.0  # Eq. 9, times the switch of Eq. 12
    laplacian: float = 1.0
    feature: float = 0.1  # Eq. 2
    heatmap: float = 100.0  # Eq. 3; large because most of a heat map is zero
    refiner: float = 1.0  # Eq. 6
    reprojection: float = 2.0  # not in the paper: Eq. 8 is blind to where the hand is, so nothing else starts t
    shape_prior: float = 1e-3  # not in the paper: settles which part of a hand's size is β and which is σ
    threshold_px: float = 15.0  # T of Eq. 12, pixels of the paper's 224² crop
    scheduled: bool = True  # Eq. 12; False: the shape loss always counts (Fig. 5f, "constant weight")


def feature_loss(features: Float[Tensor, "b c"], masked: Float[Tensor, "b c"]) -> Float[Tensor, ""]:
    """Eq. 2: L_Feat = ‖F(x) − F(x ⊙ y_M)‖², which teaches F to look at the hand alone."""
    return (features - masked).square().mean()


def heatmap_loss(heatmaps: Float[Tensor, "b 21 s s"], joints: Float[Tensor, "b 21 2"]) -> Float[Tensor, ""]:
    """Eq. 3: L_2D = ‖J2D(x) − y_Heat‖²."""
    return (heatmaps - target_heatmaps(joints, heatmaps.shape[-1])).square().mean()


def refiner_loss(evidence: list[Float[Tensor, "b 21 2"]], joints: Float[Tensor, "b 21 2"]) -> Float[Tensor, ""]:
    """Eq. 6: L_Ref = Σ_k ‖j2D(k) − y_2D‖², over the refined estimates k ≥ 1."""
    return sum((estimate - joints).square().mean() for estimate in evidence)


def articulation_loss(joints: Float[Tensor, "b 21 3"], target: Float[Tensor, "b 21 3"], omega: Tensor) -> Tensor:
    """Eq. 8: L_Art = ‖norm(Reg(m)) − norm(y_J)‖².

    `target` is `normalise_joints` of the truth and `omega` (b) its ω in crop units. Under the scaled orthographic
    camera all axes share one unit, so the estimate is normalised by its root and ω alone.
    """
    relative = joints - joints[:, MIDDLE_MCP : MIDDLE_MCP + 1]
    return (relative / omega[:, None, None] - target).square().mean()


def shape_loss(
    silhouette: Float[Tensor, "b s s"], mask: Float[Tensor, "b s s"], weight: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    """Eq. 9: L_Sh = ‖Ren(m) − y_M‖², each instance with its weight of Eq. 12."""
    return (weight * (silhouette - mask).square().mean((1, 2))).mean()


def shape_weight(
    joints: Float[Tensor, "b 21 2"], target: Float[Tensor, "b 21 2"], threshold: float
) -> Float[Tensor, " b"]:
    """Eq. 12: λ_Sh of each instance, 1 once its mean 2D joint error is at most `threshold`, else 0."""
    return ((joints - target).norm(dim=-1).mean(-1) <= threshold).to(joints.dtype)


def laplacian_loss(vertices: Float[Tensor, "*batch v 3"], laplacian: Float[Tensor, "v v"]) -> Float[Tensor, ""]:
    """L_Lap: mean over vertices of ‖(Lv)_i‖, of meshes in metres: how far a vertex is from its neighbours' mean."""
    return (laplacian @ vertices).norm(dim=-1).mean()


def reprojection_loss(joints: Float[Tensor, "b 21 2"], target: Float[Tensor, "b 21 2"]) -> Float[Tensor, ""]:
    """Mean squared error of the projected joints: what Eq. 8, being relative to the root, leaves free."""
    return (joints - target).square().mean()


def dhpe_loss(
    model: DHPE,
    output: DHPEOutput,
    images: Float[Tensor, "b 3 s s"],
    batch: dict[str, Tensor],
    weights: LossWeights,
) -> tuple[Float[Tensor, ""], dict[str, float]]:
    """Eq. 7 for a batch (`data.collate`) at the network's own size: the loss, and its unweighted terms for the log.

    The articulation, reprojection and refiner terms see every step of the iteration, the others its end.
    """
    size = model.config.size
    joints = px_to_crop(batch["joints_px"], size)
    target = normalise_joints(batch["joints_cam"], batch["K"])
    omega = crop_box(joints)[:, 2]
    steps = output.history[1:]
    last = output.mesh_crop

    threshold = weights.threshold_px / 112  # pixels of a 224² crop to crop units
    switch = shape_weight(last.joints[..., :2].detach(), joints, threshold)
    counted = switch if weights.scheduled else torch.ones_like(switch)
    with keeping_statistics(model.feature_extractor):
        masked = model.feature_extractor(images * batch["mask"][:, None])
    terms = {
        "articulation": sum(articulation_loss(s.joints, target, omega) for s in steps) / len(steps),
        "reprojection": sum(reprojection_loss(s.joints[..., :2], joints) for s in steps) / len(steps),
        "shape": shape_loss(model.render_mask(last.vertices), batch["mask"], counted),
        "laplacian": laplacian_loss(output.vertices, model.laplacian),
        "feature": feature_loss(output.features, masked),
        "heatmap": heatmap_loss(output.heatmaps, joints),
        "refiner": refiner_loss([s.evidence_2d for s in steps], joints)
        if model.config.pose_refiner
        else joints.new_zeros(()),
        "shape_prior": MeshParameters.split(output.h).shape.square().mean(),
    }
    total = sum(getattr(weights, name) * term for name, term in terms.items())
    log = {name: term.item() for name, term in terms.items()}
    return total, {"loss": total.item(), **log, "under_threshold": switch.mean().item()}
