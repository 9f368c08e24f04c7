"""Measures a DHPE on a data set: joints, mesh and mask against the truth.

Joints are placed in the camera frame by the inverse of Eq. 8 with the true depth of the root, then aligned at the root.
Missing truth (NaN joints, missing masks) does not count, nor do joints that the protocol of the data set leaves out
(`scored`). If joint 0 of the data set is a point of the palm (`palm`), estimate and truth are both converted to it.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ..data import CachedHands
from ..data.crop import recropped
from ..data.real.palm import palm_to_wrist, palm_visible, wrist_to_palm
from ..dhpe import DHPE
from ..hand.joints import MIDDLE_MCP
from ..output import DHPEOutput
from ..refinement import METHOD, refine
from .metrics import (
    align,
    auc,
    auc_reference,
    error_by_joint,
    error_by_tone,
    joint_errors_mm,
    pck,
    segmentation_scores,
    without_rounding,
)
from .protocols import PROTOCOLS, freihand_mesh
from .refinement_report import RefinementReport, by_batch, trajectory
from .results import Metric

ALL = tuple(range(21))
FEWEST_FITTED = 3  # points that determine a similarity in 3D
Curves = dict[str, dict[str, list]]
PCK_GRID_MM = torch.linspace(0, 50, 51)


def predictions(
    model: DHPE,
    data: CachedHands,
    iterations: int = 0,
    batch_size: int = 32,
    progress: bool = True,
    method: str = METHOD,
) -> dict[str, Tensor]:
    """Estimates every sample and compares it with the truth: all fields of `compared_output`, one row per sample.

    iterations, method: of refinement.
    """
    model.eval()

    def measure(batch: dict[str, Tensor]) -> dict[str, Tensor]:
        output, batch = estimated(model, batch, data.passes, iterations, method)
        with torch.no_grad(), _single(batch):
            mask = model.render_mask(output.mesh_crop.vertices, batch["image"].shape[-1]) if "mask" in batch else None
            return compared_output(output, batch, mask, data.scored, data.palm)

    return by_batch(measure, data, batch_size, progress)


def estimated(
    model: DHPE, batch: dict[str, Tensor], passes: int = 1, iterations: int = 0, method: str = METHOD
) -> tuple[DHPEOutput, dict[str, Tensor]]:
    """Estimates a batch; returns the estimates and the batch as it was cropped last.

    passes: number of crops, each after the first around the estimate in the one before. iterations, method: of
    refinement.
    """
    with torch.no_grad():
        output = model(batch["image"])
        for _ in range(passes - 1):
            with _single(batch):
                batch = recropped(batch, output.joints_2d)
            output = model(batch["image"])
    if iterations:
        output = refine(model, batch["image"], output, iterations, method=method)
    return output, batch


def _single(batch: dict[str, Tensor]) -> torch.autocast:
    """Switches off a caller's autocast to half precision, which is for networks and would move joints."""
    return torch.autocast(batch["image"].device.type, enabled=False)


def depth_of_root(joints_cam: Float[Tensor, "b 21 3"]) -> Float[Tensor, " b"]:
    """Returns the depth in meters at which an estimate is placed: that of the true middle MCP.

    If that is unknown, the mean depth of the known joints, or 1 m; only errors that do not count depend on it.
    """
    depth = joints_cam[..., 2]
    stand_in = depth.nanmean(1).nan_to_num(1.0)
    return torch.where(depth[:, MIDDLE_MCP].isfinite(), depth[:, MIDDLE_MCP], stand_in)


def compared_output(
    output: DHPEOutput,
    batch: dict[str, Tensor],
    mask: Float[Tensor, "b s s"] | None = None,
    scored: tuple[int, ...] = ALL,
    palm: str = "",
) -> dict[str, Tensor]:
    """Returns `compared` of a network's estimates; of refined ones also `refinement_mm` and `refinement_objective`
    (b, iterations + 1), see `refinement_of`."""
    hands_cam = output.in_camera(batch["K"], depth_of_root(batch["joints_cam"]))
    samples = compared(batch, hands_cam.joints, hands_cam.vertices, mask, scored, palm)
    if output.history[-1].objective is None:
        return samples
    report = trajectory(output, batch, scored, palm)
    return samples | {"refinement_mm": report.error_mm, "refinement_objective": report.objective}


def compared(
    batch: dict[str, Tensor],
    joints_cam: Float[Tensor, "b 21 3"] | None = None,
    vertices_cam: Float[Tensor, "b 778 3"] | None = None,
    mask: Float[Tensor, "b s s"] | None = None,
    scored: tuple[int, ...] = ALL,
    palm: str = "",
) -> dict[str, Tensor]:
    """Compares an estimate, or parts of one, with the truth of its batch. Returns by name:

    `joints_mm`, `joints_pa_mm` (b, 21): errors after alignment at the root and after a Procrustes fit of the joints
    that count; NaN where a joint is not `scored` or its truth unknown. `visible` (b, 21): joints in the crop that
    count. `joints_cam`, `truth_cam` (b, 21, 3): for other protocols. `vertices_pa_mm` (b): mean vertex error after
    Procrustes of `vertices_cam` and `truth_vertices_cam` (b, 778, 3). `mask`, `target` (m, s, s): bool, of the m hands
    with a known mask. `tone` (b): if the data set has it.
    """
    samples = {}
    if joints_cam is not None:
        joints_cam, truth = (wrist_to_palm(joints, palm) for joints in (joints_cam, batch["joints_cam"]))
        counts = torch.zeros(21, dtype=torch.bool, device=truth.device)
        counts[list(scored)] = True
        counts = counts & torch.isfinite(truth).all(-1)
        fitted = align(joints_cam, truth, "procrustes", counts)
        enough = counts.sum(1, keepdim=True) >= FEWEST_FITTED
        rooted = align(joints_cam, truth, "root")  # all NaN if the root is unknown
        root_mm, fitted_mm = (without_rounding(joint_errors_mm(joints, truth)) for joints in (rooted, fitted))
        samples["joints_mm"] = root_mm.where(counts, torch.nan)
        samples["joints_pa_mm"] = fitted_mm.where(counts & enough, torch.nan)
        visible = palm_visible(batch["visible"], palm) & counts
        samples |= {"visible": visible, "joints_cam": joints_cam, "truth_cam": truth}
    if vertices_cam is not None and "vertices_cam" in batch:
        vertices = batch["vertices_cam"]
        samples["vertices_pa_mm"] = joint_errors_mm(align(vertices_cam, vertices, "procrustes"), vertices).mean(1)
        samples |= {"vertices_cam": vertices_cam, "truth_vertices_cam": vertices}
    if mask is not None and "mask" in batch:
        valid = torch.isfinite(batch["mask"]).flatten(1).all(1)
        samples |= {"mask": mask[valid] > 0.5, "target": batch["mask"][valid] > 0.5}
    return samples | {name: batch[name] for name in ("tone",) if name in batch}


def scores(samples: dict[str, Tensor]) -> dict[str, float]:
    """Computes one number per metric from `predictions`; every name gives alignment, unit and range.

    Scores for which there is no estimate or no truth are left out. Means and medians are over all joints that count,
    AUCs over those that are also visible.
    """
    result = {}
    if "joints_mm" in samples:
        errors, aligned = samples["joints_mm"], samples["joints_pa_mm"]
        visible = samples["visible"] & torch.isfinite(errors)
        if torch.isfinite(errors).any():
            result |= {
                "joints_root_mean_mm": float(errors.nanmean()),
                "joints_root_median_mm": float(errors[torch.isfinite(errors)].median()),
            }
        if visible.any():
            result |= {
                "joints_root_auc_20_50_mm": auc(errors, 20, 50, visible=visible),
                "joints_root_auc_0_50_mm": auc(errors, 0, 50, visible=visible),
                "joints_root_auc_reference_20_50_mm": auc_reference(errors, 8, visible),
            }
        if torch.isfinite(aligned).any():
            result["joints_procrustes_mean_mm"] = float(aligned.nanmean())
    if "mask" in samples and len(samples["mask"]):
        result |= segmentation_scores(samples["mask"], samples["target"])
    if "vertices_pa_mm" in samples:
        result["vertices_procrustes_mean_mm"] = float(samples["vertices_pa_mm"].mean())
    return result


# Unit, alignment and thresholds of each of the `scores`.
_ROOT, _PROCRUSTES, _PIXELS = ("mm", "root", "none"), ("mm", "procrustes", "none"), ("fraction", "none", "none")
_SCORES = {
    "joints_root_mean_mm": _ROOT,
    "joints_root_median_mm": _ROOT,
    "joints_root_auc_20_50_mm": ("fraction", "root", "20 thresholds, 20–50 mm"),
    "joints_root_auc_0_50_mm": ("fraction", "root", "20 thresholds, 0–50 mm"),
    "joints_root_auc_reference_20_50_mm": (
        "fraction", "root", "0–50 mm in 20 thresholds, from index 8: 21.05–50 mm",
    ),
    "joints_procrustes_mean_mm": _PROCRUSTES,
    "vertices_procrustes_mean_mm": _PROCRUSTES,
    "pixel_accuracy": _PIXELS,
    "mean_accuracy": _PIXELS,
    "mean_iou": _PIXELS,
    "frequency_weighted_iou": _PIXELS,
}  # fmt: skip


def describe(scores: dict[str, float], n: int) -> list[Metric]:
    """Converts `scores` of n hands to the metrics of a results file."""
    return [Metric(name, value, *_SCORES[name], n) for name, value in scores.items()]


def pck_curve(samples: dict[str, Tensor]) -> dict[str, list[float]]:
    """Computes the mean PCK curve over keypoints, at every millimeter, for plots."""
    errors = samples["joints_mm"]
    curve = pck(errors, PCK_GRID_MM.to(errors), samples["visible"] & torch.isfinite(errors)).nanmean(0)
    return {"threshold_mm": PCK_GRID_MM.tolist(), "pck": [round(v, 5) for v in curve.tolist()]}


def curves(samples: dict[str, Tensor]) -> dict[str, dict[str, list]]:
    """Computes the curves of a results file as columns: `pck_root`, error by `joint`, and by `tone` if known.

    A row of `tone` is for hands whose skin tone on the Monk scale is at least `low` and below `high`.
    """
    errors = samples["joints_mm"]
    valid = torch.isfinite(errors)
    if not (valid & samples["visible"]).any():
        return {}
    tables = {"pck_root": pck_curve(samples), "joint": error_by_joint(errors, valid)}
    if "tone" in samples:
        tables["tone"] = error_by_tone(errors, samples["tone"], valid)
    return tables


def refinement_of(samples: dict[str, Tensor]) -> RefinementReport | None:
    """Returns the report on refinement over hands with a known error; None without refinement or such hands."""
    if "refinement_mm" not in samples:
        return None
    valid = torch.isfinite(samples["refinement_mm"]).all(1)
    if not valid.any():
        return None
    return RefinementReport(samples["refinement_mm"][valid], samples["refinement_objective"][valid])


def evaluate(model: DHPE, data: CachedHands, iterations: int = 0, progress: bool = True) -> dict[str, float]:
    """Computes all scores of a model on a data set; `iterations` > 0 adds test-time refinement."""
    return scores(predictions(model, data, iterations, progress=progress))


def measurements(
    samples: dict[str, Tensor], n: int, protocols: tuple[str, ...] = (), meshes: bool = True, palm: str = ""
) -> tuple[list[Metric], Curves]:
    """Computes all metrics and curves for which `predictions` of n hands have estimates.

    protocols: names of `PROTOCOLS` to add to handlib's own scores. meshes: whether FreiHAND's scores of meshes, which
    compare every vertex with every other, are added where the true mesh is known. palm: the rule by which `compared`
    made joint 0 a palm point, for protocols that take the wrist.
    """
    metrics, tables = describe(scores(samples), n), {}
    if "joints_cam" in samples:
        tables = curves(samples)
        joints = samples["joints_cam"], samples["truth_cam"], samples["visible"]
        wrists = *(palm_to_wrist(points, palm) for points in joints[:2]), joints[2]
        for name in protocols if samples["visible"].any() else ():
            metrics += PROTOCOLS[name].scores(*(wrists if PROTOCOLS[name].wrist else joints))
            if name == "dexter_object":  # has no annotated root, so its PCK curve uses its own errors
                errors = PROTOCOLS[name].errors(*joints)
                tables[f"pck_{name}"] = pck_curve({"joints_mm": errors.mm, "visible": errors.counted})
    if meshes and "truth_vertices_cam" in samples:
        metrics += freihand_mesh(samples["vertices_cam"], samples["truth_vertices_cam"])
    if report := refinement_of(samples):
        metrics, tables = metrics + report.metrics(), tables | report.curves()
    return metrics, {name: _without_nan(curve) for name, curve in tables.items()}


def _without_nan(curve: dict[str, list]) -> dict[str, list]:
    """Replaces NaN by None, which JSON can represent."""

    def number(value: object) -> object:
        return None if isinstance(value, float) and value != value else value

    return {name: [number(value) for value in column] for name, column in curve.items()}
