"""How good an estimate is: errors, PCK and AUC, segmentation scores, mesh scores.

Lengths are metres inside; a name that ends in `_mm` is millimetres. Accumulate errors over a whole test set first: a
mean of per-batch scores is another number.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .joints import BONES, MIDDLE_MCP

_ROOT_BONE = next(bone for bone in BONES if bone[1] == MIDDLE_MCP)  # wrist → middle MCP sets the scale of "root_scale"


def align(
    predicted: Float[Tensor, "*batch n 3"], truth: Float[Tensor, "*batch n 3"], mode: str = "root"
) -> Float[Tensor, "*batch n 3"]:
    """Moves predicted joints (C21) onto the true ones, as protocols do before they measure.

    "root": the middle MCPs coincide. "root_scale": and the lengths wrist – middle MCP agree. "procrustes": the best
    similarity (rotation, scale, translation), which also serves for points that are not joints.
    """
    if mode == "procrustes":
        return _procrustes(predicted, truth)
    if mode not in ("root", "root_scale"):
        raise ValueError(f"unknown alignment '{mode}': choose root, root_scale or procrustes")
    relative = predicted - predicted[..., MIDDLE_MCP : MIDDLE_MCP + 1, :]
    if mode == "root_scale":
        a, b = _ROOT_BONE
        scale = (truth[..., a, :] - truth[..., b, :]).norm(dim=-1) / (predicted[..., a, :] - predicted[..., b, :]).norm(
            dim=-1
        ).clamp(min=1e-9)
        relative = relative * scale[..., None, None]
    return relative + truth[..., MIDDLE_MCP : MIDDLE_MCP + 1, :]


def _procrustes(source: Tensor, target: Tensor) -> Tensor:
    """Umeyama's least-squares similarity, applied; reflections are not allowed."""
    source_mean, target_mean = source.mean(-2, keepdim=True), target.mean(-2, keepdim=True)
    x, y = source - source_mean, target - target_mean
    u, s, vt = torch.linalg.svd(y.mT @ x)
    sign = torch.ones_like(s)
    sign[..., -1] = torch.sign(torch.det(u) * torch.det(vt))
    rotation = u @ (sign[..., None] * vt)
    scale = (s * sign).sum(-1) / x.square().sum((-2, -1)).clamp(min=1e-12)
    return scale[..., None, None] * (x @ rotation.mT) + target_mean


def joint_errors_mm(predicted: Float[Tensor, "*batch n 3"], truth: Float[Tensor, "*batch n 3"]) -> Tensor:
    """Distance of each joint or vertex from the truth, in millimetres."""
    return (predicted - truth).norm(dim=-1) * 1000


def pck(
    errors: Float[Tensor, "n k"], thresholds: Float[Tensor, " t"], visible: Bool[Tensor, "n k"] | None = None
) -> Float[Tensor, "k t"]:
    """Percentage of correct keypoints: for each keypoint, the fraction of its visible samples within each threshold.

    `errors` and `thresholds` share a unit. A keypoint that is never visible gives NaN.
    """
    visible = torch.ones_like(errors, dtype=torch.bool) if visible is None else visible
    hit = (errors[..., None] <= thresholds) & visible[..., None]
    return hit.sum(0) / visible.sum(0)[:, None]


def auc(
    errors: Float[Tensor, "n k"],
    low: float = 20.0,
    high: float = 50.0,
    steps: int = 20,
    visible: Bool[Tensor, "n k"] | None = None,
) -> float:
    """Area under the PCK curve from `low` to `high`, by the trapezoid rule over `steps` thresholds, 1 at best.

    The curve of each keypoint is integrated by itself, then the mean is taken over keypoints that were ever visible.
    """
    return float(
        _areas(errors, torch.linspace(low, high, steps, dtype=errors.dtype, device=errors.device), visible).nanmean()
    )


def auc_reference(
    errors_mm: Float[Tensor, "n k"], low_index: int = 0, visible: Bool[Tensor, "n k"] | None = None
) -> float:
    """AUC on the grid of the field's reference evaluation: 20 thresholds from 0 to 50 mm, from `low_index` on.

    `low_index=8` is what its "20–50 mm" is in truth: 21.05 to 50 mm with 12 points.
    """
    grid = torch.linspace(0, 50, 20, dtype=errors_mm.dtype, device=errors_mm.device)
    return float(_areas(errors_mm, grid[low_index:], visible).nanmean())


def _areas(errors: Tensor, thresholds: Tensor, visible: Tensor | None) -> Float[Tensor, " k"]:
    curves = pck(errors, thresholds, visible)
    return torch.trapezoid(curves, thresholds.to(curves.dtype), dim=-1) / (thresholds[-1] - thresholds[0])


def segmentation_scores(predicted: Tensor, target: Tensor, classes: int = 2) -> dict[str, float]:
    """The four scores of Long et al. 2015 from one confusion matrix over everything given.

    predicted, target: class numbers (masks of 0 and 1), same shape. A class that never occurs in either is left out
    of the means.
    """
    if predicted.shape != target.shape:
        raise ValueError(f"predicted {tuple(predicted.shape)} and target {tuple(target.shape)} differ in shape")
    pairs = target.long().flatten() * classes + predicted.long().flatten()
    confusion = torch.bincount(pairs, minlength=classes**2).view(classes, classes).double()  # n_ij: true i, said j
    hit, true, said = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    union = true + said - hit
    iou = torch.where(union > 0, hit / union, torch.nan)
    return {
        "pixel_accuracy": float(hit.sum() / true.sum()),
        "mean_accuracy": float(torch.where(true > 0, hit / true, torch.nan).nanmean()),
        "mean_iou": float(iou.nanmean()),
        "frequency_weighted_iou": float((true * iou.nan_to_num()).sum() / true.sum()),
    }


def vertex_error(predicted: Float[Tensor, "n v 3"], truth: Float[Tensor, "n v 3"], mode: str = "procrustes") -> float:
    """Mean vertex distance in millimetres, after `procrustes` alignment of the vertices or ("none") as they are."""
    if mode not in ("procrustes", "none"):
        raise ValueError(f"unknown alignment '{mode}' for vertices: choose procrustes or none")
    moved = _procrustes(predicted, truth) if mode == "procrustes" else predicted
    return float(joint_errors_mm(moved, truth).mean())


def f_score(predicted: Float[Tensor, "v 3"], truth: Float[Tensor, "w 3"], threshold_mm: float) -> float:
    """Harmonic mean of precision and recall of two point sets: points nearer than a threshold to the other set."""
    distance = torch.cdist(predicted, truth) * 1000
    precision = float((distance.amin(1) < threshold_mm).double().mean())
    recall = float((distance.amin(0) < threshold_mm).double().mean())
    return 2 * precision * recall / max(precision + recall, 1e-12)
