"""Measuring a DHPE on a data set: joints, mesh and mask against the truth.

Joints: placed in the camera frame by the inverse of Eq. 8 with the true depth of the root, then aligned at the root.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from .data import CachedHands
from .dhpe import DHPE
from .joints import MIDDLE_MCP
from .metrics import align, auc, auc_reference, joint_errors_mm, pck, segmentation_scores
from .output import DHPEOutput
from .refinement import refine

PCK_GRID_MM = torch.linspace(0, 50, 51)


def predictions(
    model: DHPE, data: CachedHands, iterations: int = 0, batch_size: int = 32, progress: bool = True
) -> dict[str, Tensor]:
    """What the scores are made from, sample by sample: all fields of `compared`."""
    model.eval()
    rows: dict[str, list] = {}
    for indices in tqdm(torch.arange(len(data)).split(batch_size), "evaluating", unit="batch", disable=not progress):
        batch = data.batch(indices)
        with torch.no_grad():
            output: DHPEOutput = model(batch["image"])
        if iterations:
            output = refine(model, batch["image"], output, iterations)
        with torch.no_grad():
            placed = output.in_camera(batch["K"], batch["joints_cam"][:, MIDDLE_MCP, 2])
            mask = model.render_mask(output.mesh_crop.vertices, batch["mask"].shape[-1])
            found = compared(batch, placed.joints, placed.vertices, mask)
        for name, value in found.items():
            rows.setdefault(name, []).append(value)
    return {name: torch.cat(values) for name, values in rows.items()}


def compared(
    batch: dict[str, Tensor],
    joints_cam: Float[Tensor, "b 21 3"] | None = None,
    vertices_cam: Float[Tensor, "b 778 3"] | None = None,
    mask: Float[Tensor, "b s s"] | None = None,
) -> dict[str, Tensor]:
    """An estimate, or the parts of one that there are, beside the truth of its batch.

    `joints_mm` and `joints_pa_mm` (b, 21): errors, root-aligned and after Procrustes; `visible` (b, 21); `joints_cam`
    and `truth_cam` (b, 21, 3), for other protocols; `vertices_pa_mm` (b): mean vertex error after Procrustes; `mask`,
    `target` (m, s, s) bool, of the m pictures whose mask is known; `tone` (b) where the data set knows it. Errors of
    joints that nobody annotated are NaN.
    """
    found = {}
    if joints_cam is not None:
        truth = batch["joints_cam"]
        whole = torch.isfinite(truth).all(-1).all(-1)  # Procrustes needs every joint
        found["joints_mm"] = joint_errors_mm(align(joints_cam, truth, "root"), truth)
        aligned = align(joints_cam, torch.where(whole[:, None, None], truth, joints_cam), "procrustes")
        found["joints_pa_mm"] = joint_errors_mm(aligned, truth)  # NaN where the truth is
        found["joints_pa_mm"][~whole] = torch.nan
        found |= {"visible": batch["visible"], "joints_cam": joints_cam, "truth_cam": truth}
    if vertices_cam is not None and "vertices_cam" in batch:
        vertices = batch["vertices_cam"]
        found["vertices_pa_mm"] = joint_errors_mm(align(vertices_cam, vertices, "procrustes"), vertices).mean(1)
    if mask is not None:
        known = ~batch["mask"].isnan().flatten(1).any(1)
        found |= {"mask": mask[known] > 0.5, "target": batch["mask"][known] > 0.5}
    return found | {name: batch[name] for name in ("tone",) if name in batch}


def scores(found: dict[str, Tensor]) -> dict[str, float]:
    """One number a metric from `predictions`; every name says alignment, unit and range.

    Of a method that answers only in part, or where the truth is known only in part, there are only those scores.
    """
    result = {}
    if "joints_mm" in found:
        errors, aligned, visible = found["joints_mm"], found["joints_pa_mm"], found["visible"]
        result |= {
            "joints_root_mean_mm": float(errors.nanmean()),
            "joints_root_median_mm": float(errors.nanmedian()),
            "joints_root_auc_20_50_mm": auc(errors, 20, 50, visible=visible),
            "joints_root_auc_0_50_mm": auc(errors, 0, 50, visible=visible),
            "joints_root_auc_reference_20_50_mm": auc_reference(errors, 8, visible),
            "joints_procrustes_mean_mm": float(aligned.nanmean()),
        }
    if len(found.get("mask", ())):
        result |= segmentation_scores(found["mask"], found["target"])
    if "vertices_pa_mm" in found:
        result["vertices_procrustes_mean_mm"] = float(found["vertices_pa_mm"].nanmean())
    return {name: value for name, value in result.items() if not math.isnan(value)}


def pck_curve(found: dict[str, Tensor]) -> dict[str, list[float]]:
    """The mean PCK curve over keypoints, on a grid of whole millimetres, for plots."""
    curve = pck(found["joints_mm"], PCK_GRID_MM, found["visible"]).nanmean(0)
    return {"threshold_mm": PCK_GRID_MM.tolist(), "pck": [round(v, 5) for v in curve.tolist()]}


def evaluate(model: DHPE, data: CachedHands, iterations: int = 0, progress: bool = True) -> dict[str, float]:
    """All scores of a model on a data set; `iterations` > 0 adds test-time refinement."""
    return scores(predictions(model, data, iterations, progress=progress))
