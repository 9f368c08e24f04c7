"""Eq. 7 of a batch: combines the terms of losses.py with the model, since some need its F and its renderer."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..camera import crop_box, normalize_joints, px_to_crop
from ..dhpe import DHPE, at_least_single
from ..evidence import keeping_statistics
from ..hand.joints import MIDDLE_MCP
from ..losses import (
    PAPER_SIZE,
    TERMS,
    LossWeights,
    articulation_loss,
    feature_joints_loss,
    feature_loss,
    filled_from_root,
    heatmap_loss,
    laplacian_loss,
    refiner_loss,
    relative_vertices,
    reprojection_loss,
    shape_loss,
    shape_weight,
    valid_points,
    vertex_loss,
)
from ..output import DHPEOutput
from ..parameters import MeshParameters


def dhpe_loss(
    model: DHPE,
    output: DHPEOutput,
    images: Float[Tensor, "b 3 s s"],
    batch: dict[str, Tensor],
    weights: LossWeights,
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """Computes Eq. 7 for a batch (`data.collate`): the loss, and its parts for the log, detached and unweighted.

    The parts are tensors on the device of the loss, since converting them to numbers would make a GPU wait. They are
    the terms, 0 where there is nothing to compare (no weight, no such network, no such truth in the batch), their
    weighted sum as `loss`, and `under_threshold`, the fraction of instances whose 2D error is at most T (Fig. 5f).

    The articulation, reprojection and refiner terms use every step of the iteration, the others the last one. Only F is
    autocast to half precision, if the caller asks for it.
    """
    mask = batch.get("mask")  # missing if no data set has masks, NaN for hands without one
    masked = None
    if weights.feature and mask is not None:
        masked, has_mask = _masked_features(model, images, mask)
    with torch.autocast(images.device.type, enabled=False):
        size = images.shape[-1]
        joints = px_to_crop(batch["joints_px"], size)
        target, omega = _normalized_joints(batch, joints)
        steps, last = output.history[1:], output.mesh_crop
        threshold = weights.threshold_px / (PAPER_SIZE / 2)  # in crop units
        switch = shape_weight(last.joints[..., :2].detach(), joints, threshold)

        terms = dict.fromkeys(TERMS, joints.new_zeros(()))
        if weights.articulation:
            terms["articulation"] = sum(articulation_loss(s.joints, target, omega) for s in steps) / len(steps)
        if weights.reprojection:
            terms["reprojection"] = sum(reprojection_loss(s.joints[..., :2], joints) for s in steps) / len(steps)
        if weights.shape and mask is not None:
            counted = switch if weights.scheduled else torch.ones_like(switch)
            terms["shape"] = shape_loss(model.render_mask(last.vertices, size), mask, counted)
        if weights.laplacian:
            terms["laplacian"] = laplacian_loss(output.vertices, model.laplacian)
        if masked is not None:
            terms["feature"] = feature_loss(output.features, at_least_single(masked), has_mask, weights.feature_scaled)
        if weights.feature_joints and model.feature_head is not None:
            guess = model.feature_head(output.features).unflatten(1, (21, 3))
            terms["feature_joints"] = feature_joints_loss(guess, target)
        if weights.heatmap and output.heatmaps is not None:
            terms["heatmap"] = heatmap_loss(output.heatmaps, joints)
        if weights.earlier_heatmaps and output.earlier_heatmaps:
            earlier = [heatmap_loss(maps, joints) for maps in output.earlier_heatmaps]
            terms["earlier_heatmaps"] = sum(earlier) / len(earlier)
        if weights.refiner and model.config.pose_refiner:
            terms["refiner"] = refiner_loss([s.evidence_2d for s in steps], joints)
        if weights.shape_prior:
            terms["shape_prior"] = MeshParameters.split(output.h).shape.square().mean()
        if weights.vertices and "vertices_cam" in batch:
            truth = relative_vertices(batch["vertices_cam"], batch["joints_cam"][:, MIDDLE_MCP], batch["K"], size)
            terms["vertices"] = vertex_loss(last.vertices, last.joints[:, MIDDLE_MCP], truth)
        total = sum(getattr(weights, name) * term for name, term in terms.items())
    log = {"loss": total, **terms, "under_threshold": switch.mean()}
    return total, {name: term.detach() for name, term in log.items()}


def _masked_features(model: DHPE, images: Tensor, mask: Tensor) -> tuple[Float[Tensor, "b c"], Bool[Tensor, " b"]]:
    """Computes F(x ⊙ y_M), and returns which images have a mask."""
    has_mask = ~mask.isnan().flatten(1).any(1)
    with keeping_statistics(model.feature_extractor):
        return model.features(images * mask.nan_to_num(1.0)[:, None]), has_mask


def _normalized_joints(
    batch: dict[str, Tensor], joints: Float[Tensor, "b 21 2"]
) -> tuple[Float[Tensor, "b 21 3"], Float[Tensor, " b"]]:
    """Computes norm(y_J) of Eq. 8, NaN for unknown joints and for hands without a root, and ω in crop units."""
    joints_cam = batch["joints_cam"]
    target = normalize_joints(filled_from_root(joints_cam), batch["K"])
    target = torch.where(valid_points(joints_cam), target, torch.nan)
    return target, crop_box(filled_from_root(joints))[:, 2]
